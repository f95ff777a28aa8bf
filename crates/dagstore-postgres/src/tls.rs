//! TLS, with the one provider of cryptography that the workspace has.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Makes connections that check the server's certificate: against the system's roots, and those of the file.
///
/// # Errors
/// In words.
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(ring::default_provider());
    let roots = ca_file.map(certificates).transpose()?.unwrap_or_default();
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone())
        .map_err(|error| format!("the system's certificates can't be used: {error}"))?;
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| error.to_string())?;
    // The platform's verifier isn't one that skips anything; the interface is called so for all that are given by hand.
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(MakeRustlsConnect::new(builder.with_no_client_auth()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let problem = |error| format!("the certificates in {} can't be read: {error}", file.display());
    let certificates = CertificateDer::pem_file_iter(file).map_err(problem)?.collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(problem)?;
    if certificates.is_empty() {
        return Err(format!("there is no certificate in {}", file.display()));
    }
    Ok(certificates)
}
