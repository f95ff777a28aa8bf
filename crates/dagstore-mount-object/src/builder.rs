//! Options, and how a template is made.

use std::collections::BTreeSet;
use std::sync::Arc;

use dagstore_mount::{Error, Result, redacted, secret_in};
use dagstore_mount_net::{Clients, Limits, Secrets};
use object_store::ObjectStore;
use reqwest::Url;

use crate::ObjectMount;
use crate::access::Access;
use crate::backend::{Backend, Kind};
use crate::service::Service;

/// How to make a template of [`ObjectMount`]s.
#[derive(Debug, Clone)]
pub struct ObjectBuilder {
    kind: Kind,
    access: Access,
    secrets: Secrets,
    endpoint: Option<String>,
    allows_http: bool,
    buckets: Option<BTreeSet<String>>,
    roots: Vec<Vec<u8>>,
    limits: Limits,
}

/// All that the mounts of a template have in common. Nothing of it changes.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) backend: Backend,
    pub(crate) buckets: Option<BTreeSet<String>>,
    pub(crate) limits: Limits,
}

impl ObjectBuilder {
    /// For S3, and with an [`endpoint`](Self::endpoint) for what speaks its protocol. The region is `us-east-1` unless told, and
    /// the bucket is a part of the path.
    pub fn s3(access: Access) -> Self {
        Self::new(Kind::S3 { region: "us-east-1".to_owned(), is_virtual_hosted: false }, access)
    }

    /// For Google Cloud Storage.
    pub fn google(access: Access) -> Self {
        Self::new(Kind::Google, access)
    }

    /// For Azure Blob Storage: the containers of this account are its buckets.
    pub fn azure(account: impl Into<String>, access: Access) -> Self {
        Self::new(Kind::Azure { account: account.into() }, access)
    }

    /// For anything that `object_store` speaks: each store under the name of a bucket. Endpoints, credentials, certificates and the
    /// checks of answers are the store's own then; time, tries and the checks of what it makes of answers are the mount's.
    pub fn over(stores: impl IntoIterator<Item = (String, Arc<dyn ObjectStore>)>) -> Self {
        Self::new(Kind::Given(stores.into_iter().collect()), Access::Unsigned)
    }

    fn new(kind: Kind, access: Access) -> Self {
        let buckets = if let Kind::Given(stores) = &kind { Some(stores.keys().cloned().collect()) } else { None };
        let (secrets, limits) = (Secrets::default(), Limits::default());
        Self { kind, access, secrets, endpoint: None, allows_http: false, buckets, roots: Vec::new(), limits }
    }

    /// Asks on another's behalf than was said first. Nothing where stores are [given](Self::over).
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Asks at this URL instead of the vendor's: `https://s3.archive.example`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// The region, of S3 only.
    #[must_use]
    pub fn region(mut self, name: impl Into<String>) -> Self {
        if let Kind::S3 { region, .. } = &mut self.kind {
            *region = name.into();
        }
        self
    }

    /// Makes the bucket a part of the host's name, of S3 only: `https://bucket.s3.archive.example/key`.
    #[must_use]
    pub fn virtual_hosted(mut self) -> Self {
        if let Kind::S3 { is_virtual_hosted, .. } = &mut self.kind {
            *is_virtual_hosted = true;
        }
        self
    }

    /// Takes an endpoint of plain HTTP: who sees the network sees the data, and the tokens of Google and Azure.
    #[must_use]
    pub fn allow_http(mut self) -> Self {
        self.allows_http = true;
        self
    }

    /// Asks for objects of these buckets only.
    #[must_use]
    pub fn allow_buckets(mut self, buckets: impl IntoIterator<Item: Into<String>>) -> Self {
        self.buckets = Some(buckets.into_iter().map(Into::into).collect());
        self
    }

    /// Where the values of [`Access::Named`] come from, by the names of their variables: the environment, unless told. It is asked
    /// at each request, and must not block.
    #[must_use]
    pub fn secrets(mut self, secrets: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.secrets = Secrets::new(secrets);
        self
    }

    /// Trusts this certificate authority, too: one certificate as DER.
    #[must_use]
    pub fn trust(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.roots.push(certificate.into());
        self
    }

    /// Changes the limits.
    #[must_use]
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// The template. Nothing is connected or read yet.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for an endpoint that is no plain URL of HTTPS, or of HTTP where that is allowed, and for a region, an
    /// account or a credential that can't have such a name.
    pub fn build(self) -> Result<ObjectMount> {
        let endpoint = self.endpoint.as_deref().map(|endpoint| checked(endpoint, self.allows_http)).transpose()?;
        match (&self.kind, &self.access) {
            (Kind::S3 { region, .. }, _) if !is_word(region, b"-") => {
                return Err(bad(region, "no region is called so"));
            }
            (Kind::Azure { account }, _) if !is_word(account, b"-") => {
                return Err(bad(account, "no account is called so"));
            }
            (_, Access::Named(name)) if !is_word(name, b"_") => {
                return Err(bad(name, "a credential is named by letters, digits and _, as its variables are"));
            }
            _ => {}
        }
        let service = Service::new(Clients::new(self.limits.connect, self.roots));
        let backend = Backend::new(self.kind, endpoint, self.access, self.secrets, service);
        Ok(ObjectMount::template(Arc::new(Shared { backend, buckets: self.buckets, limits: self.limits })))
    }
}

fn checked(endpoint: &str, allows_http: bool) -> Result<Url> {
    if let Some(secret) = secret_in(endpoint) {
        return Err(bad(endpoint, &format!("{secret} is a secret; name a credential instead")));
    }
    let url = Url::parse(endpoint).map_err(|error| bad(endpoint, &error.to_string()))?;
    if url.query().is_some() || url.fragment().is_some() || !url.has_host() {
        return Err(bad(endpoint, "an endpoint has a host, no parameters and no fragment"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allows_http => Ok(url),
        "http" => Err(bad(endpoint, "plain HTTP has to be allowed")),
        _ => Err(bad(endpoint, "an endpoint is a URL of HTTPS")),
    }
}

fn bad(text: &str, why: &str) -> Error {
    Error::BadUrl { url: redacted(text), why: why.to_owned() }
}

fn is_word(text: &str, others: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}
