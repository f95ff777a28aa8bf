//! Doing together what several shards want: one piece of work for all that wait, while the next ones gather.

use std::fmt;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::core::Core;

/// Items that wait for the work under way to end. How many there are is bounded by the room that whoever waits has taken.
pub(crate) struct Gathering<T, A>(Arc<Mutex<Waiting<T, A>>>);

struct Waiting<T, A> {
    items: Vec<T>,
    told: Vec<oneshot::Sender<A>>,
    is_working: bool,
}

impl<T: Send + 'static, A: Send + 'static> Gathering<T, A> {
    /// Has `work` done for `item` with others, and gives its answer: `work` answers in the order of its items, and whose
    /// item it did is told whether or not the others are still interested. `None` when `work` panicked or the store closes.
    pub(crate) async fn take_part<W, F>(&self, core: &Core, item: T, work: W) -> Option<A>
    where
        W: Fn(Vec<T>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<A>> + Send,
    {
        let (tell, told) = oneshot::channel();
        let is_first = {
            let mut waiting = self.0.lock();
            waiting.items.push(item);
            waiting.told.push(tell);
            !mem::replace(&mut waiting.is_working, true)
        };
        if is_first {
            let waiting = self.0.clone();
            core.spawn(async move { work_off(&waiting, work).await });
        }
        told.await.ok()
    }
}

/// Works until nothing waits.
async fn work_off<T, A, F: Future<Output = Vec<A>>>(waiting: &Mutex<Waiting<T, A>>, work: impl Fn(Vec<T>) -> F) {
    loop {
        let (items, told) = {
            let mut waiting = waiting.lock();
            waiting.is_working = !waiting.items.is_empty();
            if !waiting.is_working {
                return;
            }
            (mem::take(&mut waiting.items), mem::take(&mut waiting.told))
        };
        // Whoever comes next must find that nobody works, also behind a panic.
        let answers = AssertUnwindSafe(async { work(items).await }).catch_unwind().await.unwrap_or_default();
        for (tell, answer) in told.into_iter().zip(answers) {
            let _nobody_waits = tell.send(answer);
        }
    }
}

impl<T, A> Default for Gathering<T, A> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting { items: Vec::new(), told: Vec::new(), is_working: false })))
    }
}

impl<T, A> fmt::Debug for Gathering<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering").field("waiting", &self.0.lock().items.len()).finish_non_exhaustive()
    }
}
