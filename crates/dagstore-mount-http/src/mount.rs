//! The mount.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::{Capabilities, Error, Mount, Result, Stat, Streamed, redacted, secret_in};
use reqwest::Url;

use crate::builder::{Base, Shared};
use crate::exchange::Target;

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

    fn target(&self) -> Result<Target> {
        let Some(Source { url, place }) = self.source.clone() else {
            let (url, why) = (String::new(), "a template has no source of its own".to_owned());
            return Err(Error::BadUrl { url, why });
        };
        Ok(Target { shared: self.shared.clone(), url, place })
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
        dagstore_mount_net::stat(&self.target()?).await
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        dagstore_mount_net::stream(self.target()?, from, of).await
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        dagstore_mount_net::read(&self.target()?, at, len, of).await
    }
}
