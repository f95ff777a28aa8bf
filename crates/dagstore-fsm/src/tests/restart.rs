//! The restart table, every row.

use dagstore_types::{ErrorKind, ShardState};

use super::*;
use crate::{Facts, RecoveryPolicy, Restart, RestartOptions, restart};

const POLICIES: [RecoveryPolicy; 3] =
    [RecoveryPolicy::DoNotRecover, RecoveryPolicy::RecoverOnAcquire, RecoveryPolicy::RecoverNow];

fn outcome(record: &ShardRecord, index_complete: bool, policy: RecoveryPolicy) -> Restart {
    restart(record, Facts { index_complete }, RestartOptions { policy, max_starts: 3, max_retries: None })
}

/// What each state gives, with and without a complete index, under every policy but for Errored shards.
#[test]
fn every_row() {
    for policy in POLICIES {
        for index_complete in [false, true] {
            let of = |record: &ShardRecord| outcome(record, index_complete, policy);
            let mut lazy = record(ShardState::New);
            lazy.lazy = true;
            assert_eq!(of(&lazy), Restart::Rest);
            assert_eq!(of(&record(ShardState::New)), Restart::Initialize);
            assert_eq!(of(&record(ShardState::Available)), Restart::Rest);
            assert_eq!(of(&record(ShardState::Serving)), Restart::Rest);
            assert_eq!(of(&record(ShardState::Destroying)), Restart::FinishDestroy);
            for working in [ShardState::Initializing, ShardState::Recovering] {
                let wanted = if index_complete { Restart::MakeAvailable } else { Restart::Initialize };
                assert_eq!(of(&record(working)), wanted);
            }
        }
    }
}

#[test]
fn the_policy_is_for_errored_shards() {
    let errored = record(ShardState::Errored);
    let outcomes = POLICIES.map(|policy| outcome(&errored, true, policy));
    assert_eq!(outcomes, [Restart::Rest, Restart::RecoverOnAcquire, Restart::Recover]);
}

#[test]
fn a_shard_that_ends_the_process_is_given_up_for_good() {
    for working in [ShardState::Initializing, ShardState::Recovering] {
        for policy in POLICIES {
            let mut deadly = record(working);
            deadly.starts = 2;
            assert_eq!(outcome(&deadly, false, policy), Restart::Initialize);
            deadly.starts = 3;
            assert_eq!(outcome(&deadly, true, policy), Restart::MakeAvailable, "the work is done");
            let Restart::GiveUp(error) = outcome(&deadly, false, policy) else { panic!("{working} {policy:?}") };
            assert_eq!(error.kind(), ErrorKind::TooManyStarts);

            let mut shard = Shard::restored(deadly, &Restart::GiveUp(error.clone()));
            let event =
                Event::Failed { registration: REGISTRATION, attempt: Attempt(1), error, next_try: None, now: NOW };
            run_durably(&mut shard, event);
            let given_up = shard.record().unwrap().clone();
            assert_eq!(outcome(&given_up, false, policy), Restart::Rest);
        }
    }
}

#[test]
fn a_limit_of_retries_that_was_lowered_holds_at_once() {
    let record = ShardRecord { next_try: Some(NOW), retries: 2, ..record(ShardState::Errored) };
    let outcome = |policy, most| {
        let options = RestartOptions { policy, max_starts: 3, max_retries: Some(most) };
        restart(&record, Facts { index_complete: false }, options)
    };
    assert_eq!(POLICIES.map(|policy| outcome(policy, 3)), [(); 3].map(|()| Restart::RetryAt(NOW)));
    let lowered = [Restart::Rest, Restart::RecoverOnAcquire, Restart::Rest];
    assert_eq!(POLICIES.map(|policy| outcome(policy, 2)), lowered);
}

#[test]
fn what_was_open_is_available_again() {
    let shard = Shard::restored(record(ShardState::Serving), &Restart::Rest);
    assert_eq!((state(&shard), shard.references()), (Some(ShardState::Available), 0));
}
