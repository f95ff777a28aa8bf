//! What an event leaves to do once the cell is unlocked.

use std::sync::Arc;

use dagstore_fsm::{Effects, Operation};
use dagstore_transient::Lease;
use dagstore_types::{Registration, ShardError, ShardState};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{Cell, Opened, Reply, Sender};

/// What is left to do once the cell is unlocked.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) persist: bool,
    pub(super) write_behind: bool,
    pub(super) rewrite: Option<Registration>,
    pub(super) unused: Unused,
    /// Dropped to tell them.
    pub(super) settled: Vec<oneshot::Sender<()>>,
    pub(super) replies: SmallVec<[(Option<Sender>, Option<Reply>); 1]>,
    pub(super) traces: SmallVec<[(Operation, Option<ShardState>); 2]>,
    pub(super) failure: Option<ShardError>,
    pub(super) effects: Effects,
}

impl Outcome {
    /// Does what needs no engine and returns the rest.
    pub(super) fn settle(self, cell: &Arc<Cell>) -> Effects {
        let shared = &cell.shared;
        if let Some(registration) = self.rewrite {
            shared.commits.rewrite(registration, cell.clone());
        }
        if self.persist {
            shared.persist(cell);
        }
        if self.write_behind {
            shared.commits.write_behind(cell.clone());
        }
        for (operation, state) in self.traces {
            shared.tell(&cell.key, operation, state);
        }
        if let Some(error) = self.failure {
            tracing::warn!(shard = %cell.key, kind = error.kind().name(), %error, "the shard failed");
            shared.watch.failure(&cell.key, error);
        }
        for (sender, reply) in self.replies {
            // Whoever has gone away gets no answer; a reference that nobody takes is released when it is dropped here.
            if let Some(sender) = sender {
                let _gone_away = sender.send(reply);
            }
        }
        self.effects
    }
}

/// Source, index and copy that nobody has open any more. Closing them is I/O, so it waits for the cell to be unlocked.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "it is only dropped")]
pub(super) struct Unused {
    pub(super) opened: Option<Opened>,
    pub(super) lease: Option<Box<Lease>>,
}
