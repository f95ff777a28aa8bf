//! The quota and those who wait for room, in the orders in which threads can meet.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use super::{Ledger, Room};

/// How many orders are tried where nobody says otherwise.
const USUAL: usize = 3_000;
const VARIABLE: &str = "DAGSTORE_SHUTTLE_ORDERS";

const QUOTA: u64 = 10;

fn check(story: impl Fn() + Send + Sync + 'static) {
    let orders = std::env::var(VARIABLE).ok().map_or(USUAL, |number| number.parse().unwrap());
    let story = Arc::new(story);
    let again = story.clone();
    shuttle::check_random(move || story(), orders);
    // Few changes of threads at the worst places find what needs depth, which dice seldom do.
    shuttle::check_pct(move || again(), orders, 3);
}

/// Waits for room as a fetch does that has nobody to evict: it is alone at the head of the line.
async fn reserve(ledger: &Arc<Ledger>, bytes: u64) -> Room {
    loop {
        let room = ledger.try_reserve(bytes, None);
        assert!(ledger.taken() <= QUOTA, "more is given out than there is");
        match room {
            Some(room) => return room,
            None => ledger.freed.notified().await,
        }
    }
}

/// Room that comes free is never missed by the one who waits for it, or shuttle calls it a deadlock.
#[test]
fn room_that_comes_free_is_heard_of() {
    check(|| {
        let ledger = Ledger::new(Some(QUOTA), 0);
        let (first, second) = (ledger.try_reserve(6, None).unwrap(), ledger.try_reserve(4, None).unwrap());
        let writer = thread::spawn(move || {
            first.written(6);
            first.shrink_to(3);
            drop(first);
        });
        let other = thread::spawn(move || drop(second));
        let room = block_on(reserve(&ledger, QUOTA));
        assert_eq!(room.bytes(), QUOTA);
        writer.join().unwrap();
        other.join().unwrap();
        drop(room);
        assert_eq!(ledger.taken(), 0);
    });
}

/// However rooms are taken, merged, made smaller and given back, the sum is theirs, never more than the quota, and nothing in the end.
#[test]
fn the_sum_of_all_rooms_is_what_they_hold() {
    check(|| {
        let ledger = Ledger::new(Some(QUOTA), 0);
        let of = |bytes: u64| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let Some(room) = ledger.try_reserve(bytes, None) else { return };
                assert!(ledger.taken() <= QUOTA, "more is given out than there is");
                room.written(1);
                assert!(ledger.taken() >= room.bytes(), "too little is counted");
                if let Some(more) = ledger.try_reserve(2, None) {
                    assert!(ledger.taken() <= QUOTA, "more is given out than there is");
                    room.absorb(more);
                    assert_eq!(room.bytes(), bytes + 2);
                }
                room.shrink_to(1);
                assert!((1..=QUOTA).contains(&ledger.taken()), "{} are counted", ledger.taken());
            })
        };
        for thread in [3, 5, 4].map(of) {
            thread.join().unwrap();
        }
        assert_eq!(ledger.taken(), 0);
    });
}

/// Those who wait are counted right, and never more than are allowed.
#[test]
fn no_more_wait_than_may() {
    check(|| {
        let ledger = Ledger::new(None, 0);
        let threads = [(); 3].map(|()| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let waits = ledger.wait(2);
                assert!(waits.is_none() || ledger.is_waited_for());
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!ledger.is_waited_for() && ledger.wait(1).is_some());
    });
}
