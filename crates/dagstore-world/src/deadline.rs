//! A run that stands still in the real time is told of, for nobody else could.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A run takes some milliseconds.
const PATIENCE: Duration = Duration::from_mins(3);

type Running = Mutex<HashMap<ThreadId, (Instant, String)>>;

/// A run of this thread, until it is dropped.
pub(crate) struct Deadline(());

impl Deadline {
    /// Begins a run. Where it doesn't end, the program does, with `what` it was.
    pub(crate) fn begin(what: String) -> Self {
        running().lock().insert(thread::current().id(), (Instant::now(), what));
        Self(())
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        running().lock().remove(&thread::current().id());
    }
}

fn running() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| {
        thread::spawn(watch);
        Running::default()
    })
}

#[expect(clippy::print_stderr, reason = "the last words of a program that hangs")]
fn watch() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let stuck = running().lock().values().find(|(since, _)| since.elapsed() > PATIENCE).cloned();
        if let Some((_, what)) = stuck {
            eprintln!("it hangs for {PATIENCE:?}, and is given up: {what}");
            std::process::exit(101);
        }
    }
}
