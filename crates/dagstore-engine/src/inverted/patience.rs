//! Writing rows to a datastore that fails now and then.

use std::sync::Arc;
use std::time::Duration;

use dagstore_datastore::ErrorClass;
use dagstore_index::Error as IndexError;
use tokio::time::Instant;

use super::Inverted;
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
    /// Why the last try failed that did, since one succeeded.
    pub(super) why: Option<dagstore_datastore::Error>,
    /// A write was given up since one succeeded.
    pub(super) is_degraded: bool,
    /// How many tries were begun since the store was opened.
    tries: u64,
}

impl Troubles {
    /// Begins a try, and returns why the one before it failed.
    fn begin_try(&mut self) -> Option<dagstore_datastore::Error> {
        self.tries += 1;
        self.why.clone()
    }

    /// Why a try failed that was begun later than `tries` tries, where it would be the same for any other.
    fn failed_since(&self, tries: u64) -> Option<dagstore_datastore::Error> {
        self.why.clone().filter(|why| self.tries > tries && is_passing(why))
    }

    fn end(&mut self) {
        (self.why, self.is_degraded) = (None, false);
    }
}

/// Writes rows until that succeeds, as long as there is hope and time: as records are written. While the datastore is known to
/// refuse them there is one try only, which may be somebody else's.
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
        let asked = {
            let troubles = inverted.troubles.lock();
            troubles.why.as_ref().map(|_| troubles.tries)
        };
        let tried = match asked {
            None => try_once(inverted, &write).await,
            Some(tries) => {
                let _alone = inverted.mending.lock().await;
                // Whoever waited while somebody tried knows by now: a database that can't be opened takes its time to say so,
                // and all of them one behind the other take minutes.
                let known = inverted.troubles.lock().failed_since(tries);
                match known {
                    Some(why) => Err(IndexError::Rows(why)),
                    None => try_once(inverted, &write).await,
                }
            }
        };
        let Err(error) = tried else { return Ok(()) };
        let may_help = matches!(&error, IndexError::Rows(why) if is_passing(why));
        let is_over = begin.elapsed() >= patience || task.is_some_and(Task::is_cancelled);
        if is_over || !may_help {
            inverted.troubles.lock().is_degraded |= matches!(error, IndexError::Rows(_));
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Writes once, in a datastore that is opened again before where the last failure asks for that.
async fn try_once<F: Future<Output = Result<(), IndexError>>>(
    inverted: &Inverted,
    write: impl Fn() -> F,
) -> Result<(), IndexError> {
    let before = inverted.troubles.lock().begin_try();
    let reopened = match before {
        Some(why) if why.class() == ErrorClass::NeedsReopen => inverted.index.datastore().reopen().await,
        _ => Ok(()),
    };
    let tried = match reopened {
        Ok(()) => write().await,
        Err(why) => Err(IndexError::Rows(why)),
    };
    let mut troubles = inverted.troubles.lock();
    match &tried {
        Ok(()) => troubles.end(),
        Err(IndexError::Rows(why)) => troubles.why = Some(why.clone()),
        Err(_) => {}
    }
    tried
}

/// Whether it may be over by the next try.
fn is_passing(why: &dagstore_datastore::Error) -> bool {
    matches!(why.class(), ErrorClass::Transient | ErrorClass::NeedsReopen)
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

/// Makes the datastore usable again, where that is what the error asks for.
pub(super) async fn reopened(inverted: &Inverted, error: &IndexError) {
    let IndexError::Rows(error) = error else { return };
    if error.class() == ErrorClass::NeedsReopen
        && let Err(error) = inverted.index.datastore().reopen().await
    {
        tracing::warn!(%error, "the datastore of the inverted index can't be opened again");
        inverted.troubles.lock().why = Some(error);
    }
}
