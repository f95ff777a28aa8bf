//! The restart table, every row and every combination of what it looks at.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use dagstore_types::{ErrorKind, ShardError, ShardRecord, ShardState, UnixMillis};

use crate::table::{RESTARTS, RestartKind, RestartWhen};
use crate::tests::{error, record};
use crate::{Facts, RecoveryPolicy, Restart, RestartOptions, Shard, restart};

const POLICIES: [RecoveryPolicy; 3] =
    [RecoveryPolicy::DoNotRecover, RecoveryPolicy::RecoverOnAcquire, RecoveryPolicy::RecoverNow];

const AT: UnixMillis = UnixMillis(9);

#[test]
fn a_restart_does_what_its_table_says() {
    let mut met = BTreeSet::new();
    for record in records() {
        for index_complete in [false, true] {
            for options in options() {
                let facts = Facts { index_complete };
                let holds = |when: &RestartWhen| holds(*when, &record, facts, options);
                let rows = RESTARTS.iter().enumerate();
                let rows = rows.filter(|(_, row)| row.states.contains(&record.state) && row.when.iter().all(holds));
                let rows: Vec<_> = rows.collect();
                let [(index, row)] = rows.as_slice() else { panic!("{rows:?} for {record:?} {facts:?} {options:?}") };
                met.extend(row.states.iter().filter(|state| **state == record.state).map(|state| (*index, *state)));
                let outcome = restart(&record, facts, options);
                assert_eq!(outcome, outcome_of(row.outcome, &record), "{record:?} {facts:?} {options:?}");
                check_restored(&record, &outcome);
            }
        }
    }
    let rows = RESTARTS.iter().map(|row| row.states.len()).sum();
    assert_eq!(met.len(), rows, "every row is met in each of its states: {met:?}");
}

fn records() -> Vec<ShardRecord> {
    let mut records = Vec::new();
    for state in ShardState::ALL {
        for lazy in [false, true] {
            for starts in [0, 1, 2, 3] {
                for retries in [0, 1, 2] {
                    for next_try in [None, Some(AT)] {
                        for error in [None, Some(error(ErrorKind::Integrity)), Some(error(ErrorKind::TooManyStarts))] {
                            records.push(ShardRecord { lazy, starts, retries, next_try, error, ..record(state) });
                        }
                    }
                }
            }
        }
    }
    records
}

fn options() -> Vec<RestartOptions> {
    let mut options = Vec::new();
    for policy in POLICIES {
        for max_starts in [0, 1, 2] {
            for max_retries in [None, Some(0), Some(1)] {
                options.push(RestartOptions { policy, max_starts, max_retries });
            }
        }
    }
    options
}

fn holds(when: RestartWhen, record: &ShardRecord, facts: Facts, options: RestartOptions) -> bool {
    let most_starts = if options.max_starts == 0 { 1 } else { options.max_starts };
    let given_up = record.error.as_ref().map(ShardError::kind) == Some(ErrorKind::TooManyStarts);
    match when {
        RestartWhen::Lazy => record.lazy,
        RestartWhen::Eager => !record.lazy,
        RestartWhen::IndexComplete => facts.index_complete,
        RestartWhen::NoIndex => !facts.index_complete,
        RestartWhen::StartsLeft => record.starts < most_starts,
        RestartWhen::StartsUsedUp => record.starts >= most_starts,
        RestartWhen::GivenUp => given_up,
        RestartWhen::NotGivenUp => !given_up,
        RestartWhen::Retries => options.max_retries.is_some(),
        RestartWhen::NoRetries => options.max_retries.is_none(),
        RestartWhen::RetriesLeft => options.max_retries.is_some_and(|most| record.retries < most),
        RestartWhen::RetriesUsedUp => options.max_retries.is_some_and(|most| record.retries >= most),
        RestartWhen::NextTry => record.next_try.is_some(),
        RestartWhen::NoNextTry => record.next_try.is_none(),
        RestartWhen::Policy(policy) => options.policy == policy,
    }
}

fn outcome_of(kind: RestartKind, record: &ShardRecord) -> Restart {
    match kind {
        RestartKind::Rest => Restart::Rest,
        RestartKind::RecoverOnAcquire => Restart::RecoverOnAcquire,
        RestartKind::Recover => Restart::Recover,
        RestartKind::RetryAtNextTry => Restart::RetryAt(AT),
        RestartKind::Initialize => Restart::Initialize,
        RestartKind::MakeAvailable => Restart::MakeAvailable,
        RestartKind::GiveUp => Restart::GiveUp(ShardError::new(
            ErrorKind::TooManyStarts,
            &format!(
                "the process was killed or died {} times while it initialised this shard; recover it if the CAR isn't \
                 to blame",
                record.starts
            ),
        )),
        RestartKind::FinishDestroy => Restart::FinishDestroy,
    }
}

/// The shard begins as its record says, without anything of the process before.
fn check_restored(record: &ShardRecord, outcome: &Restart) {
    let mut wanted = record.clone();
    if wanted.state == ShardState::Serving {
        wanted.state = ShardState::Available;
    }
    let shard = Shard::restored(record.clone(), outcome);
    assert_eq!(shard.validate(), Ok(()));
    assert_eq!(
        shard,
        Shard { record: Some(wanted), recover_on_acquire: *outcome == Restart::RecoverOnAcquire, ..Shard::default() }
    );
}
