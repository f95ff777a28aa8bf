//! The committer's lists and those who wait for it, in the orders in which threads can meet.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use super::{Commits, LastBatch};

/// How many orders are tried where nobody says otherwise.
const USUAL: usize = 3_000;
const VARIABLE: &str = "DAGSTORE_SHUTTLE_ORDERS";

fn check(story: impl Fn() + Send + Sync + 'static) {
    let orders = std::env::var(VARIABLE).ok().map_or(USUAL, |number| number.parse().unwrap());
    let story = Arc::new(story);
    let again = story.clone();
    shuttle::check_random(move || story(), orders);
    // Few changes of threads at the worst places find what needs depth, which dice seldom do.
    shuttle::check_pct(move || again(), orders, 3);
}

/// What the committer does, without a datastore: it answers whatever it finds, until it is told to stop.
async fn commit(commits: &Commits) -> u64 {
    let mut written = 0;
    loop {
        commits.due(LastBatch::default()).await;
        let is_stopping = commits.is_stopping();
        let (_, lists) = commits.take();
        let is_empty = !lists.numbers.is_wanted();
        written = lists.numbers.end.max(written);
        lists.numbers.answer(true);
        if is_stopping && is_empty {
            commits.abandon();
            return written;
        }
    }
}

/// Nobody waits for ever, which shuttle calls a deadlock; and who was told that it is durable was taken.
#[test]
fn everybody_is_answered_however_they_meet_the_committer() {
    check(|| {
        let commits = Arc::new(Commits::default());
        let committing = {
            let commits = commits.clone();
            thread::spawn(move || block_on(commit(&commits)))
        };
        let callers = (1..=3_u64).map(|end| {
            let commits = commits.clone();
            // The second one asks again as soon as it is answered.
            thread::spawn(move || {
                assert!(block_on(commits.give_out(end)), "it was refused, though the committer works");
                assert!(end != 2 || block_on(commits.give_out(4)), "it was refused, though the committer works");
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.join().unwrap();
        }
        commits.stop();
        assert_eq!(committing.join().unwrap(), 4);
    });
}

/// Stopping while somebody asks: an answer comes all the same, yes from a committer that still took it and no from one that has gone.
#[test]
fn who_asks_while_the_committer_is_stopped_is_answered_and_yes_means_written() {
    check(|| {
        let commits = Arc::new(Commits::default());
        let committing = {
            let commits = commits.clone();
            thread::spawn(move || block_on(commit(&commits)))
        };
        let caller = {
            let commits = commits.clone();
            thread::spawn(move || block_on(commits.give_out(7)))
        };
        commits.stop();
        let is_durable = caller.join().unwrap();
        let written = committing.join().unwrap();
        assert_eq!(is_durable, written == 7);
    });
}
