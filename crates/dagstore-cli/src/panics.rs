//! Panics, which are told as errors: what a thread says to one is no text for users.

use std::fmt;
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What panicked last.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Keeps what panics say, from now on. Whoever asks for backtraces gets them as well.
pub(crate) fn keep() {
    let wants_backtraces = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        *kept() = Some(Told(info).to_string());
        if wants_backtraces {
            usual(info);
        }
    }));
}

/// What panicked last, and where.
pub(crate) fn last() -> String {
    kept().clone().unwrap_or_else(|| "no message".to_owned())
}

fn kept() -> MutexGuard<'static, Option<String>> {
    // What is kept is whole, whoever panicked meanwhile.
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Told<'a>(&'a PanicHookInfo<'a>);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.payload_as_str().unwrap_or("no message"))?;
        self.0.location().map_or(Ok(()), |location| write!(f, ", at {location}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panicked_last_is_told_with_its_place() {
        keep();
        std::thread::spawn(|| panic!("no {}", "luck")).join().unwrap_err();
        drop(panic::take_hook());
        let told = last();
        assert!(told.starts_with("no luck, at ") && told.contains("panics.rs:"), "{told}");
    }
}
