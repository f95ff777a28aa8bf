//! HTTPS, with a certificate of our own.

use std::sync::Arc;

use dagstore_mount::{Error, Mount, conformance};
use dagstore_mount_http::HttpBuilder;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Reply, Server, content, good, quick};

/// A server's end of TLS for `localhost`, and the certificate that vouches for it.
fn acceptor() -> (TlsAcceptor, Vec<u8>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
    (TlsAcceptor::from(Arc::new(config)), cert.der().to_vec())
}

fn behind(tls: TlsAcceptor) -> impl Fn(TcpStream) -> BoxFuture<'static, Option<TlsStream<TcpStream>>> {
    move |stream| {
        let accepting = tls.accept(stream);
        async { accepting.await.ok() }.boxed()
    }
}

#[tokio::test]
async fn https_is_spoken_with_whom_it_may_be() {
    let (tls, certificate) = acceptor();
    let content = content(100_000);
    let served = content.clone();
    let server = Server::start_behind(behind(tls), move |request, _| good(request, &served, Some("\"1\""))).await;
    let location = format!("//localhost:{}/a.car", server.address.port());
    let template = quick(HttpBuilder::https()).trust(certificate).build();
    conformance::check(&template, &template.at(&location).unwrap(), &content).await;

    // The same without trust, and with a name that the certificate doesn't have.
    let before = server.requests().len();
    let untrusted = quick(HttpBuilder::https()).build().at(&location).unwrap().stat().await;
    assert!(matches!(untrusted, Err(Error::Unavailable { .. })), "{untrusted:?}");
    let misnamed = template.at(&format!("//127.0.0.1:{}/a.car", server.address.port())).unwrap().stat().await;
    assert!(matches!(misnamed, Err(Error::Unavailable { .. })), "{misnamed:?}");
    assert_eq!(server.requests().len(), before);
}

#[tokio::test]
async fn https_never_becomes_http() {
    let (tls, certificate) = acceptor();
    let plain = Server::good(&content(10)).await;
    let elsewhere = format!("http://localhost:{}/a", plain.address.port());
    let server =
        Server::start_behind(behind(tls), move |_, _| Reply::new(307).with("location", elsewhere.clone())).await;
    let base = format!("https://localhost:{}/", server.address.port());
    for builder in [HttpBuilder::https(), HttpBuilder::beneath(&base).unwrap()] {
        let template = quick(builder).trust(certificate.clone()).build();
        let location = if template.at("a").is_ok() { "a".to_owned() } else { base["https:".len()..].to_owned() };
        let sent = template.at(&location).unwrap().stat().await;
        assert!(matches!(&sent, Err(Error::Refused { why, .. }) if why.contains("no longer https")), "{sent:?}");
    }
    assert!(plain.requests().is_empty());
}
