//! The transition table, row by row.

use dagstore_types::{Attempt, ErrorKind, ShardState};

use super::*;

#[test]
fn register_is_refused_wherever_there_is_a_shard() {
    for state in ShardState::ALL {
        let mut shard = if state == ShardState::Serving { held(state) } else { shard(state) };
        let before = shard.clone();
        let wanted = if state == ShardState::Destroying { Refusal::BeingDestroyed } else { Refusal::Exists };
        assert_eq!(answers(&run(&mut shard, register(1, false))), refused(1, wanted), "{state}");
        assert_eq!(shard, before);
    }
}

#[test]
fn a_lazy_registration_rests_and_an_eager_one_waits_for_its_work() {
    let mut lazy = Shard::absent();
    let effects = run_durably(&mut lazy, register(1, true));
    assert_eq!(answers(&effects), [(1, Answer::Registered)]);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Enqueue { .. })));
    assert_eq!(state(&lazy), Some(ShardState::New));

    let mut eager = Shard::absent();
    let effects = run_durably(&mut eager, register(1, false));
    assert_eq!(answers(&effects), []);
    assert!(effects.contains(&Effect::Enqueue { registration: REGISTRATION }));
    assert_eq!(answers(&run_durably(&mut eager, initialize(2))), [(2, Answer::Begin(Attempt(1)))]);
    assert_eq!(answers(&run_durably(&mut eager, done(1))), [(1, Answer::Ready)]);
    assert_eq!(state(&eager), Some(ShardState::Available));
}

#[test]
fn nothing_is_heard_before_it_is_durable_and_other_events_wait() {
    let mut shard = Shard::absent();
    let effects = run(&mut shard, register(1, true));
    assert_eq!(effects.as_slice(), [Effect::Persist]);
    assert_eq!(state(&shard), None);
    assert_eq!(run(&mut shard, acquire(2)).as_slice(), [Effect::Defer(alloc::boxed::Box::new(acquire(2)))]);
    run(&mut shard, Event::Synced);
    assert_eq!(state(&shard), Some(ShardState::New));
}

#[test]
fn acquire_of_each_state() {
    assert_eq!(answers(&run(&mut Shard::absent(), acquire(1))), refused(1, Refusal::NotFound));

    let mut new = shard(ShardState::New);
    assert!(run_durably(&mut new, acquire(1)).contains(&Effect::Enqueue { registration: REGISTRATION }));
    assert_eq!((state(&new), new.parked()), (Some(ShardState::Initializing), 1));

    for working in [ShardState::Initializing, ShardState::Recovering] {
        let mut shard = shard(working);
        assert!(run(&mut shard, acquire(1)).is_empty());
        assert_eq!(shard.parked(), 1);
        assert_eq!(opened(&run_durably(&mut shard, done(1))), [1]);
        assert_eq!((state(&shard), shard.references()), (Some(ShardState::Serving), 1));
    }

    let mut available = shard(ShardState::Available);
    assert_eq!(opened(&run(&mut available, acquire(1))), [1]);
    assert_eq!(opened(&run(&mut available, acquire(2))), [2]);
    assert_eq!((state(&available), available.references()), (Some(ShardState::Serving), 2));

    let stored = Refusal::Failed(error(ErrorKind::Integrity));
    assert_eq!(answers(&run(&mut shard(ShardState::Errored), acquire(1))), refused(1, stored));
    let mut flagged = Shard { recover_on_acquire: true, ..shard(ShardState::Errored) };
    run_durably(&mut flagged, acquire(1));
    assert_eq!(
        (state(&flagged), flagged.parked(), flagged.recover_on_acquire),
        (Some(ShardState::Recovering), 1, false)
    );

    assert_eq!(answers(&run(&mut shard(ShardState::Destroying), acquire(1))), refused(1, Refusal::Destroyed));
}

#[test]
fn destroy_of_each_state() {
    assert_eq!(answers(&run(&mut Shard::absent(), destroy(1))), refused(1, Refusal::NotFound));
    for idle in
        [ShardState::New, ShardState::Initializing, ShardState::Available, ShardState::Recovering, ShardState::Errored]
    {
        let mut shard = shard(idle);
        assert!(run_durably(&mut shard, destroy(1)).contains(&Effect::CleanUp { registration: REGISTRATION }));
        assert_eq!(state(&shard), Some(ShardState::Destroying));
        // A second one joins, and both hear of the end.
        assert!(run(&mut shard, destroy(2)).is_empty());
        let effects = run_durably(&mut shard, Event::Destroyed { registration: REGISTRATION });
        assert_eq!(answers(&effects), [(1, Answer::Destroyed), (2, Answer::Destroyed)]);
        assert_eq!(effects.last(), Some(&Effect::Forget));
        assert_eq!(shard, Shard::absent());
    }
    for state in [ShardState::Serving, ShardState::Recovering, ShardState::Errored] {
        let mut shard = held(state);
        let before = shard.clone();
        assert_eq!(answers(&run(&mut shard, destroy(1))), refused(1, Refusal::InUse { references: 1 }));
        assert_eq!(shard, before, "a refused destroy changes nothing");
    }
}

