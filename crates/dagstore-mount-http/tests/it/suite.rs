//! The suite of all mounts, against servers that can and can't do this and that.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::conformance::{self, Source};
use dagstore_mount::{Mount, Registry};
use dagstore_mount_http::{HttpBuilder, HttpMount};
use parking_lot::Mutex;

use crate::support::{Reply, Server, content, good, quick};

#[tokio::test]
async fn a_good_server() {
    for size in [0, 1, 100_000] {
        let content = content(size);
        let server = Server::good(&content).await;
        let template = quick(HttpBuilder::http()).build();
        conformance::check(&template, &server.mount(), &content).await;
    }
}

#[tokio::test]
async fn servers_without_strong_validators_and_without_ranges() {
    let content = content(100_000);
    let bends: [fn(Reply) -> Reply; 4] = [
        |reply| reply.with("etag", "W/\"1\""),
        |reply| reply.without("etag"),
        |reply| reply.without("etag").with("last-modified", "Sat, 21 Nov 2026 12:00:00 GMT"),
        |reply| reply.with("accept-ranges", "none"),
    ];
    for bend in bends {
        let server = Server::bent(&content, move |_, reply| bend(reply)).await;
        let mount = server.mount();
        let stat = mount.stat().await.unwrap();
        assert!(stat.sequential_only, "{stat:?}");
        conformance::check(&quick(HttpBuilder::http()).build(), &mount, &content).await;
    }
}

#[tokio::test]
async fn a_server_that_knows_no_head() {
    let content = content(1000);
    for status in [405, 501] {
        let server = Server::bent(&content, move |request, reply| match &*request.method {
            "HEAD" => Reply::new(status),
            _ => reply,
        });
        let server = server.await;
        conformance::check(&quick(HttpBuilder::http()).build(), &server.mount(), &content).await;
    }
}

#[tokio::test]
async fn a_template_of_its_own_scheme() {
    let content = content(1000);
    let server = Server::good(&content).await;
    let base = format!("http://{}/pieces/", server.address);
    let mut registry = Registry::with_defaults();
    registry.register("pieces", quick(HttpBuilder::beneath(&base).unwrap()).build()).unwrap();
    registry.register("http", quick(HttpBuilder::http()).build()).unwrap();
    let template = registry.template::<HttpMount>("pieces").unwrap();
    let mount = template.clone().try_map(|template| template.at("a%2Fb.car?c=d")).unwrap();
    assert_eq!(registry.represent(&mount).unwrap().as_str(), "pieces:a%2Fb.car?c=d");
    conformance::check(&template, &mount, &content).await;
    assert!(server.requests().iter().all(|request| request.path == "/pieces/a%2Fb.car?c=d"));
}

/// A server whose content changes.
struct Changing {
    server: Server,
    content: Arc<Mutex<(u64, Option<Bytes>)>>,
}

impl Changing {
    async fn start(has_validator: bool) -> Self {
        let content: Arc<Mutex<(u64, Option<Bytes>)>> = Arc::default();
        let shared = content.clone();
        let server = Server::start(move |request, _| {
            let (version, content) = shared.lock().clone();
            let etag = format!("\"{version}\"");
            match content {
                Some(content) => good(request, &content, has_validator.then_some(&*etag)),
                None => Reply::new(404),
            }
        });
        Self { server: server.await, content }
    }
}

#[async_trait]
impl Source for Changing {
    fn mount(&self) -> Arc<dyn Mount> {
        Arc::new(self.server.mount())
    }

    async fn serve(&self, content: Option<Bytes>) {
        let mut served = self.content.lock();
        *served = (served.0 + 1, content);
    }

    fn held(&self) -> Option<u64> {
        Some(self.server.held())
    }
}

#[tokio::test]
async fn a_source_that_changes() {
    for has_validator in [true, false] {
        conformance::check_source(&Changing::start(has_validator).await).await;
    }
}
