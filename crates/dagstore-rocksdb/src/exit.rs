//! The end of a process while a database is being closed: the one place with `unsafe` in it.
//!
//! A dropped datastore is closed a moment later, by a thread that nobody waits for. RocksDB has statics, which the end
//! of a process destroys, and a closing that meets them destroyed aborts the process ("pthread lock: Invalid
//! argument"). Nothing is lost by that, but a program that did all it should ends with a signal. So the end waits for
//! what was dropped: `atexit` runs its functions in reverse order of their registration, and this one is registered
//! once RocksDB has been opened, behind its statics.
#![expect(unsafe_code, reason = "std has nothing that runs at the end of a process; `atexit` takes a plain function")]

use std::sync::{Arc, Once, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long the end of a process waits. A disk that hangs mustn't make it hang for ever.
const MOST: Duration = Duration::from_secs(5);

/// How long it waits before it looks again.
const PAUSE: Duration = Duration::from_millis(1);

/// What was dropped, and is perhaps not closed yet.
static LEAVING: Mutex<Vec<Weak<Open>>> = Mutex::new(Vec::new());

/// Held for as long as a database is open, by whatever has to be dropped before it counts as closed.
#[derive(Debug, Default)]
pub(crate) struct Open;

/// A datastore's own; dropped with it, it makes the end of the process wait until nobody holds its [`Open`].
#[derive(Debug, Default)]
pub(crate) struct Leaving(Arc<Open>);

impl Leaving {
    /// To be held by an open database, and dropped behind it.
    pub(crate) fn open(&self) -> Arc<Open> {
        Arc::clone(&self.0)
    }
}

/// Makes the end of the process wait for what is [`Leaving`]. To be called behind the opening of a database.
pub(crate) fn wait_at_exit() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the function is never unloaded and doesn't unwind. Where there is no room to register it, the
        // process ends as it would without.
        let _registered = unsafe { libc::atexit(wait) };
    });
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut leaving = LEAVING.lock();
        leaving.retain(|open| open.strong_count() > 0);
        leaving.push(Arc::downgrade(&self.0));
    }
}

extern "C" fn wait() {
    wait_up_to(MOST);
}

fn wait_up_to(most: Duration) {
    let begin = Instant::now();
    while LEAVING.lock().iter().any(|open| open.strong_count() > 0) && begin.elapsed() < most {
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_is_leaving_is_waited_for_and_what_hangs_is_given_up() {
        let leaving = Leaving::default();
        let open = leaving.open();
        drop(leaving);
        wait_up_to(Duration::from_millis(10));
        let is_closed = Arc::new(AtomicBool::new(false));
        let closing = thread::spawn({
            let is_closed = Arc::clone(&is_closed);
            move || {
                thread::sleep(Duration::from_millis(50));
                is_closed.store(true, Ordering::SeqCst);
                drop(open);
            }
        });
        wait_up_to(Duration::from_mins(5));
        assert!(is_closed.load(Ordering::SeqCst), "it didn't wait");
        closing.join().unwrap();
    }
}
