//! Options, and how a template is made.

use std::fmt;
use std::sync::Arc;

use dagstore_mount::{Error, Result, redacted, secret_in};
use dagstore_mount_net::{Clients, Limits, Secrets};
use reqwest::Url;

use crate::HttpMount;
use crate::address::PublicResolver;
use crate::policy::{Credential, Policy};

/// How to make a template of [`HttpMount`]s.
#[derive(Debug, Clone)]
pub struct HttpBuilder {
    base: Base,
    policy: Policy,
    limits: Limits,
    roots: Vec<Vec<u8>>,
}

/// What comes in front of a location.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    /// A scheme of HTTP: locations are the rest of URLs, `//host/path`.
    Scheme(&'static str),
    /// A URL that ends with a slash: locations are paths beneath it.
    Url(Url),
}

/// All that the mounts of a template have in common. Nothing of it changes.
pub(crate) struct Shared {
    pub(crate) base: Base,
    pub(crate) policy: Policy,
    pub(crate) limits: Limits,
    pub(crate) clients: Clients,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, policy, limits, clients: _ } = self;
        let mut shown = f.debug_struct("Shared");
        shown.field("base", base).field("policy", policy).field("limits", limits).finish_non_exhaustive()
    }
}

impl HttpBuilder {
    /// How often a call follows a server elsewhere, unless told.
    pub const REDIRECTS: u32 = 3;

    /// For `https:` URLs, to be registered as `https`. Nothing but HTTPS is spoken.
    pub fn https() -> Self {
        Self::new(Base::Scheme("https"), false)
    }

    /// For `http:` URLs, to be registered as `http`.
    pub fn http() -> Self {
        Self::new(Base::Scheme("http"), true)
    }

    /// For paths beneath the URL `base`, to be registered under any scheme: `pieces:a/b.car` is `a/b.car` beneath it. Only its
    /// host is spoken to unless [`allow_hosts`](Self::allow_hosts) says more.
    ///
    /// # Errors
    /// [`Error::BadUrl`] unless it is a plain HTTP or HTTPS URL that ends with a slash.
    pub fn beneath(base: &str) -> Result<Self> {
        let bad = |why: &str| Error::BadUrl { url: redacted(base), why: why.to_owned() };
        if let Some(secret) = secret_in(base) {
            return Err(bad(&format!("{secret} is a secret; name a credential instead")));
        }
        let url = Url::parse(base).map_err(|error| bad(&error.to_string()))?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.path().ends_with('/');
        if !matches!(url.scheme(), "http" | "https") || !is_plain {
            return Err(bad("it must begin with http: or https:, end with a slash, and have no query"));
        }
        let (allows_http, host) = (url.scheme() == "http", url.host_str().unwrap_or_default().to_owned());
        Ok(Self::new(Base::Url(url), allows_http).allow_hosts([host]))
    }

    fn new(base: Base, allows_http: bool) -> Self {
        Self { base, policy: Policy::new(allows_http), limits: Limits::default(), roots: Vec::new() }
    }

    /// Speaks to these hosts only, wherever it is sent: `host.example`, or `*.example` for all hosts below it.
    #[must_use]
    pub fn allow_hosts(mut self, hosts: impl IntoIterator<Item: Into<String>>) -> Self {
        self.policy.hosts = Some(hosts.into_iter().map(|host| host.into().to_lowercase()).collect());
        self
    }

    /// Speaks to addresses of this machine and of private networks, too. Whoever registers URLs can then reach what only this
    /// machine should reach.
    #[must_use]
    pub fn allow_private_addresses(mut self) -> Self {
        self.policy.allows_private = true;
        self
    }

    /// Sends a credential to its origin.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.policy.credential = Some(credential);
        self
    }

    /// Where the values of credentials come from, by name: the environment, unless told. It is asked at each request, and must
    /// not block.
    #[must_use]
    pub fn secrets(mut self, secrets: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.policy.secrets = Secrets::new(secrets);
        self
    }

    /// Trusts this certificate authority, too: one certificate as DER.
    #[must_use]
    pub fn trust(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.roots.push(certificate.into());
        self
    }

    /// Follows a server elsewhere this often in a call, instead of [`REDIRECTS`](Self::REDIRECTS) times.
    #[must_use]
    pub fn redirects(mut self, most: u32) -> Self {
        self.policy.redirects = most;
        self
    }

    /// Changes the limits.
    #[must_use]
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// The template. Nothing is connected or read yet.
    pub fn build(self) -> HttpMount {
        let Self { base, policy, limits, roots } = self;
        let mut clients = Clients::new(limits.connect, roots);
        if !policy.allows_private {
            clients = clients.resolve_by(Arc::new(PublicResolver));
        }
        HttpMount::template(Arc::new(Shared { base, policy, limits, clients }))
    }
}
