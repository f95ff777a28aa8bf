//! What a persisted record means after the process was gone.
//!
//! The table stands in `table/restarts.rs` and is printed in `docs/fsm.md`. The tests compare both in every case, so a
//! change here is a change there.

use alloc::format;

use dagstore_types::{ErrorKind, ShardError, ShardRecord, ShardState, UnixMillis};

/// What to do about shards that were Errored when the store stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RecoveryPolicy {
    /// Nothing: somebody has to call recover.
    #[default]
    DoNotRecover,
    /// Recover a shard when it is next acquired.
    RecoverOnAcquire,
    /// Recover all of them, now.
    RecoverNow,
}

/// What the restart table asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether the index repository has the index of the record's registration and attempt.
    pub index_complete: bool,
}

/// What the restart table is told by the store's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartOptions {
    /// What to do about Errored shards.
    pub policy: RecoveryPolicy,
    /// After how many starts that the process did not survive a shard is given up; 0 counts as 1.
    pub max_starts: u32,
    /// How often the store tries again by itself; `None` where it doesn't.
    pub max_retries: Option<u32>,
}

/// What a restart does with a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restart {
    /// Nothing.
    Rest,
    /// Nothing, until somebody acquires it.
    RecoverOnAcquire,
    /// Recover it.
    Recover,
    /// Try again by itself when this time has come.
    RetryAt(UnixMillis),
    /// Do the work that was not done.
    Initialize,
    /// The work was done and only the record doesn't say so yet.
    MakeAvailable,
    /// It goes to Errored with this error.
    GiveUp(ShardError),
    /// Clean up what is left and delete the record.
    FinishDestroy,
}

/// Says what a restart does with the shard of `record`.
///
/// Total. Restarting twice does the same as restarting once: the outcome depends on the record and the facts alone, and
/// nothing is changed before the work that it asks for begins.
pub fn restart(record: &ShardRecord, facts: Facts, options: RestartOptions) -> Restart {
    match record.state {
        ShardState::New if record.lazy => Restart::Rest,
        ShardState::New => Restart::Initialize,
        ShardState::Initializing | ShardState::Recovering if facts.index_complete => Restart::MakeAvailable,
        ShardState::Initializing | ShardState::Recovering if record.starts >= options.max_starts.max(1) => {
            let text = format!(
                "the process was killed or died {} times while it initialised this shard; recover it if the CAR isn't to blame",
                record.starts
            );
            Restart::GiveUp(ShardError::new(ErrorKind::TooManyStarts, &text))
        }
        ShardState::Initializing | ShardState::Recovering => Restart::Initialize,
        ShardState::Available | ShardState::Serving => Restart::Rest,
        ShardState::Errored if given_up(record) => Restart::Rest,
        ShardState::Errored => match (options.max_retries, record.next_try, options.policy) {
            (Some(most), Some(at), _) if record.retries < most => Restart::RetryAt(at),
            (_, _, RecoveryPolicy::RecoverOnAcquire) => Restart::RecoverOnAcquire,
            (Some(most), _, RecoveryPolicy::RecoverNow) if record.retries >= most => Restart::Rest,
            (_, _, RecoveryPolicy::RecoverNow) => Restart::Recover,
            (_, _, RecoveryPolicy::DoNotRecover) => Restart::Rest,
        },
        ShardState::Destroying => Restart::FinishDestroy,
    }
}

fn given_up(record: &ShardRecord) -> bool {
    record.error.as_ref().is_some_and(|error| error.kind() == ErrorKind::TooManyStarts)
}
