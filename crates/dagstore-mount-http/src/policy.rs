//! Where requests may go, and what they carry there.

use std::net::IpAddr;

use dagstore_mount::{Error, Result, redacted};
use dagstore_mount_net::Secrets;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::HttpBuilder;
use crate::address::is_public;

/// A secret by its name, and where it may be sent. The value is looked up whenever it is used, and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    name: String,
    header: HeaderName,
    prefix: &'static str,
    origin: Url,
}

impl Credential {
    /// `Authorization: Bearer VALUE`, with the value of the environment variable `name`, for the scheme, host and port of
    /// `origin`, and for nobody else.
    ///
    /// # Errors
    /// [`Error::BadUrl`] unless `origin` is a URL of HTTPS or HTTP.
    pub fn bearer(name: impl Into<String>, origin: &str) -> Result<Self> {
        Self::new(name.into(), AUTHORIZATION, "Bearer ", origin)
    }

    /// The same as the value of the header `header`.
    ///
    /// # Errors
    /// As [`bearer`](Self::bearer); also where there can't be such a header.
    pub fn header(name: impl Into<String>, header: &str, origin: &str) -> Result<Self> {
        let bad = |_| Error::BadUrl { url: redacted(origin), why: format!("{header:?} can't be a header") };
        Self::new(name.into(), HeaderName::try_from(header).map_err(bad)?, "", origin)
    }

    fn new(name: String, header: HeaderName, prefix: &'static str, origin: &str) -> Result<Self> {
        let bad = |why: String| Error::BadUrl { url: redacted(origin), why };
        let url = Url::parse(origin).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("a credential is sent over https, or over http on a trusted network".to_owned()));
        }
        Ok(Self { name, header, prefix, origin: url })
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) allows_http: bool,
    pub(crate) allows_private: bool,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) credential: Option<Credential>,
    pub(crate) secrets: Secrets,
    /// How many of them a call follows.
    pub(crate) redirects: u32,
}

impl Policy {
    pub(crate) fn new(allows_http: bool) -> Self {
        let (secrets, redirects) = (Secrets::default(), HttpBuilder::REDIRECTS);
        Self { allows_http, allows_private: false, hosts: None, credential: None, secrets, redirects }
    }

    /// Whether `url` may be asked. Names are resolved later: [`crate::address`].
    pub(crate) fn check(&self, url: &Url) -> Result<()> {
        let refused = |why: String| Err(Error::Refused { place: redacted(url.as_str()), why });
        match url.scheme() {
            "https" => {}
            "http" if self.allows_http => {}
            scheme => return refused(format!("the scheme {scheme} isn't allowed here")),
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_lowercase();
        let is_meant = |allowed: &String| match allowed.strip_prefix('*') {
            Some(domain) => domain.starts_with('.') && host.len() > domain.len() && host.ends_with(domain),
            None => *allowed == host,
        };
        if self.hosts.as_ref().is_some_and(|hosts| !hosts.iter().any(is_meant)) {
            return refused(format!("the host {host} isn't one of those that are allowed"));
        }
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        if !self.allows_private && address.is_some_and(|address| !is_public(address)) {
            return refused(format!("{host} is no public address"));
        }
        Ok(())
    }

    /// What goes with a request to `url`.
    pub(crate) fn credential_for(&self, url: &Url) -> Result<Option<(HeaderName, HeaderValue)>> {
        let Some(credential) = self.credential.as_ref().filter(|its| its.origin.origin() == url.origin()) else {
            return Ok(None);
        };
        let missing = |why: &str| {
            let (place, name) = (redacted(url.as_str()), credential.name.clone());
            Error::NoCredential { place, name, why: why.to_owned() }
        };
        let secret = self.secrets.get(&credential.name).ok_or_else(|| missing("it isn't set"))?;
        let value = HeaderValue::try_from(format!("{}{secret}", credential.prefix));
        // What is wrong with it isn't told, because that would tell of it.
        let mut value = value.map_err(|_| missing("its value can't stand in a header"))?;
        value.set_sensitive(true);
        Ok(Some((credential.header.clone(), value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_were_named() {
        let mut policy = Policy::new(false);
        policy.hosts = Some(vec!["one.example".to_owned(), "*.two.example".to_owned()]);
        let allows = |url: &str| policy.check(&Url::parse(url).unwrap()).is_ok();
        for good in
            ["https://one.example/", "https://ONE.example:8443/", "https://one.example./", "https://a.b.two.example/"]
        {
            assert!(allows(good), "{good}");
        }
        for bad in ["https://two.example/", "https://atwo.example/", "https://one.example.evil/", "http://one.example/"]
        {
            assert!(!allows(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_in_urls_are_public_in_every_spelling() {
        let policy = Policy::new(true);
        let allows = |url: &str| policy.check(&Url::parse(url).unwrap()).is_ok();
        for bad in
            ["127.0.0.1", "0x7f.1", "2130706433", "127.0.0.1.", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254", "0"]
        {
            assert!(!allows(&format!("http://{bad}/")), "{bad}");
        }
        for good in ["1.1.1.1", "[2606:4700::1111]", "host.example"] {
            assert!(allows(&format!("http://{good}/")), "{good}");
        }
    }
}
