//! Writing rows to a datastore that fails now and then.

use std::sync::Arc;
use std::time::Duration;

use dagstore_datastore::ErrorClass;
use dagstore_index::Error as IndexError;
use tokio::time::Instant;

use crate::core::Core;
use crate::task::Task;

/// The first pause behind a failed write, and the longest.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(10);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often a datastore that refused rows is asked whether it still does.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is wrong with the datastore of the rows.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Why the last write failed that did, since one succeeded.
    pub(super) why: Option<dagstore_datastore::Error>,
    /// A write was given up since one succeeded.
    pub(super) is_degraded: bool,
}

/// Writes rows until that succeeds, as long as there is hope and time: as records are written. While the datastore is known to
/// refuse them there is one try only.
pub(super) async fn patiently<F: Future<Output = Result<(), IndexError>>>(
    core: &Arc<Core>,
    task: Option<&Task>,
    write: impl Fn() -> F,
) -> Result<(), IndexError> {
    let Some(inverted) = &core.inverted else { return Ok(()) };
    let patience = if inverted.degraded().is_some() { Duration::ZERO } else { core.options.persist_deadline };
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let has_troubles = inverted.troubles.lock().why.is_some();
        let alone = if has_troubles { Some(inverted.mending.lock().await) } else { None };
        // Left by one whose opening failed, too. What fails again here is told by the write.
        let why = inverted.troubles.lock().why.clone();
        if let Some(why) = why.filter(|why| why.class() == ErrorClass::NeedsReopen) {
            reopened(core, &IndexError::Rows(why)).await;
        }
        let error = match write().await {
            Ok(()) => {
                *inverted.troubles.lock() = Troubles::default();
                return Ok(());
            }
            Err(error) => error,
        };
        if let IndexError::Rows(error) = &error {
            inverted.troubles.lock().why = Some(error.clone());
        }
        // In any case, for the next one to try.
        let may_help = reopened(core, &error).await;
        drop(alone);
        let is_over = begin.elapsed() >= patience || task.is_some_and(Task::is_cancelled);
        if is_over || !may_help {
            inverted.troubles.lock().is_degraded |= matches!(error, IndexError::Rows(_));
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks the datastore again, for ever, while it is known to refuse rows: nobody else may have any to write.
pub(crate) async fn ask_again(core: Arc<Core>) {
    let Some(inverted) = &core.inverted else { return };
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        if inverted.degraded().is_some() {
            let sync = || async { inverted.index.datastore().sync().await.map_err(IndexError::Rows) };
            // What fails is known by now.
            let _still_degraded = patiently(&core, None, sync).await;
        }
    }
}

/// Makes the datastore usable again, where that is what the error asks for. Whether another try may help.
pub(super) async fn reopened(core: &Arc<Core>, error: &IndexError) -> bool {
    let (IndexError::Rows(error), Some(inverted)) = (error, &core.inverted) else { return false };
    match error.class() {
        ErrorClass::Transient => true,
        ErrorClass::NeedsReopen => {
            if let Err(error) = inverted.index.datastore().reopen().await {
                tracing::warn!(%error, "the datastore of the inverted index can't be opened again");
                inverted.troubles.lock().why = Some(error);
            }
            true
        }
        _ => false,
    }
}
