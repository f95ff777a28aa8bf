//! The mount.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::{Capabilities, Error, Mount, Result, Stat, Streamed};

use crate::asking::Target;
use crate::builder::Shared;
use crate::location::Place;

/// An object of a store, or the template of such. [`ObjectBuilder`](crate::ObjectBuilder) makes templates. Needs a tokio
/// runtime with time and I/O.
///
/// Its validator is the strong `ETag` of the object. Where there is none, it is the object's version, a weak tag or the time of
/// modification, and the object can only be streamed from its beginning.
#[derive(Debug, Clone)]
pub struct ObjectMount {
    shared: Arc<Shared>,
    location: String,
    /// None in a template.
    source: Option<Place>,
}

impl ObjectMount {
    pub(crate) fn template(shared: Arc<Shared>) -> Self {
        Self { shared, location: String::new(), source: None }
    }

    /// The mount of the object at `location`, `//bucket/key`, with all else as it is here.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for what is no such location, and for one with user information or parameters. [`Error::Refused`] where the
    /// template doesn't allow the bucket.
    pub fn at(&self, location: &str) -> Result<Self> {
        let place = Place::parse(location, &self.shared.backend.suffix())?;
        if self.shared.buckets.as_ref().is_some_and(|buckets| !buckets.contains(&place.bucket)) {
            let why = format!("the bucket {} isn't one of those that are allowed", place.bucket);
            return Err(Error::Refused { place: place.shown.to_string(), why });
        }
        Ok(Self { shared: self.shared.clone(), location: location.to_owned(), source: Some(place) })
    }

    fn target(&self) -> Result<Target> {
        let Some(Place { bucket, key, shown }) = self.source.clone() else {
            let (url, why) = (String::new(), "a template has no source of its own".to_owned());
            return Err(Error::BadUrl { url, why });
        };
        Ok(Target { shared: self.shared.clone(), bucket, key, place: shown })
    }
}

#[async_trait]
impl Mount for ObjectMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::REMOTE
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(self.at(location)?))
    }

    async fn stat(&self) -> Result<Stat> {
        dagstore_mount_net::stat(&self.target()?).await
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        dagstore_mount_net::stream(self.target()?, from, of).await
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        dagstore_mount_net::read(&self.target()?, at, len, of).await
    }
}
