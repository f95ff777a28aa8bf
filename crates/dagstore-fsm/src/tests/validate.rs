//! A shard that breaks a rule is found out, whichever rule it is.

use dagstore_types::{Attempt, ShardState};

use super::*;
use crate::{Cause, Step, Write};

/// A shard with a step of this cause under way.
fn stepping(shard: Shard, cause: Cause) -> Shard {
    let record = shard.record.clone().unwrap_or_else(|| record(ShardState::New));
    Shard { step: Some(Step { write: Write::Put(record), cause }), ..shard }
}

fn rule(shard: &Shard) -> &'static str {
    shard.validate().expect_err("it breaks a rule")
}

#[test]
fn what_lives_in_memory_fits_the_state() {
    let absent = "a shard without a record has references, waiters or a step other than its registration";
    assert_eq!(rule(&Shard { references: 1, ..Shard::absent() }), absent);
    assert_eq!(rule(&Shard { parked: [WaiterId(1)].into(), ..Shard::absent() }), absent);
    assert_eq!(rule(&Shard { joined: [WaiterId(1)].into(), ..Shard::absent() }), absent);
    assert_eq!(rule(&Shard { recover_on_acquire: true, ..Shard::absent() }), absent);
    assert_eq!(rule(&Shard { cleaning: true, ..Shard::absent() }), absent);
    for state in ShardState::ALL {
        let of = |references| Shard { references, ..shard(state) };
        let anything = matches!(state, ShardState::Recovering | ShardState::Errored);
        assert_eq!(of(1).validate().is_ok(), anything || state == ShardState::Serving, "{state}");
        assert_eq!(of(0).validate().is_ok(), anything || state != ShardState::Serving, "{state}");

        let fitting = of(u32::from(state == ShardState::Serving));
        let working = matches!(state, ShardState::Initializing | ShardState::Recovering);
        let parked = Shard { parked: [WaiterId(1)].into(), ..fitting.clone() };
        assert_eq!(parked.validate().is_ok(), working, "{state}");
        let joined = Shard { joined: [WaiterId(1)].into(), ..fitting.clone() };
        assert_eq!(joined.validate().is_ok(), working || state == ShardState::Destroying, "{state}");
        let cleaning = Shard { cleaning: true, ..fitting.clone() };
        assert_eq!(cleaning.validate().is_ok(), state == ShardState::Destroying, "{state}");
        let flagged = Shard { recover_on_acquire: true, ..fitting };
        assert_eq!(flagged.validate().is_ok(), state == ShardState::Errored, "{state}");
    }
}

#[test]
fn a_step_fits_the_state_in_which_it_begins() {
    use ShardState::{Available, Destroying, Errored, Initializing, New, Recovering, Serving};
    let waiter = WaiterId(1);
    let given_up = Attempt(1);
    let table: [(Cause, &[ShardState]); 9] = [
        (Cause::Register { waiter, wait: false }, &[]),
        (Cause::Queue, &[New]),
        (Cause::Recover { given_up }, &[Available, Serving, Errored]),
        (Cause::Initialize { waiter }, &[New, Initializing, Recovering]),
        (Cause::Interrupt, &[Initializing, Recovering]),
        (Cause::MakeAvailable, &[Initializing, Recovering]),
        (Cause::Fail, &[New, Initializing, Available, Serving, Recovering, Errored]),
        (Cause::Destroy { waiter }, &[New, Initializing, Available, Recovering, Errored]),
        (Cause::Forget, &[Destroying]),
    ];
    for (cause, states) in table {
        for state in ShardState::ALL {
            let shard = Shard { references: u32::from(state == Serving), ..shard(state) };
            assert_eq!(stepping(shard, cause).validate().is_ok(), states.contains(&state), "{cause:?} in {state}");
        }
        let registers = matches!(cause, Cause::Register { .. });
        assert_eq!(stepping(Shard::absent(), cause).validate().is_ok(), registers, "{cause:?} without a record");
    }
    let wrong = "a step is under way that can't begin in this state";
    assert_eq!(rule(&stepping(shard(Errored), Cause::Recover { given_up: Attempt(0) })), wrong);
    assert_eq!(rule(&stepping(held(Errored), Cause::Destroy { waiter })), wrong);
    assert_eq!(rule(&stepping(Shard { cleaning: false, ..shard(Destroying) }, Cause::Forget)), wrong);
}
