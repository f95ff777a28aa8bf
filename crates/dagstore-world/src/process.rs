//! A process: a runtime whose time passes only when nothing can run.

use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

/// How long anything may take in a process's own time, which costs none where nothing happens.
const PATIENCE: Duration = Duration::from_hours(1);

/// How long what goes on in the background is waited for.
const SETTLING: Duration = Duration::from_secs(5);

/// Runs a process to the end of `work`, and ends it there as if it were killed.
///
/// # Errors
/// What panicked, or that it hangs.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("there is no runtime: {error}"))?;
    let timed = async {
        let done = tokio::time::timeout(PATIENCE, work).await;
        done.unwrap_or_else(|_| Err(format!("it hangs: nothing more happened in {PATIENCE:?}")))
    };
    let done = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(timed)));
    drop(runtime);
    done.unwrap_or_else(|panic| Err(format!("it panicked: {}", said(&*panic))))
}

/// Lets everything happen that happens without being asked for.
pub(crate) async fn settle() {
    tokio::time::sleep(SETTLING).await;
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
