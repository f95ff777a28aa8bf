//! The mount.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use dagstore_mount::{Capabilities, Error, Mount, Result, Stat, Streamed, redacted, secret_in};
use futures_util::stream;
use reqwest::Url;

use crate::answer::{changed, is_strong, is_unknown_method, whole, whole_of};
use crate::builder::{Base, Shared};
use crate::exchange::{Ask, Target};
use crate::failure::Failure;
use crate::retry::Tries;
use crate::stream::{Body, Resuming, part};

/// The most that is set aside for a read before its bytes come.
const SET_ASIDE: usize = 1024 * 1024;

/// A source on a web server, or the template of such. [`HttpBuilder`](crate::HttpBuilder) makes templates. Needs a tokio
/// runtime with time and I/O.
///
/// Its validator is the strong `ETag` of the source. Where there is none, it is a weak one or the time of modification, and
/// the source can only be streamed from its beginning.
#[derive(Debug, Clone)]
pub struct HttpMount {
    shared: Arc<Shared>,
    location: String,
    /// None in a template.
    source: Option<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    url: Url,
    /// The URL, fit to be printed.
    place: Arc<str>,
}

impl HttpMount {
    pub(crate) fn template(shared: Arc<Shared>) -> Self {
        Self { shared, location: String::new(), source: None }
    }

    /// The mount of the source at `location`, with all else as it is here: `//host/path` for templates of `http` and `https`, a
    /// path for those beneath a URL.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for what is no such location, and for one that has a secret in it. [`Error::Refused`] where the
    /// template doesn't allow it.
    pub fn at(&self, location: &str) -> Result<Self> {
        let text = match &self.shared.base {
            Base::Scheme(scheme) => format!("{scheme}:{location}"),
            Base::Url(base) => format!("{base}{location}"),
        };
        // A URL where a path should be is one of somebody who means what it says.
        let is_url = location.contains("://");
        let shown = || match self.shared.base {
            Base::Scheme(_) => redacted(&text),
            Base::Url(_) if is_url => redacted(location),
            Base::Url(_) => redacted(&format!("x:{location}"))[2..].to_owned(),
        };
        let bad = |why: String| Error::BadUrl { url: shown(), why };
        let by_itself = || is_url.then(|| secret_in(location)).flatten();
        if let Some(secret) = secret_in(&text).or_else(by_itself) {
            let why = "is a secret, and URLs are kept and printed; name a credential in the mount's template instead";
            return Err(bad(format!("{secret} {why}")));
        }
        if location.contains('#') {
            return Err(bad("a fragment isn't sent to anybody; write # as %23".to_owned()));
        }
        let url = Url::parse(&text).map_err(|error| bad(error.to_string()))?;
        let is_beneath = match &self.shared.base {
            Base::Scheme(_) => location.starts_with("//") && url.has_host(),
            Base::Url(base) => {
                url.origin() == base.origin() && is_below(&url, base) && !location.starts_with(['/', '\\'])
            }
        };
        if location.is_empty() || !is_beneath {
            return Err(bad("it isn't of the form //host/path, or a path beneath the template's URL".to_owned()));
        }
        self.shared.policy.check(&url)?;
        let place = redacted(url.as_str()).into();
        Ok(Self { shared: self.shared.clone(), location: location.to_owned(), source: Some(Source { url, place }) })
    }

    pub(crate) fn target(&self) -> Result<Target<'_>> {
        let Some(Source { url, place }) = &self.source else {
            let (url, why) = (String::new(), "a template has no source of its own".to_owned());
            return Err(Error::BadUrl { url, why });
        };
        Ok(Target { shared: &self.shared, url, place })
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

/// Whether `url` has the path of `base` in front of more.
fn is_below(url: &Url, base: &Url) -> bool {
    url.path().strip_prefix(base.path()).is_some_and(|rest| !rest.is_empty() || url.query().is_some())
}

#[async_trait]
impl Mount for HttpMount {
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
            match stat(target, &mut tries).await {
                Ok(stat) => return Ok(stat),
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

async fn stat(target: Target<'_>, tries: &mut Tries) -> Result<Stat, Failure> {
    let mut response = target.ask(Ask::Head, tries).await?;
    if is_unknown_method(&response) {
        // They tell the same in front of the bytes, which nobody waits for.
        response = target.ask(Ask::Whole(None), tries).await?;
    }
    Ok(whole(target.place, &response)?)
}

/// Begins a stream.
async fn open(target: Target<'_>, from: u64, known: Option<&Stat>, tries: &mut Tries) -> Result<(Stat, Body), Failure> {
    if let Some(of) = known.filter(|_| from > 0) {
        return Ok((of.clone(), part(target, (from, of.size), of, tries).await?));
    }
    let validator = known.and_then(|of| of.validator.as_deref()).filter(|validator| is_strong(validator));
    let response = target.ask(Ask::Whole(validator), tries).await?;
    let stat = match known {
        Some(of) => whole_of(target.place, &response, of)?,
        None => whole(target.place, &response)?,
    };
    let body = Body::new(response, 0, stat.size);
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