#[test]
fn destroying_answers_whoever_is_parked_or_joined() {
    let mut shard = shard(ShardState::Recovering);
    run(&mut shard, acquire(1));
    run(&mut shard, recover(2));
    let effects = run_durably(&mut shard, destroy(3));
    let gone = || Answer::Refused(Refusal::Destroyed);
    assert_eq!(answers(&effects), [(1, gone()), (2, gone())]);
    // The task that was working comes too late.
    assert_eq!(run(&mut shard, done(1)).as_slice(), [Effect::Stale]);
    assert_eq!(state(&shard), Some(ShardState::Destroying));
}

#[test]
fn a_clean_up_that_fails_can_be_tried_again() {
    let mut shard = shard(ShardState::Available);
    run_durably(&mut shard, destroy(1));
    let why = error(ErrorKind::Storage);
    let effects = run(&mut shard, Event::CleanupFailed { registration: REGISTRATION, error: why.clone() });
    assert_eq!(answers(&effects), refused(1, Refusal::CleanupIncomplete(why)));
    assert_eq!(run(&mut shard, destroy(2)).as_slice(), [Effect::CleanUp { registration: REGISTRATION }]);
    let effects = run_durably(&mut shard, Event::Destroyed { registration: REGISTRATION });
    assert_eq!(answers(&effects), [(2, Answer::Destroyed)]);
}

#[test]
fn recover_of_each_state() {
    assert_eq!(answers(&run(&mut Shard::absent(), recover(1))), refused(1, Refusal::NotFound));
    for state in [ShardState::New, ShardState::Initializing, ShardState::Available] {
        assert_eq!(answers(&run(&mut shard(state), recover(1))), refused(1, Refusal::NotErrored));
    }
    assert_eq!(answers(&run(&mut held(ShardState::Serving), recover(1))), refused(1, Refusal::NotErrored));
    assert_eq!(answers(&run(&mut shard(ShardState::Destroying), recover(1))), refused(1, Refusal::Destroyed));

    let mut errored = shard(ShardState::Errored);
    let effects = run_durably(&mut errored, recover(1));
    assert!(effects.contains(&Effect::Discard { registration: REGISTRATION, attempt: Attempt(1) }));
    assert!(run(&mut errored, recover(2)).is_empty());
    assert_eq!(answers(&run_durably(&mut errored, initialize(3))), [(3, Answer::Begin(Attempt(3)))]);
    assert_eq!(answers(&run_durably(&mut errored, done(3))), [(1, Answer::Ready), (2, Answer::Ready)]);
    assert_eq!(errored.record().and_then(|record| record.error.clone()), None);
}

#[test]
fn failed_work_tells_everybody_and_keeps_the_error() {
    let mut shard = shard(ShardState::Initializing);
    run(&mut shard, acquire(1));
    let effects = run_durably(&mut shard, failed(1));
    let why = error(ErrorKind::MalformedCar);
    assert_eq!(answers(&effects), refused(1, Refusal::Failed(why.clone())));
    assert!(effects.contains(&Effect::Failure(why.clone())));
    assert_eq!(shard.record().and_then(|record| record.error.clone()), Some(why));
}

#[test]
fn completions_of_another_life_are_stale() {
    for state in [ShardState::New, ShardState::Available, ShardState::Errored, ShardState::Destroying] {
        for event in [done(1), failed(1)] {
            assert_eq!(run(&mut shard(state), event).as_slice(), [Effect::Stale], "{state}");
        }
    }
    for event in [done(2), failed(2), done(0)] {
        assert_eq!(run(&mut shard(ShardState::Initializing), event).as_slice(), [Effect::Stale]);
    }
    let other = Event::Destroyed { registration: Registration(8) };
    assert_eq!(run(&mut shard(ShardState::Destroying), other).as_slice(), [Effect::Stale]);
    assert_eq!(answers(&run(&mut shard(ShardState::Available), initialize(1))), refused(1, Refusal::Stale));
}

#[test]
fn the_last_release_of_an_errored_or_recovering_shard_leaves_it_so() {
    for state_then in [ShardState::Errored, ShardState::Recovering] {
        let mut shard = held(state_then);
        run(&mut shard, Event::Release);
        assert_eq!((state(&shard), shard.references()), (Some(state_then), 0));
    }
    let mut serving = held(ShardState::Serving);
    assert!(run(&mut serving, Event::Release).contains(&Effect::WriteBehind));
    assert_eq!(state(&serving), Some(ShardState::Available));
}

#[test]
fn recovery_leaves_open_accessors_alone() {
    let mut shard = held(ShardState::Recovering);
    run_durably(&mut shard, done(1));
    assert_eq!((state(&shard), shard.references()), (Some(ShardState::Serving), 1));
}

