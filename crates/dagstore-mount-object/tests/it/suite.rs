//! The suite of all mounts, against stores that can and can't do this and that.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::conformance::{self, Source};
use dagstore_mount::{Counting, Counts, Mount};
use dagstore_mount_object::object_store::memory::InMemory;
use dagstore_mount_object::object_store::path::Path;
use dagstore_mount_object::object_store::{ObjectStore, ObjectStoreExt};
use dagstore_mount_object::{Access, ObjectBuilder, ObjectMount};
use parking_lot::Mutex;

use crate::support::{LOCATION, Reply, Server, content, good, quick, s3};

#[tokio::test]
async fn a_good_server() {
    for size in [0, 1, 100_000] {
        let content = content(size);
        let server = Server::good(&content).await;
        let template = s3(&server, Access::Unsigned).build().unwrap();
        conformance::check(&template, &server.mount(), &content).await;
    }
}

#[tokio::test]
async fn the_dialects_of_the_others() {
    let content = content(100_000);
    let server = Server::good(&content).await;
    let builders = [ObjectBuilder::google(Access::Unsigned), ObjectBuilder::azure("account", Access::Unsigned)];
    for builder in builders {
        let template = quick(builder).endpoint(server.endpoint()).allow_http().build().unwrap();
        conformance::check(&template, &template.at(LOCATION).unwrap(), &content).await;
    }
}

#[tokio::test]
async fn servers_without_strong_validators_and_without_ranges() {
    let content = content(100_000);
    let bends: [fn(Reply) -> Reply; 5] = [
        |reply| reply.with("etag", "W/\"1\""),
        |reply| reply.without("etag"),
        |reply| reply.without("etag").without("last-modified"),
        |reply| reply.without("etag").with("x-amz-version-id", "one"),
        |reply| reply.with("accept-ranges", "none"),
    ];
    let validators =
        [Some("W/\"1\""), Some("modified 2026-11-21T12:00:00+00:00"), None, Some("version one"), Some("\"1\"")];
    for (bend, validator) in bends.into_iter().zip(validators) {
        let server = Server::bent(&content, move |_, reply| bend(reply)).await;
        let mount = server.mount();
        let stat = mount.stat().await.unwrap();
        assert!(stat.sequential_only, "{stat:?}");
        assert_eq!(stat.validator.as_deref(), validator);
        conformance::check(&s3(&server, Access::Unsigned).build().unwrap(), &mount, &content).await;
    }
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
                Some(content) => {
                    // One minute for each version: without a validator that is what tells them apart.
                    let modified = format!("Sat, 21 Nov 2026 12:{version:02}:00 GMT");
                    good(request, &content, has_validator.then_some(&*etag)).with("last-modified", modified)
                }
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

/// A store that somebody has made.
struct Memory {
    store: Arc<InMemory>,
    mount: Counting,
    counts: Arc<Counts>,
}

fn over(store: Arc<dyn ObjectStore>) -> ObjectMount {
    ObjectBuilder::over([("cars".to_owned(), store)]).build().unwrap()
}

impl Memory {
    fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let mount = Counting::new(over(store.clone()).at(LOCATION).unwrap());
        let counts = mount.counts();
        Self { store, mount, counts }
    }
}

#[async_trait]
impl Source for Memory {
    fn mount(&self) -> Arc<dyn Mount> {
        Arc::new(self.mount.clone())
    }

    async fn serve(&self, content: Option<Bytes>) {
        let path = Path::from("a/b.car");
        match content {
            Some(content) => drop(self.store.put(&path, content.into()).await.unwrap()),
            None => self.store.delete(&path).await.unwrap(),
        }
    }

    fn held(&self) -> Option<u64> {
        Some(self.counts.held())
    }
}

#[tokio::test]
async fn any_store_of_object_store() {
    let memory = Memory::new();
    for size in [0, 1, 100_000] {
        let content = content(size);
        memory.serve(Some(content.clone())).await;
        let template = over(memory.store.clone());
        let mount = template.at(LOCATION).unwrap();
        assert!(!mount.stat().await.unwrap().sequential_only);
        conformance::check(&template, &mount, &content).await;
    }
    conformance::check_source(&memory).await;
}
