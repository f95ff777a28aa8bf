//! The HTTP clients behind a template.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Client;
use reqwest::dns::Resolve;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

/// One client for each scheme, made when it is first used: HTTP shall work on a machine that has no certificates.
pub struct Clients {
    connect: Duration,
    roots: Vec<Vec<u8>>,
    /// None for the system's.
    resolver: Option<Arc<dyn Resolve>>,
    http: OnceLock<Client>,
    https: OnceLock<Client>,
}

/// Why there is no client, in words.
pub type Unusable = String;

impl Clients {
    /// Clients that wait for connections as long as `connect`, and trust whom the system trusts, and `roots`: certificates as DER.
    pub fn new(connect: Duration, roots: Vec<Vec<u8>>) -> Self {
        Self { connect, roots, resolver: None, http: OnceLock::new(), https: OnceLock::new() }
    }

    /// The same, with names resolved by `resolver`. What it gives is what is connected to.
    #[must_use]
    pub fn resolve_by(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// The client for a scheme, `http` or `https`.
    ///
    /// # Errors
    /// The certificates of the system or of the template can't be used.
    pub fn of(&self, scheme: &str) -> Result<&Client, Unusable> {
        let (place, is_safe) = if scheme == "https" { (&self.https, true) } else { (&self.http, false) };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        // Two that come at the same time both make one, and one of them is used.
        let made = self.make(is_safe)?;
        Ok(place.get_or_init(|| made))
    }

    fn make(&self, is_safe: bool) -> Result<Client, Unusable> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut builder = Client::builder()
            .tls_backend_preconfigured(if is_safe { self.tls()? } else { no_tls()? })
            .default_headers(headers)
            .user_agent(concat!("dagstore/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect)
            // A place is checked before it is asked, a credential is for one place, and a proxy would ask another.
            .redirect(Policy::none())
            .no_proxy()
            .referer(false);
        if let Some(resolver) = &self.resolver {
            builder = builder.dns_resolver(resolver.clone());
        }
        builder.build().map_err(|error| format!("the HTTP client can't be made: {error}"))
    }

    fn tls(&self) -> Result<ClientConfig, Unusable> {
        let provider = Arc::new(ring::default_provider());
        let roots = self.roots.iter().cloned().map(CertificateDer::from);
        let verifier = Verifier::new_with_extra_roots(roots, provider.clone())
            .map_err(|error| format!("the system's certificates can't be used: {error}"))?;
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = versions.map_err(|error| error.to_string())?;
        // The platform's verifier isn't one that skips anything; the interface is called so for all that are given by hand.
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// For a client that only speaks plain HTTP: it trusts nobody.
fn no_tls() -> Result<ClientConfig, Unusable> {
    let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = versions.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}
