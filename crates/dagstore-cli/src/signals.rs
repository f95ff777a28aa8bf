//! Signals that ask the program to end.

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Code;

/// A signal that asks the program to end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    /// From the keyboard (SIGINT).
    Interrupt,
    /// From a service manager, a container, `timeout` or `kill` (SIGTERM).
    Terminate,
    /// From a terminal that was closed (SIGHUP).
    HangUp,
}

impl Signal {
    /// The exit code that shells use for it: 128 and its number.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Interrupt => Code::Interrupted,
            Self::Terminate => Code::Terminated,
            Self::HangUp => Code::HungUp,
        }
    }
}

/// Waits for the first of them. One that can't be listened for ends the process as it always did, which loses nothing.
pub(crate) async fn asked_to_end() -> Signal {
    tokio::select! {
        () = received(SignalKind::interrupt()) => Signal::Interrupt,
        () = received(SignalKind::terminate()) => Signal::Terminate,
        () = received(SignalKind::hangup()) => Signal::HangUp,
    }
}

async fn received(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "a signal can't be noticed");
            std::future::pending::<()>().await;
        }
    }
}
