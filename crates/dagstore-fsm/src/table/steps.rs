//! How steps end, cause by cause.

use dagstore_types::ShardState;

use super::{Act, CauseKind, Said, StepEnd, When, Whom};
use crate::Operation;

const fn durable(cause: CauseKind, when: &'static [When], acts: &'static [Act]) -> StepEnd {
    StepEnd { cause, durable: true, when, acts }
}

const fn not_durable(cause: CauseKind, when: &'static [When], acts: &'static [Act]) -> StepEnd {
    StepEnd { cause, durable: false, when, acts }
}

const REFUSE_PARKED: Act = Act::Tell(Whom::Parked, Said::NotDurable);
const REFUSE_JOINED: Act = Act::Tell(Whom::Joined, Said::NotDurable);

/// How a step ends, once it is durable (`Synced`) or once it is clear that it isn't in time (`NotSynced`).
pub const STEPS: &[StepEnd] = &[
    durable(
        CauseKind::Register,
        &[When::Lazy],
        &[Act::Trace(Operation::ShardRegister), Act::Tell(Whom::Asker, Said::Registered)],
    ),
    durable(
        CauseKind::Register,
        &[When::Eager, When::DoesNotWait],
        &[Act::Trace(Operation::ShardRegister), Act::Tell(Whom::Asker, Said::Registered), Act::Enqueue],
    ),
    durable(
        CauseKind::Register,
        &[When::Eager, When::Waits],
        &[Act::Trace(Operation::ShardRegister), Act::JoinAsker, Act::Enqueue],
    ),
    durable(CauseKind::Queue, &[], &[Act::Enqueue]),
    durable(CauseKind::Recover, &[], &[Act::Unflag, Act::Trace(Operation::ShardRecover), Act::Discard, Act::Enqueue]),
    durable(CauseKind::Initialize, &[], &[Act::Trace(Operation::ShardInitialize), Act::Tell(Whom::Asker, Said::Begin)]),
    durable(CauseKind::Interrupt, &[], &[]),
    durable(
        CauseKind::MakeAvailable,
        &[When::NoReferences, When::NobodyParked],
        &[Act::Trace(Operation::ShardMakeAvailable), Act::Tell(Whom::Joined, Said::Ready)],
    ),
    durable(
        CauseKind::MakeAvailable,
        &[When::NoReferences, When::Parked],
        &[
            Act::Trace(Operation::ShardMakeAvailable),
            Act::Tell(Whom::Joined, Said::Ready),
            Act::Become(ShardState::Serving),
            Act::OpenParked,
        ],
    ),
    durable(
        CauseKind::MakeAvailable,
        &[When::References],
        &[
            Act::Trace(Operation::ShardMakeAvailable),
            Act::Tell(Whom::Joined, Said::Ready),
            Act::Become(ShardState::Serving),
            Act::OpenParked,
        ],
    ),
    durable(
        CauseKind::Fail,
        &[When::NoNextTry],
        &[
            Act::Trace(Operation::ShardFail),
            Act::Tell(Whom::Parked, Said::StoredError),
            Act::Tell(Whom::Joined, Said::StoredError),
            Act::Failure,
        ],
    ),
    durable(
        CauseKind::Fail,
        &[When::NextTry],
        &[
            Act::Trace(Operation::ShardFail),
            Act::Tell(Whom::Parked, Said::StoredError),
            Act::Tell(Whom::Joined, Said::StoredError),
            Act::Failure,
            Act::Retry,
        ],
    ),
    durable(
        CauseKind::Destroy,
        &[],
        &[
            Act::Trace(Operation::ShardDestroy),
            Act::Tell(Whom::Parked, Said::WasDestroyed),
            Act::Tell(Whom::Joined, Said::WasDestroyed),
            Act::JoinAsker,
            Act::Unflag,
            Act::CleanUp,
        ],
    ),
    durable(CauseKind::Forget, &[], &[Act::CleanedUp, Act::Tell(Whom::Joined, Said::Destroyed), Act::Forget]),
    not_durable(CauseKind::Register, &[], &[Act::Tell(Whom::Asker, Said::NotDurable), Act::Rewrite, Act::Forget]),
    not_durable(CauseKind::Queue, &[], &[REFUSE_PARKED, REFUSE_JOINED, Act::Rewrite]),
    not_durable(CauseKind::Recover, &[When::NoNextTry], &[REFUSE_PARKED, REFUSE_JOINED, Act::Rewrite]),
    not_durable(CauseKind::Recover, &[When::NextTry], &[REFUSE_PARKED, REFUSE_JOINED, Act::Rewrite, Act::Retry]),
    not_durable(
        CauseKind::Initialize,
        &[],
        &[Act::Tell(Whom::Asker, Said::NotDurable), REFUSE_PARKED, REFUSE_JOINED, Act::Rewrite],
    ),
    not_durable(CauseKind::Interrupt, &[], &[Act::Rewrite]),
    not_durable(CauseKind::MakeAvailable, &[], &[REFUSE_PARKED, REFUSE_JOINED, Act::PersistAgain]),
    not_durable(CauseKind::Fail, &[], &[REFUSE_PARKED, REFUSE_JOINED, Act::PersistAgain]),
    not_durable(CauseKind::Destroy, &[], &[Act::Tell(Whom::Asker, Said::NotDurable), Act::Rewrite]),
    not_durable(CauseKind::Forget, &[], &[REFUSE_PARKED, REFUSE_JOINED, Act::PersistAgain]),
];
