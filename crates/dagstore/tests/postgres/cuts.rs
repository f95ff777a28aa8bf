//! Connections that are cut while the store writes, by a proxy between it and the server.

use std::collections::BTreeSet;
use std::time::Duration;

use dagstore::mount::BytesMount;
use dagstore::{Dagstore, ShardState};
use dagstore_testkit::cars;
use dagstore_testkit::postgres::{Proxy, Server, Way, url};
use tokio::time::timeout;

use crate::{PATIENCE, builder};

/// The server ends a transaction that stands still after a quarter of it.
const LEASE: Duration = Duration::from_secs(20);

/// A store behind a proxy, and what it has acknowledged.
struct Story {
    server: Server,
    proxy: Proxy,
    folder: tempfile::TempDir,
    store: Dagstore,
    mount: BytesMount,
    registered: BTreeSet<String>,
}

impl Story {
    async fn begin(test: &str) -> Option<Self> {
        let server = Server::start(test).await?;
        let proxy = Proxy::start(server.port).await;
        let folder = tempfile::tempdir().unwrap();
        let store = builder(&url(proxy.port), LEASE, folder.path()).await;
        let store = store.configure(|options| options.persist_deadline = PATIENCE).open().await.unwrap();
        let mount = BytesMount::new(cars::numbered(3, 50).bytes).unwrap();
        Some(Self { server, proxy, folder, store, mount, registered: BTreeSet::new() })
    }

    /// The caller is told nothing of what the proxy does meanwhile, whether the server has it or not: the store has looked.
    async fn register(&mut self, key: &str) {
        let registered = timeout(PATIENCE, self.store.register_mount(key, &self.mount)).await;
        registered.expect("the registration hangs").unwrap_or_else(|error| panic!("{key}: {error:?}"));
        self.registered.insert(key.to_owned());
        self.proxy.set(Way::Open);
    }

    async fn destroy(&mut self, key: &str) {
        let destroyed = timeout(PATIENCE, self.store.destroy(key)).await;
        destroyed.expect("the destruction hangs").unwrap_or_else(|error| panic!("{key}: {error:?}"));
        self.registered.remove(key);
        self.proxy.set(Way::Open);
    }

    /// Closes the store, and compares what is durable with what was acknowledged, before anybody mends anything.
    async fn end(self) {
        self.store.close().await.unwrap();
        let found = builder(&self.server.url(), LEASE, self.folder.path()).await.paused().open().await.unwrap();
        assert_eq!(found.quarantined(), []);
        let shards = found.shards();
        let keys: Vec<_> = shards.iter().map(|shard| shard.key.to_string()).collect();
        assert_eq!(keys, self.registered.into_iter().collect::<Vec<_>>());
        for shard in shards {
            assert_eq!(shard.state, ShardState::Available, "{}", shard.key);
        }
        found.close().await.unwrap();
    }
}

/// Each commit of a registration and of a destruction, once lost on its way and once carried out without an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_cut_off_is_neither_lost_nor_taken_for_done() {
    let test = "a_commit_that_is_cut_off_is_neither_lost_nor_taken_for_done";
    let Some(mut story) = Story::begin(test).await else { return };
    for way in [Way::CutBeforeCommit, Way::CutBehindCommit] {
        for commits in 0..3 {
            let [kept, gone] = ["kept", "gone"].map(|what| format!("{what}-{way:?}-{commits}"));
            story.register(&gone).await;
            let before = story.proxy.cuts();
            story.proxy.set_behind(commits, way);
            story.register(&kept).await;
            story.proxy.set_behind(commits, way);
            story.destroy(&gone).await;
            assert!(commits > 1 || story.proxy.cuts() == before + 2, "{kept}: nothing was cut");
        }
    }
    story.end().await;
}

/// Wherever the stream of bytes is cut, in the middle of whatever statement or answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_cut_at_any_byte() {
    let Some(mut story) = Story::begin("a_connection_may_be_cut_at_any_byte").await else { return };
    for bytes in (0..1_600).step_by(113) {
        for way in [Way::CutThere(bytes), Way::CutBack(bytes)] {
            let [kept, gone] = ["kept", "gone"].map(|what| format!("{what}-{way:?}"));
            story.register(&gone).await;
            story.proxy.set(way);
            story.register(&kept).await;
            story.proxy.set(way);
            story.destroy(&gone).await;
        }
    }
    let cuts = story.proxy.cuts();
    assert!(cuts > 30, "{cuts} connections were cut");
    story.end().await;
}

/// A commit that was given up and comes in later than what was written behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_comes_late_undoes_nothing() {
    let Some(mut story) = Story::begin("a_commit_that_comes_late_undoes_nothing").await else { return };
    for commits in 0..2 {
        let key = format!("late-{commits}");
        story.proxy.set_behind(commits, Way::KeepCommit);
        story.register(&key).await;
        assert_eq!(story.proxy.cuts(), commits + 1, "no commit was kept");
        story.destroy(&key).await;
        timeout(PATIENCE, story.proxy.deliver()).await.expect("the commit isn't delivered");
    }
    story.register("there").await;
    story.end().await;
}
