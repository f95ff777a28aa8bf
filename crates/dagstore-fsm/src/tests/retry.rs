//! Tries that the store makes by itself, and what ends them.

use dagstore_types::{Attempt, ErrorKind, Registration, ShardState, UnixMillis};

use super::*;

const AT: UnixMillis = UnixMillis(5_000);

fn to_be_tried_again(retries: u32) -> Shard {
    let record = ShardRecord { next_try: Some(AT), retries, ..record(ShardState::Errored) };
    Shard { record: Some(record), ..Shard::default() }
}

fn due(now: u64) -> Event {
    Event::RetryDue { registration: REGISTRATION, now: UnixMillis(now) }
}

fn retry() -> Effect {
    Effect::Retry { registration: REGISTRATION, at: AT }
}

fn retries(shard: &Shard) -> Option<(u32, Option<UnixMillis>)> {
    shard.record().map(|record| (record.retries, record.next_try))
}

#[test]
fn the_next_try_is_asked_for_once_the_failure_is_durable() {
    let mut shard = shard(ShardState::Initializing);
    let error = error(ErrorKind::SourceUnavailable);
    let event = Event::Failed {
        registration: REGISTRATION,
        attempt: Attempt(1),
        error,
        next_try: Some(AT),
        now: UnixMillis(9),
    };
    assert_eq!(run(&mut shard, event).as_slice(), [Effect::Persist]);
    assert_eq!(run(&mut shard, Event::Synced).last(), Some(&retry()));
    assert_eq!(retries(&shard), Some((0, Some(AT))));
}

#[test]
fn a_try_that_is_due_recovers_and_is_counted() {
    for now in [5_000, 5_001] {
        let mut shard = to_be_tried_again(2);
        run_durably(&mut shard, due(now));
        assert_eq!((state(&shard), retries(&shard)), (Some(ShardState::Recovering), Some((3, None))));
    }
}

#[test]
fn a_try_that_comes_too_early_is_asked_for_again() {
    let mut shard = to_be_tried_again(2);
    let before = shard.clone();
    assert_eq!(run(&mut shard, due(4_999)).as_slice(), [retry()]);
    assert_eq!(shard, before);
}

#[test]
fn a_try_for_another_life_or_another_state_is_stale() {
    let mut shard = to_be_tried_again(0);
    let other = Event::RetryDue { registration: Registration(8), now: AT };
    assert_eq!(run(&mut shard, other).as_slice(), [Effect::Stale]);
    for state in ShardState::ALL {
        let references = u32::from(state == ShardState::Serving);
        let next_try = Some(AT).filter(|_| state != ShardState::Errored);
        let record = ShardRecord { next_try, ..record(state) };
        let mut shard = Shard { record: Some(record), references, ..Shard::default() };
        assert_eq!(run(&mut shard, due(5_000)).as_slice(), [Effect::Stale], "{state}");
    }
    assert_eq!(run(&mut Shard::absent(), due(5_000)).as_slice(), [Effect::Stale]);
}

#[test]
fn the_count_ends_with_success_and_with_a_person_who_recovers() {
    let mut shard = to_be_tried_again(2);
    run_durably(&mut shard, due(5_000));
    run_durably(&mut shard, failed_to_be_tried_again(2));
    assert_eq!(retries(&shard), Some((3, Some(NOW))), "a failure doesn't end it");
    run_durably(&mut shard, recover(1));
    assert_eq!(retries(&shard), Some((0, None)));

    let mut shard = to_be_tried_again(2);
    run_durably(&mut shard, due(5_000));
    run_durably(&mut shard, done(2));
    assert_eq!((state(&shard), retries(&shard)), (Some(ShardState::Available), Some((0, None))));
}

#[test]
fn a_try_that_could_not_be_written_is_not_lost() {
    let mut shard = to_be_tried_again(0);
    run(&mut shard, due(5_000));
    let effects = run(&mut shard, Event::NotSynced);
    assert_eq!(effects.as_slice(), [Effect::Rewrite { registration: REGISTRATION }, retry()]);
    assert_eq!(shard, to_be_tried_again(0));
}

#[test]
fn a_shard_that_is_being_destroyed_is_tried_no_more() {
    let mut shard = to_be_tried_again(1);
    run_durably(&mut shard, destroy(1));
    assert_eq!(retries(&shard), Some((1, None)));
}

#[test]
fn an_attempt_s_number_is_never_used_twice() {
    let last = |state| {
        let record = ShardRecord { attempt: Attempt(u32::MAX), ..record(state) };
        Shard { record: Some(record), ..Shard::default() }
    };
    for working in [ShardState::Initializing, ShardState::Recovering] {
        let mut shard = last(working);
        run(&mut shard, acquire(1));
        let answers = answers(&run_durably(&mut shard, initialize(2)));
        let [(1, Answer::Refused(Refusal::Failed(error))), (2, second)] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!((error.kind(), second), (ErrorKind::TooManyStarts, &answers[0].1));
        assert_eq!(state(&shard), Some(ShardState::Errored));
        // Nothing is written for those who come later.
        let before = shard.clone();
        assert_eq!(
            run(&mut shard, recover(3)).as_slice(),
            [Effect::Reply { waiter: WaiterId(3), answer: answers[0].1.clone() }]
        );
        assert_eq!(shard, before);
        run_durably(&mut shard, destroy(4));
    }
    let mut shard = last(ShardState::Available);
    run(&mut shard, acquire(1));
    let (waiter, registration, attempt) = (WaiterId(1), REGISTRATION, Attempt(u32::MAX));
    let effects = run_durably(&mut shard, Event::IndexLost { waiter, registration, attempt, now: NOW });
    assert_eq!(answers(&effects).len(), 1);
    assert_eq!((state(&shard), shard.references()), (Some(ShardState::Errored), 0));
}
