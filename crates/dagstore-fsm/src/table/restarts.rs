//! The restart table.

use dagstore_types::ShardState;

use super::{RestartKind, RestartRow, RestartWhen};
use crate::RecoveryPolicy;

const fn row(states: &'static [ShardState], when: &'static [RestartWhen], outcome: RestartKind) -> RestartRow {
    RestartRow { states, when, outcome }
}

const NEW: &[ShardState] = &[ShardState::New];
const WORKING: &[ShardState] = &[ShardState::Initializing, ShardState::Recovering];
const USABLE: &[ShardState] = &[ShardState::Available, ShardState::Serving];
const ERRORED: &[ShardState] = &[ShardState::Errored];
const DESTROYING: &[ShardState] = &[ShardState::Destroying];

const REST: RestartWhen = RestartWhen::Policy(RecoveryPolicy::DoNotRecover);
const ON_ACQUIRE: RestartWhen = RestartWhen::Policy(RecoveryPolicy::RecoverOnAcquire);
const NOW: RestartWhen = RestartWhen::Policy(RecoveryPolicy::RecoverNow);

/// The restart table.
pub const RESTARTS: &[RestartRow] = &[
    row(NEW, &[RestartWhen::Lazy], RestartKind::Rest),
    row(NEW, &[RestartWhen::Eager], RestartKind::Initialize),
    row(WORKING, &[RestartWhen::IndexComplete], RestartKind::MakeAvailable),
    row(WORKING, &[RestartWhen::NoIndex, RestartWhen::StartsLeft], RestartKind::Initialize),
    row(WORKING, &[RestartWhen::NoIndex, RestartWhen::StartsUsedUp], RestartKind::GiveUp),
    row(USABLE, &[], RestartKind::Rest),
    row(ERRORED, &[RestartWhen::GivenUp], RestartKind::Rest),
    row(ERRORED, &[RestartWhen::NotGivenUp, RestartWhen::NoRetries, REST], RestartKind::Rest),
    row(ERRORED, &[RestartWhen::NotGivenUp, RestartWhen::NoRetries, ON_ACQUIRE], RestartKind::RecoverOnAcquire),
    row(ERRORED, &[RestartWhen::NotGivenUp, RestartWhen::NoRetries, NOW], RestartKind::Recover),
    row(
        ERRORED,
        &[RestartWhen::NotGivenUp, RestartWhen::Retries, RestartWhen::RetriesLeft, RestartWhen::NextTry],
        RestartKind::RetryAtNextTry,
    ),
    row(
        ERRORED,
        &[RestartWhen::NotGivenUp, RestartWhen::Retries, RestartWhen::RetriesLeft, RestartWhen::NoNextTry, REST],
        RestartKind::Rest,
    ),
    row(
        ERRORED,
        &[RestartWhen::NotGivenUp, RestartWhen::Retries, RestartWhen::RetriesLeft, RestartWhen::NoNextTry, ON_ACQUIRE],
        RestartKind::RecoverOnAcquire,
    ),
    row(
        ERRORED,
        &[RestartWhen::NotGivenUp, RestartWhen::Retries, RestartWhen::RetriesLeft, RestartWhen::NoNextTry, NOW],
        RestartKind::Recover,
    ),
    row(ERRORED, &[RestartWhen::NotGivenUp, RestartWhen::Retries, RestartWhen::RetriesUsedUp, REST], RestartKind::Rest),
    row(
        ERRORED,
        &[RestartWhen::NotGivenUp, RestartWhen::Retries, RestartWhen::RetriesUsedUp, ON_ACQUIRE],
        RestartKind::RecoverOnAcquire,
    ),
    row(ERRORED, &[RestartWhen::NotGivenUp, RestartWhen::Retries, RestartWhen::RetriesUsedUp, NOW], RestartKind::Rest),
    row(DESTROYING, &[], RestartKind::FinishDestroy),
];
