//! The datastore keeps the contract, and what it acknowledged survives a kill.

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dagstore_datastore::conformance::{self, Factory, crash};
use dagstore_datastore::{Datastore, Result};

use crate::server::{Server, builder};

struct Tables(Server);

#[async_trait::async_trait]
impl Factory for Tables {
    fn persistent(&self) -> bool {
        true
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>> {
        Ok(Arc::new(builder(name).open(&self.0.url()).await?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes() {
    let Some(server) = Server::start("the_suite_passes").await else { return };
    conformance::run(&Tables(server)).await;
}

#[tokio::test]
async fn the_suite_passes_on_one_thread() {
    let Some(server) = Server::start("the_suite_passes_on_one_thread").await else { return };
    conformance::run(&Tables(server)).await;
}

/// A child that is killed leaves its lease behind, so whoever comes next waits for that to end.
const LEASE: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_secs(4);

/// Starts itself again as the child that is killed.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    const DATABASE: &str = "DAGSTORE_POSTGRES_KILL_TEST";
    let open = async |url: &str| builder("killed").lease(LEASE).wait(WAIT).open(url).await;
    if let Ok(url) = env::var(DATABASE) {
        let store = open(&url).await.unwrap();
        let end = crash::write_until_killed(&store, std::io::stdout()).await;
        panic!("the child was not killed: {end:?}");
    }
    let Some(server) = Server::start("what_was_acknowledged_survives_a_kill").await else { return };
    let url = server.url();
    let child = || {
        let mut child = Command::new(env::current_exe().unwrap());
        let test = "conformance::what_was_acknowledged_survives_a_kill";
        child.args(["--exact", test, "--nocapture"]).env(DATABASE, &url);
        child
    };
    crash::run(child, || async { Ok(Arc::new(open(&url).await?) as Arc<dyn Datastore>) }).await;
}
