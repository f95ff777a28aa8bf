//! The mount.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dagstore_mount::{Capabilities, Error, Mount, Result, Stat, Streamed};
use futures_util::stream;

use crate::asking::{Ask, Target};
use crate::builder::Shared;
use crate::failure::{Failure, changed};
use crate::location::Place;
use crate::retry::Tries;
use crate::stream::{Body, Resuming, part};

/// The most that is set aside for a read before its bytes come.
const SET_ASIDE: usize = 1024 * 1024;

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

    pub(crate) fn target(&self) -> Result<Target<'_>> {
        let Some(Place { bucket, key, shown }) = &self.source else {
            let (url, why) = (String::new(), "a template has no source of its own".to_owned());
            return Err(Error::BadUrl { url, why });
        };
        Ok(Target { shared: &self.shared, bucket, key, place: shown })
    }

    fn tries(&self) -> Tries {
        Tries::new(&self.shared.limits)
    }

    /// Looks at the source, and compares.
    async fn check(&self, of: &Stat) -> Result<Stat> {
        let stat = self.stat().await?;
        if stat.same_content(of) { Ok(stat) } else { Err(changed(self.target()?.place)) }
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
        let target = self.target()?;
        let mut tries = self.tries();
        loop {
            match target.ask(Ask::Head, &mut tries).await {
                Ok((stat, _)) => return Ok(stat),
                Err(failure) => tries.pause(target.place, failure).await.map_err(|failure| failure.error)?,
            }
        }
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        let target = self.target()?;
        let known = match of {
            Some(of) if from < of.size || from == 0 => Some(of.clone()),
            Some(of) => Some(self.check(of).await?),
            None if from > 0 => Some(self.stat().await?),
            None => None,
        };
        if let Some(stat) = known.clone().filter(|stat| from > 0 && from >= stat.size) {
            return Ok(Streamed::new(stat, stream::empty()));
        }
        let mut tries = self.tries();
        let (stat, body) = loop {
            match open(target, from, known.as_ref(), &mut tries).await {
                Ok(opened) => break opened,
                Err(failure) => tries.pause(target.place, failure).await.map_err(|failure| failure.error)?,
            }
        };
        let resuming = Resuming::new(self.clone(), stat.clone(), body, tries);
        let bytes = stream::try_unfold(resuming, async |mut resuming| {
            Ok(resuming.next().await?.map(|piece| (piece, resuming)))
        });
        Ok(Streamed::new(stat, bytes))
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        let target = self.target()?;
        let end = of.size.min(at.saturating_add(len as u64));
        if at >= end {
            self.check(of).await?;
            return Ok(Bytes::new());
        }
        let mut tries = self.tries();
        loop {
            match read(target, (at, end), of, &mut tries).await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => tries.pause(target.place, failure).await.map_err(|failure| failure.error)?,
            }
        }
    }
}

/// Begins a stream.
async fn open(target: Target<'_>, from: u64, known: Option<&Stat>, tries: &mut Tries) -> Result<(Stat, Body), Failure> {
    if let Some(of) = known.filter(|_| from > 0) {
        return Ok((of.clone(), part(target, (from, of.size), of, tries).await?));
    }
    let (stat, result) = target.ask(Ask::Whole(known.cloned()), tries).await?;
    let body = Body::new(result, 0, stat.size);
    Ok((stat, body))
}

async fn read(target: Target<'_>, (at, end): (u64, u64), of: &Stat, tries: &mut Tries) -> Result<Bytes, Failure> {
    let mut body = part(target, (at, end), of, tries).await?;
    let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::with_capacity(wanted.min(SET_ASIDE));
    while let Some(piece) = body.next(target.place, of.size, tries).await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}
