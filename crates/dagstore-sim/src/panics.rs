//! Panics of the engine. In a task the runtime swallows them, so they are noted where they begin.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// `None` outside a sequence; within one, what panicked first.
    static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

type Noted = Option<String>;

static HOOK: Once = Once::new();

/// Runs a sequence, and keeps the panics of this thread to itself meanwhile. Returns `None` where one came through, and
/// what panicked first, if anything.
pub(crate) fn noting<T>(run: impl FnOnce() -> T) -> (Option<T>, Option<String>) {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !note(info) {
                before(info);
            }
        }));
    });
    NOTED.set(Some(None));
    let done = panic::catch_unwind(AssertUnwindSafe(run));
    (done.ok(), NOTED.take().flatten())
}

/// What panicked first since the sequence began.
pub(crate) fn noted() -> Option<String> {
    NOTED.with_borrow(|noted| noted.clone().flatten())
}

/// Whether the panic is one of a sequence.
fn note(info: &PanicHookInfo<'_>) -> bool {
    NOTED.with_borrow_mut(|noted| {
        let Some(first) = noted else { return false };
        first.get_or_insert_with(|| info.to_string());
        true
    })
}