#[test]
fn an_acquire_that_fails_gives_its_reference_back() {
    let (waiter, registration, attempt) = (WaiterId(1), REGISTRATION, Attempt(1));
    let fail = |kind| Event::AcquireFailed { waiter, registration, attempt, error: error(kind), now: NOW };
    let mut passing = shard(ShardState::Available);
    run(&mut passing, acquire(1));
    let effects = run(&mut passing, fail(ErrorKind::SourceUnavailable));
    assert_eq!(answers(&effects), refused(1, Refusal::Failed(error(ErrorKind::SourceUnavailable))));
    assert_eq!((state(&passing), passing.references()), (Some(ShardState::Available), 0));

    let mut lasting = held(ShardState::Serving);
    run(&mut lasting, acquire(1));
    let effects = run_durably(&mut lasting, fail(ErrorKind::SourceChanged));
    assert_eq!(answers(&effects), refused(1, Refusal::Failed(error(ErrorKind::SourceChanged))));
    assert_eq!((state(&lasting), lasting.references()), (Some(ShardState::Errored), 1));
}

#[test]
fn an_acquire_that_failed_on_the_files_of_an_earlier_attempt_leaves_the_shard_alone() {
    let mut shard = held(ShardState::Serving);
    run(&mut shard, acquire(1));
    let (waiter, registration, attempt) = (WaiterId(1), REGISTRATION, Attempt(0));
    let error = error(ErrorKind::SourceChanged);
    let effects =
        run(&mut shard, Event::AcquireFailed { waiter, registration, attempt, error: error.clone(), now: NOW });
    assert_eq!(answers(&effects), refused(1, Refusal::Failed(error)));
    assert_eq!(shard, held(ShardState::Serving));
}

#[test]
fn a_lost_index_heals_itself_whoever_finds_out() {
    let mut shard = shard(ShardState::Available);
    run(&mut shard, acquire(1));
    run(&mut shard, acquire(2));
    let lost = |waiter| Event::IndexLost {
        waiter: WaiterId(waiter),
        registration: REGISTRATION,
        attempt: Attempt(1),
        now: NOW,
    };
    let effects = run_durably(&mut shard, lost(1));
    assert!(effects.contains(&Effect::Discard { registration: REGISTRATION, attempt: Attempt(1) }));
    run(&mut shard, lost(2));
    assert_eq!((state(&shard), shard.references(), shard.parked()), (Some(ShardState::Recovering), 0, 2));
    run_durably(&mut shard, initialize(3));
    assert_eq!(opened(&run_durably(&mut shard, done(3))), [1, 2]);
}

#[test]
fn a_request_that_is_not_durable_is_given_up_and_the_record_stands() {
    let mut absent = Shard::absent();
    run(&mut absent, register(1, true));
    let effects = run(&mut absent, Event::NotSynced);
    assert_eq!(answers(&effects), refused(1, Refusal::NotDurable));
    assert!(effects.contains(&Effect::Rewrite { registration: REGISTRATION }));
    assert_eq!(absent, Shard::absent());

    let mut new = shard(ShardState::New);
    run(&mut new, acquire(1));
    assert_eq!(answers(&run(&mut new, Event::NotSynced)), refused(1, Refusal::NotDurable));
    assert_eq!((state(&new), new.parked()), (Some(ShardState::New), 0));
}

#[test]
fn a_fact_that_is_not_durable_is_written_until_it_is() {
    let mut shard = shard(ShardState::Initializing);
    run(&mut shard, acquire(1));
    run(&mut shard, done(1));
    let effects = run(&mut shard, Event::NotSynced);
    assert_eq!(answers(&effects), refused(1, Refusal::NotDurable));
    assert_eq!(effects.last(), Some(&Effect::Persist));
    run(&mut shard, Event::Synced);
    assert_eq!(state(&shard), Some(ShardState::Available));
}

#[test]
fn a_waiter_that_goes_away_takes_nothing_with_it() {
    let mut shard = shard(ShardState::Initializing);
    run(&mut shard, acquire(1));
    run(&mut shard, acquire(2));
    run(&mut shard, Event::CancelWaiter { waiter: WaiterId(1) });
    assert_eq!(opened(&run_durably(&mut shard, done(1))), [2]);
    assert_eq!(shard.references(), 1);
}

#[test]
fn work_that_was_ended_on_request_is_no_start_that_was_not_survived() {
    let mut shard = shard(ShardState::Initializing);
    run(&mut shard, acquire(1));
    assert_eq!(answers(&run_durably(&mut shard, initialize(2))), [(2, Answer::Begin(Attempt(2)))]);
    let starts = |shard: &Shard| shard.record().map(|record| (record.attempt, record.starts));
    assert_eq!(starts(&shard), Some((Attempt(2), 1)));
    let interrupted = || Event::Interrupted { registration: REGISTRATION, attempt: Attempt(2), now: NOW };
    run_durably(&mut shard, interrupted());
    assert_eq!((starts(&shard), shard.parked()), (Some((Attempt(2), 0)), 1));
    assert_eq!(run(&mut shard, interrupted()).as_slice(), [Effect::Stale]);
}
