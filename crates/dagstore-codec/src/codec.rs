//! The trait, and the set of codecs that a store can read.

use std::fmt::Debug;
use std::sync::Arc;

use dagstore_types::ShardRecord;

use crate::{Cbor, Error, GoKept, Json, Result};

/// The stamp of a codec, the first byte of a row. 1 to 127 belong to this project, 128 to 255 to everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecId(pub u8);

/// Turns a record into bytes and back.
pub trait Codec: Debug + Send + Sync + 'static {
    /// The codec's stamp. Never changes.
    fn id(&self) -> CodecId;

    /// The codec's name in messages and configuration, `json` for instance.
    fn name(&self) -> &'static str;

    /// The version that [`encode`](Self::encode) writes; older ones stay readable for ever.
    fn version(&self) -> u8;

    /// Appends the encoded record to `out`. The same record always gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Encode`]. `out` is then as it was.
    fn encode(&self, record: &ShardRecord, out: &mut Vec<u8>) -> Result<()>;

    /// Decodes a record of `version`, which is at most [`version`](Self::version).
    ///
    /// # Errors
    /// [`Error::Decode`] for what is no record of that version. Other bytes for the same record than `encode` writes may be
    /// decoded, such as JSON with spaces in it. Never panics.
    fn decode(&self, version: u8, bytes: &[u8]) -> Result<ShardRecord>;
}

/// The codecs that a store can read, and the one that it writes.
#[derive(Debug, Clone)]
pub struct Codecs {
    writer: Arc<dyn Codec>,
    readers: Vec<Arc<dyn Codec>>,
}

impl Codecs {
    /// Writes with `writer`; reads it, JSON and CBOR, and says what is wrong with records that were [kept](GoKept) of Go's.
    pub fn new(writer: Arc<dyn Codec>) -> Self {
        Self { readers: vec![writer.clone(), Arc::new(Json), Arc::new(Cbor), Arc::new(GoKept)], writer }
    }

    /// Reads rows of `reader`, too.
    #[must_use]
    pub fn and_read(mut self, reader: Arc<dyn Codec>) -> Self {
        self.readers.push(reader);
        self
    }

    /// The codec for new rows.
    pub fn writer(&self) -> &dyn Codec {
        &*self.writer
    }

    /// Every codec that can be read, each stamp once, the writer first.
    pub fn all(&self) -> impl Iterator<Item = &dyn Codec> {
        let is_first = |at: usize| !self.readers[..at].iter().any(|before| before.id() == self.readers[at].id());
        (0..self.readers.len()).filter(move |at| is_first(*at)).map(|at| &*self.readers[at])
    }

    /// The codec of this stamp.
    ///
    /// # Errors
    /// [`Error::UnknownCodec`].
    pub fn reader(&self, id: CodecId) -> Result<&dyn Codec> {
        let reader = self.readers.iter().find(|reader| reader.id() == id);
        reader.map(|reader| &**reader).ok_or(Error::UnknownCodec { stamp: id.0 })
    }
}

impl Default for Codecs {
    /// Writes CBOR, the smaller of the two.
    fn default() -> Self {
        Self::new(Arc::new(Cbor))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{Codec, Codecs, Json};

    #[test]
    fn each_codec_is_listed_once_and_the_writer_first() {
        let names = |codecs: Codecs| codecs.all().map(Codec::name).collect::<Vec<_>>();
        assert_eq!(names(Codecs::default())[..2], ["cbor", "json"]);
        let json = names(Codecs::new(Arc::new(Json)).and_read(Arc::new(Json)));
        assert_eq!((json[0], json.len()), ("json", 3));
    }
}
