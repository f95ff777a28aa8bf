//! Secrets are told to nobody but their origin.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

use dagstore_mount::{Error, Mount, MountUrl, Registry};
use dagstore_mount_http::{Credential, HttpBuilder};
use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Reply, Server, content, location_of, quick, stream};

const CANARY: &str = "canary";

#[test]
fn fault_38_a_url_with_a_secret_is_no_url_of_a_mount() {
    let mut registry = Registry::new();
    registry.register("https", HttpBuilder::https().build()).unwrap();
    registry.register("pieces", HttpBuilder::beneath("https://host.example/").unwrap().build()).unwrap();
    for url in [
        "https://user:canary@host.example/a",
        "https://canary@host.example/a",
        "https:user:canary@host.example/a",
        "https://host.example/a?X-Amz-Signature=canary",
        "https://host.example/a?b=c&sig=canary",
        "https://host.example/a?b=c&s%69g=canary",
        "https://host.example/a#token=canary",
        "pieces:a?access_token=canary",
        "pieces://user:canary@host.example/",
        "pieces:https://user:canary@host.example/",
    ] {
        let refused = registry.instantiate(&MountUrl::parse(url).unwrap());
        assert!(matches!(refused, Err(Error::BadUrl { .. })), "{url}: {refused:?}");
        let told = format!("{refused:?} {}", refused.as_ref().unwrap_err());
        assert!(!told.contains(CANARY), "{told}");
    }
    let base = HttpBuilder::beneath("https://user:canary@host.example/").unwrap_err();
    assert!(!format!("{base} {base:?}").contains(CANARY));
}

/// Everything that is logged, at the finest level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn fault_38_no_error_and_no_log_tells_a_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // For all threads: what another test logs first would otherwise be taken for something that nobody wants to hear.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    // Sent on with a signature, as object stores do, to where things go wrong in all ways.
    // Held, so that no other server is given it, and not listened at.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = held.local_addr().unwrap();
    let replies = [
        Reply::new(307).with("location", format!("http://{nobody}/a?X-Amz-Signature=canary")),
        Reply::new(307).with("location", "http://user:canary@127.0.0.1/"),
        Reply::new(307).with("location", "ftp://host.example/?sig=canary"),
        Reply::new(307).with("location", "http://host:canary/?sig=canary"),
        Reply::new(403),
        Reply::new(404),
        Reply::new(503),
        Reply::new(200),
        Reply::new(200).with("content-length", "100").body(content(10)),
        Reply::new(200).with("content-length", "3").body(content(3)),
    ];
    let mut told = String::new();
    for reply in replies {
        let server = Server::start(move |_, _| reply.clone()).await;
        let credential = Credential::bearer("TOKEN", &format!("http://{}", server.address)).unwrap();
        let builder = quick(HttpBuilder::http()).credential(credential).secrets(|_| Some(CANARY.to_owned()));
        let mount = builder.build().at(&location_of(&server)).unwrap();
        write!(told, "{mount:?} {} ", mount.location()).unwrap();
        for error in [mount.stat().await.err(), stream(&mount, 0, None).await.err()].into_iter().flatten() {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            writeln!(told, "{error} {error:?} {source:?}").unwrap();
        }
        // It did go where it belongs.
        assert!(server.requests().iter().all(|request| request.header("authorization") == Some("Bearer canary")));
    }
    assert!(!told.contains(CANARY), "{told}");
    let logged = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(logged.contains("tried again"), "the log is there: {logged}");
    assert!(!logged.contains(CANARY), "{logged}");
}
