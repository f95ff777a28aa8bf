//! Secrets are told to nobody but the store that they are for.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

use dagstore_mount::{Error, Mount, MountUrl, Registry};
use dagstore_mount_object::{Access, ObjectBuilder};
use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{LOCATION, Reply, Server, content, quick, stream};

const CANARY: &str = "canary";

#[test]
fn fault_38_a_url_with_a_secret_is_no_url_of_a_mount() {
    let mut registry = Registry::new();
    registry.register("s3", ObjectBuilder::s3(Access::Unsigned).build().unwrap()).unwrap();
    for url in [
        "s3://user:canary@cars/a",
        "s3://canary@cars/a",
        "s3:user:canary@cars/a",
        "s3://cars/a?X-Amz-Signature=canary",
        "s3://cars/a?b=c&sig=canary",
        "s3://cars/a?b=c&s%69g=canary",
        "s3://cars/a#token=canary",
        // No secret that is known as one, and no parameter of a mount's all the same.
        "s3://cars/a?key=canary",
        "s3://cars/a#canary",
    ] {
        let refused = registry.instantiate(&MountUrl::parse(url).unwrap());
        assert!(matches!(refused, Err(Error::BadUrl { .. })), "{url}: {refused:?}");
        let told = format!("{refused:?} {}", refused.as_ref().unwrap_err());
        assert!(!told.contains(CANARY), "{told}");
    }
    let endpoint = ObjectBuilder::s3(Access::Unsigned).endpoint("https://user:canary@s3.example").build().unwrap_err();
    assert!(!format!("{endpoint} {endpoint:?}").contains(CANARY));
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

/// Stores of all kinds, each with a secret that looks as it has to.
fn templates() -> Vec<ObjectBuilder> {
    let secrets = |name: &str| match name {
        "A_SAS_TOKEN" => Some("sv=1&sig=canary".to_owned()),
        "B_ACCESS_KEY" => Some("canary+canary+canary".to_owned()),
        "A_ACCESS_KEY" => None,
        _ => Some(CANARY.to_owned()),
    };
    let builders = [
        ObjectBuilder::s3(Access::named("A")),
        ObjectBuilder::google(Access::named("A")),
        ObjectBuilder::azure("account", Access::named("A")),
        ObjectBuilder::azure("account", Access::named("B")),
    ];
    builders.into_iter().map(|builder| quick(builder).allow_http().secrets(secrets)).collect()
}

/// What goes wrong, in all ways, with servers that repeat what they were sent.
fn replies() -> Vec<Reply> {
    let echo = "<Error><Code>canary</Code><Message>Bearer canary, sig=canary</Message></Error>";
    vec![
        Reply::new(307).with("location", "http://127.0.0.1:1/?sig=canary"),
        Reply::new(307).with("location", "http://user:canary@127.0.0.1:1/"),
        Reply::new(400).body(echo),
        Reply::new(403).body(echo),
        Reply::new(404).body(echo),
        Reply::new(409).body(echo).with("x-ms-error-code", "canary"),
        Reply::new(503).body(echo),
        Reply::new(200),
        Reply::new(200).with("content-length", "canary"),
        Reply::new(200).with("content-length", "3").with("content-encoding", "canary"),
        Reply::new(200).with("content-length", "3").with("last-modified", "canary").body(content(3)),
        Reply::new(200).with("content-length", "100").with("etag", "\"1\"").body(content(10)),
        Reply::new(200).with("content-length", "3").body(content(3)),
    ]
}

#[tokio::test]
async fn fault_38_no_error_and_no_log_tells_a_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // For all threads: what another test logs first would otherwise be taken for something that nobody wants to hear.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    // Held, so that no other server is given it, and not listened at.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = held.local_addr().unwrap();
    let (mut told, mut errors) = (String::new(), 0);
    for builder in templates() {
        let mut endpoints = vec![(None, format!("http://{nobody}"))];
        for reply in replies() {
            let server = Server::start(move |_, _| reply.clone()).await;
            let endpoint = server.endpoint();
            endpoints.push((Some(server), endpoint));
        }
        for (server, endpoint) in endpoints {
            let template = builder.clone().endpoint(endpoint).build().unwrap();
            let mount = template.at(LOCATION).unwrap();
            write!(told, "{builder:?} {template:?} {mount:?} {} ", mount.location()).unwrap();
            for error in [mount.stat().await.err(), stream(&mount, 0, None).await.err()].into_iter().flatten() {
                let source = std::error::Error::source(&error).map(|source| format!("{source} {source:?}"));
                writeln!(told, "{error} {error:?} {source:?}").unwrap();
                errors += 1;
            }
            // It was there, in one way or another.
            let requests = server.iter().flat_map(Server::requests);
            let has_it = |text: &str| ["canary", "SharedKey"].iter().any(|secret| text.contains(secret));
            for request in requests {
                let signed = request.header("authorization").unwrap_or_default();
                assert!(has_it(signed) || has_it(&request.path), "{request:?}");
            }
        }
    }
    assert!(errors > 80, "only {errors} errors were told");
    assert!(!told.contains(CANARY), "{told}");
    let logged = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(logged.contains("tried again"), "the log is there: {logged}");
    let line = logged.lines().find(|line| line.contains(CANARY));
    assert!(line.is_none(), "{line:?}");
}
