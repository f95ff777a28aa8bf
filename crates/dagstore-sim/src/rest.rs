//! Coming to rest: nothing fails any more, all that waits is answered, and all must be as it should.

use std::time::Duration;

use dagstore_engine::ShardInfo;
use dagstore_types::ShardState;

use crate::counts::Counts;
use crate::event::KEYS;
use crate::process::{Call, name};
use crate::run::{PATIENCE, Run};

/// How long what nobody waits for may take then.
const SETTLING: Duration = Duration::from_secs(5);

impl Run {
    /// Ends every fault, waits for everything, and looks closely.
    pub(crate) fn rest(&mut self) {
        let runtime = self.runtime.clone();
        runtime.block_on(self.settle());
    }

    async fn settle(&mut self) {
        self.heal();
        self.answers_come().await;
        // A registration that nobody waits for any more is seen only when it is written.
        for _ in 0..2 {
            self.wait_until(PATIENCE, |run| !run.is_busy()).await;
            self.wait_until(SETTLING, |_| false).await;
        }
        // Last, because whatever is indexed anew leaves its old files to this.
        self.call(Call::Collect);
        self.answers_come().await;
        self.wait_until(PATIENCE, |run| !run.is_busy()).await;
        self.check_rest();
        self.check_rows().await;
    }

    /// I5: nobody waits for ever.
    async fn answers_come(&mut self) {
        let done = |run: &Self| run.process.as_ref().is_some_and(|process| process.pending.is_empty());
        if !self.wait_until(PATIENCE, done).await {
            let calls = self.process.iter().flat_map(|process| &process.pending).map(|pending| pending.call);
            let calls: Vec<_> = calls.collect();
            self.world.breaks("I5", || format!("without an answer: {calls:?}"));
        }
    }

    /// The end of every sequence: all comes to rest, every shard can be read or recovered, destroyed, and leaves nothing.
    pub(crate) fn finish(&mut self) -> Counts {
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            self.settle().await;
            self.accessors.clear();
            for key in 0..KEYS {
                if !self.world.is_broken() && self.info(key).is_some() {
                    self.use_up(key).await;
                }
            }
            if !self.world.is_broken() {
                self.settle().await;
                self.close_store().await;
            }
        });
        if !self.world.is_broken() {
            let rows = crate::disk::shard_rows(self.world.disk.lock().durable()).count();
            let files = self.world.repo.lock().names().len();
            if rows + files > 0 {
                self.world.breaks("I8", || format!("{rows} records and {files} files are left of nothing"));
            }
        }
        std::mem::take(&mut self.counts)
    }

    /// Recovers a shard where that is needed, reads it, and destroys it.
    async fn use_up(&mut self, key: usize) {
        // A content that changed is found out by the first acquire, and indexed by the recovery.
        for _ in 0..3 {
            if self.info(key).is_some_and(|info| info.state == ShardState::Errored) {
                self.call(Call::Recover { key });
                self.answers_come().await;
            }
            let before = self.accessors.len();
            self.call(Call::Acquire { key });
            self.ledger.of(key).acquires += 1;
            self.answers_come().await;
            if self.accessors.len() > before {
                break;
            }
        }
        match self.accessors.pop() {
            Some(held) => self.check_content(&held.accessor, false),
            None => self.world.breaks("usable", || format!("{} can't be acquired: {:?}", name(key), self.info(key))),
        }
        self.ledger.of(key).destroying(self.world.disk.lock().failures);
        self.call(Call::Destroy { key });
        self.answers_come().await;
        if let Some(info) = self.info(key) {
            self.world.breaks("I8", || format!("destroyed, and there: {info:?}"));
        }
    }

    fn is_busy(&self) -> bool {
        let is_working = |info: ShardInfo| {
            info.writing
                || info.next_try.is_some()
                || matches!(info.state, ShardState::Initializing | ShardState::Recovering)
        };
        self.world.disk.lock().is_writing() || (0..KEYS).any(|key| self.info(key).is_some_and(is_working))
    }
}
