//! The machine against its tables: every state, every event, every flag that matters, and exactly one row for each case.

mod follow;
mod restarts;
mod situations;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::*;
use crate::table::{CauseKind, EventKind, PLACES, Place, STEPS, TRANSITIONS};

use follow::Followed;

#[test]
fn the_machine_does_what_its_tables_say() {
    let mut followed = Followed::default();
    let mut stepped = Vec::new();
    for shard in situations::at_rest() {
        assert_eq!(shard.validate(), Ok(()), "{shard:?}");
        for event in situations::events(&shard) {
            let after = compare(&shard, &event, &mut followed);
            if after.step.is_some() {
                stepped.push(after);
            }
        }
    }
    for shard in &stepped {
        for event in situations::events(shard) {
            let after = compare(shard, &event, &mut followed);
            if event == Event::Release {
                compare(&after, &Event::Synced, &mut followed);
                compare(&after, &Event::NotSynced, &mut followed);
            }
        }
    }
    let rows = TRANSITIONS.iter().enumerate();
    let rows: BTreeSet<(usize, Place)> = rows.flat_map(|(row, t)| t.places.iter().map(move |at| (row, *at))).collect();
    let missed: Vec<_> = rows.difference(&followed.transitions).map(|(row, at)| (TRANSITIONS[*row], at)).collect();
    assert!(missed.is_empty(), "rows that nothing led to: {missed:?}");
    let missed: Vec<_> = (0..STEPS.len()).filter(|row| !followed.steps.contains(row)).map(|row| STEPS[row]).collect();
    assert!(missed.is_empty(), "rows that nothing led to: {missed:?}");
    assert_eq!(followed.deferred.len(), EventKind::ALL.len() - 4, "all but 4 kinds of event wait for a step's end");
}

/// Lets the event happen to the machine and to the table, and returns the shard that both leave.
fn compare(shard: &Shard, event: &Event, followed: &mut Followed) -> Shard {
    let mut after = shard.clone();
    let effects = transition(&mut after, event.clone());
    let wanted = followed.follow(shard, event);
    assert_eq!(effects, wanted.1, "{event:?} in {shard:?}: the effects");
    assert_eq!(after, wanted.0, "{event:?} in {shard:?}: the shard afterwards");
    assert_eq!(after.validate(), Ok(()), "{event:?} in {shard:?}: {after:?}");
    if let (Some(step), Event::NotSynced) = (&shard.step, event) {
        assert_eq!(step.cause.is_fact(), after.step.is_some(), "facts are written until that succeeds: {step:?}");
    }
    after
}

/// What holds no reference can't be released: in a build with assertions that stops the program.
#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "a reference was released twice")]
fn a_release_without_a_reference_is_a_fault_of_the_caller() {
    transition(&mut shard(ShardState::Available), Event::Release);
}

/// In a build without assertions it is dropped.
#[cfg(not(debug_assertions))]
#[test]
fn a_release_without_a_reference_is_dropped() {
    let mut available = shard(ShardState::Available);
    assert_eq!(run(&mut available, Event::Release).as_slice(), [Effect::Stale]);
    assert_eq!(available, shard(ShardState::Available));
}

#[test]
fn the_table_names_every_event_every_cause_and_every_state() {
    for event in EventKind::ALL {
        assert!(TRANSITIONS.iter().any(|row| row.event == *event), "{event:?}");
    }
    for cause in CauseKind::ALL {
        for durable in [false, true] {
            assert!(STEPS.iter().any(|row| (row.cause, row.durable) == (*cause, durable)), "{cause:?} {durable}");
        }
    }
    assert_eq!(PLACES[0], None);
    let mut states: Vec<ShardState> = PLACES.iter().copied().flatten().collect();
    states.sort_unstable();
    let mut all = ShardState::ALL;
    all.sort_unstable();
    assert_eq!(states, all);
}

/// Who may be told that it never happened, once it could not be made durable.
#[test]
fn requests_are_what_nobody_loses_anything_by_dropping() {
    let requests =
        [EventKind::Register, EventKind::Acquire, EventKind::Initialize, EventKind::Recover, EventKind::Destroy];
    for shard in situations::at_rest() {
        for event in situations::events(&shard) {
            assert_eq!(event.is_request(), requests.contains(&EventKind::from(&event)), "{event:?}");
        }
    }
}
