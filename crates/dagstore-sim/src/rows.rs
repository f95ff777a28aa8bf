//! What must hold of every batch that the store writes, and of what is on the disk.

use dagstore_fs::OwnName;
use dagstore_types::{ShardRecord, ShardState};

use crate::disk::{Change, Image, SHARDS, shard_rows};
use crate::world::World;

/// Looks at a batch before it is applied.
pub(crate) fn check_changes(world: &World, changes: &[Change]) {
    for (place, value) in changes.iter().filter(|((namespace, _), _)| namespace.name() == SHARDS) {
        let disk = world.disk.lock();
        let before = disk.current().get(place).and_then(|value| value.record.clone());
        let is_unsure = disk.is_unsure(place);
        drop(disk);
        let after = value.as_ref().and_then(|value| value.record.clone());
        if !is_unsure {
            check_transition(world, before.as_deref(), after.as_deref());
        }
        if let Some(after) = &after {
            check_index(world, before.as_deref(), after);
            if place.1 != after.registration.0.to_be_bytes() {
                world.breaks("I2", || format!("the record of registration {} is in another row", after.registration));
            }
        }
    }
}

/// I4: a record goes only where the table lets it go.
fn check_transition(world: &World, before: Option<&ShardRecord>, after: Option<&ShardRecord>) {
    let from = before.map(|record| record.state);
    let to = after.map(|record| record.state);
    if !may_follow(from, to) {
        world.breaks("I4", || format!("a record goes from {from:?} to {to:?}"));
    }
    let (Some(before), Some(after)) = (before, after) else { return };
    if (&before.key, &before.url, before.lazy) != (&after.key, &after.url, after.lazy) {
        world.breaks("I4", || format!("what never changes was changed: {before:?} to {after:?}"));
    }
    if after.attempt < before.attempt {
        world.breaks("I10", || format!("{}: attempt {} after {}", after.key, after.attempt, before.attempt));
    }
}

/// I7: a record says Available only when its index is there.
fn check_index(world: &World, before: Option<&ShardRecord>, after: &ShardRecord) {
    let is_usable = |record: &ShardRecord| matches!(record.state, ShardState::Available | ShardState::Serving);
    let was_usable = before.is_some_and(|before| is_usable(before) && before.attempt == after.attempt);
    let name = OwnName::new(&after.key, after.registration, after.attempt);
    if is_usable(after) && !was_usable && !world.repo.lock().was_published(&name) {
        world.breaks("I7", || format!("{} is written as {} without an index", after.key, after.state));
    }
}

/// Whether the table lets a record go from one state to another; `None` where there is no record.
pub(crate) fn may_follow(from: Option<ShardState>, to: Option<ShardState>) -> bool {
    use ShardState::{Available, Destroying, Errored, Initializing, New, Recovering, Serving};
    match (from, to) {
        (None, None) => true,
        (None, Some(to)) => matches!(to, New | Initializing),
        (Some(from), None) => from == Destroying,
        (Some(New), Some(to)) => matches!(to, New | Initializing | Destroying),
        (Some(Initializing | Recovering), Some(New)) => false,
        (Some(Recovering), Some(Initializing)) => false,
        (Some(Initializing | Recovering), Some(_)) => true,
        (Some(Available | Serving), Some(to)) => !matches!(to, New | Initializing),
        (Some(Errored), Some(to)) => matches!(to, Errored | Recovering | Destroying),
        (Some(Destroying), Some(to)) => to == Destroying,
    }
}

/// I2: what is on the disk can be read back as a catalogue: a key has one row at most.
pub(crate) fn check_images(world: &World) {
    let disk = world.disk.lock();
    let twice = twice(disk.current()).or_else(|| twice(disk.durable())).map(str::to_owned);
    drop(disk);
    if let Some(key) = twice {
        world.breaks("I2", || format!("two records on the disk have the key {key}"));
    }
}

fn twice(image: &Image) -> Option<&str> {
    let rows = || shard_rows(image).map(|(_, record)| record);
    let same = |one: &ShardRecord| rows().any(|other| other.key == one.key && other.registration != one.registration);
    rows().find(|record| same(record)).map(|record| record.key.as_str())
}
