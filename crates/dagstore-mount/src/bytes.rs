//! A mount that carries its bytes in its URL, for tests and very small data.

use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::{Capabilities, Error, MAX_URL_BYTES, Mount, Opened, Result, Stat};

/// The most bytes that a bytes mount holds: as many as are sure to fit into a URL, at three characters each, beside the
/// longest usual scheme.
pub const MAX_BYTES: usize = (MAX_URL_BYTES - 32) / 3;

/// Bytes in the URL itself: `bytes:` and the data, percent-encoded where it isn't a letter or a digit.
#[derive(Debug, Clone)]
pub struct BytesMount {
    data: Bytes,
}

impl BytesMount {
    /// A mount of `data`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past [`MAX_BYTES`].
    pub fn new(data: impl Into<Bytes>) -> Result<Self> {
        let data = data.into();
        if data.len() > MAX_BYTES {
            return Err(Error::TooLarge { bytes: data.len(), most: MAX_BYTES });
        }
        Ok(Self { data })
    }

    /// The template for a registry.
    pub fn template() -> Self {
        Self { data: Bytes::new() }
    }
}

#[async_trait]
impl Mount for BytesMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        let mut location = String::with_capacity(self.data.len() * 3);
        for &byte in &self.data {
            if byte.is_ascii_alphanumeric() {
                location.push(byte.into());
            } else {
                // Writing to a String can't fail.
                let _ = write!(location, "%{byte:02X}");
            }
        }
        location
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        let data: Vec<u8> = percent_decode_str(location).collect();
        Ok(Arc::new(Self::new(data)?))
    }

    async fn stat(&self) -> Result<Stat> {
        Ok(Stat::new(self.data.len() as u64, None))
    }

    async fn open(&self) -> Result<Opened> {
        Ok(Opened::new(self.stat().await?, Arc::new(self.data.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MountUrl, conformance};

    #[tokio::test]
    async fn conforms() {
        let every_byte: Vec<u8> = (0..=255).collect();
        for data in [&b""[..], b"plain", b"a/b?c#d %2F \xff", &every_byte] {
            let mount = BytesMount::new(data.to_vec()).unwrap();
            conformance::check(&BytesMount::template(), &mount, data).await;
        }
    }

    #[test]
    fn the_largest_fits_into_a_url_and_a_larger_one_is_refused() {
        let largest = BytesMount::new(vec![0xff; MAX_BYTES]).unwrap();
        assert!(MountUrl::new("bytes", &largest.location()).is_ok());
        assert!(matches!(BytesMount::new(vec![0; MAX_BYTES + 1]), Err(Error::TooLarge { .. })));
    }
}
