//! Whether an answer can be right, given what the model knows.

use dagstore_engine::Error;
use dagstore_types::{ErrorKind, ShardState};

use crate::ledger::Mark;
use crate::process::Call;
use crate::run::Run;

impl Run {
    /// I5 and what an answer claims: says why it can't be right, if so. Takes the answer into the model.
    pub(crate) fn take_answer(&mut self, call: Call, mark: &Mark, answer: &Result<(), Error>) {
        let plausible = match answer {
            Ok(()) => self.take_success(call),
            Err(error) => self.take_refusal(call, mark, error),
        };
        if !plausible {
            self.world.breaks("answer", || format!("{call:?} can't be answered like that: {answer:?}"));
        }
    }

    fn take_success(&mut self, call: Call) -> bool {
        let Some(key) = call.key() else { return true };
        let info = self.info(key);
        let state = info.as_ref().map(|info| info.state);
        let is_new = matches!(state, Some(ShardState::New | ShardState::Initializing));
        let fact = self.ledger.of(key);
        let is_threatened = fact.threats > 0;
        match call {
            Call::Register { how, .. } => {
                fact.registered(info.as_ref());
                is_threatened || info.is_some() && !(is_new && how == crate::event::How::Eager)
            }
            Call::Acquire { .. } => {
                matches!(state, Some(ShardState::Serving | ShardState::Recovering | ShardState::Errored))
            }
            Call::Recover { .. } | Call::Rebuild { .. } => is_threatened || info.is_some() && !is_new,
            Call::Destroy { .. } => {
                fact.destroyed(info.as_ref());
                true
            }
            Call::Collect | Call::Resumed => true,
        }
    }

    fn take_refusal(&mut self, call: Call, mark: &Mark, error: &Error) -> bool {
        let Some(key) = call.key() else { return self.explains_global(error) };
        let disk_failed = {
            let disk = self.world.disk.lock();
            disk.failures > mark.failures || disk.was_slow
        };
        let is_closing = self.is_closing;
        let fact = self.ledger.of(key);
        // Only what changes a key counts, and this call itself counted before its mark was made.
        let is_same = fact.changes == mark.changes;
        let threats = fact.threats - u32::from(matches!(call, Call::Destroy { .. }) && fact.threats > 0);
        let chances = fact.chances - u32::from(matches!(call, Call::Register { .. }) && fact.chances > 0);
        let was_alive = fact.alive.is_some() && threats == 0 && is_same;
        let was_absent = fact.alive.is_none() && fact.last.is_none() && threats + chances == 0 && is_same;
        let destroys = fact.destroys;
        let was_acquired = fact.acquires > mark.acquires;
        let plausible = match error {
            Error::NotFound(_) => !matches!(call, Call::Register { .. }) && !was_alive,
            Error::Exists(_) => matches!(call, Call::Register { .. }) && !was_absent,
            Error::BeingDestroyed(_) => matches!(call, Call::Register { .. }) && destroys > 0,
            Error::Destroyed(_) => !matches!(call, Call::Destroy { .. }) && destroys > 0,
            Error::NotErrored(_) => matches!(call, Call::Recover { .. }) && !was_absent,
            Error::InUse { references, .. } => matches!(call, Call::Destroy { .. }) && *references > 0 && was_acquired,
            Error::Failed { source, .. } => !matches!(call, Call::Destroy { .. }) && self.explains(key, source.kind()),
            Error::CleanupIncomplete { .. } => {
                matches!(call, Call::Destroy { .. }) && (disk_failed || self.world.repo.lock().was_faulty)
            }
            Error::NotDurable { .. } => disk_failed,
            Error::Datastore(_) => matches!(call, Call::Register { .. }) && disk_failed,
            Error::Mount(_) => matches!(call, Call::Register { .. }) && self.world.sources.lock().of(key).was_faulty,
            Error::IndexKeepsVanishing(_) => {
                let opens = matches!(call, Call::Acquire { .. } | Call::Rebuild { .. });
                opens && self.world.repo.lock().was_faulty
            }
            Error::Closed => is_closing,
            _ => false,
        };
        self.settle_refusal(call, error);
        plausible
    }

    /// What a refusal leaves open.
    fn settle_refusal(&mut self, call: Call, error: &Error) {
        let Some(key) = call.key() else { return };
        let info = self.info(key);
        let fact = self.ledger.of(key);
        let may_have_happened = matches!(
            error,
            Error::NotDurable { .. }
                | Error::CleanupIncomplete { .. }
                | Error::Closed
                | Error::Failed { .. }
                | Error::Destroyed(_)
        );
        match call {
            // An eager registration that fails afterwards was durable.
            Call::Register { .. } if matches!(error, Error::Failed { .. }) => fact.registered(info.as_ref()),
            Call::Register { .. } if !may_have_happened => fact.not_registered(),
            Call::Destroy { .. } if !may_have_happened => fact.not_destroyed(),
            _ => {}
        }
    }

    fn explains_global(&self, error: &Error) -> bool {
        match error {
            Error::Closed => self.is_closing,
            Error::Index(_) => self.world.repo.lock().was_faulty,
            _ => false,
        }
    }

    /// Whether something was done to the key that a shard's error of this kind can come from.
    fn explains(&self, key: usize, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::TooManyStarts => self.processes > 1,
            // Rows of the inverted index are written before the shard is Available.
            ErrorKind::Storage => self.world.repo.lock().was_faulty || self.world.disk.lock().failures > 0,
            ErrorKind::Internal | ErrorKind::Other | ErrorKind::LimitExceeded | ErrorKind::SourceRejected => false,
            _ => self.world.sources.lock().of(key).was_faulty,
        }
    }
}
