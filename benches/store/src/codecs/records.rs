//! Records as stores have them, from the smallest to nearly the largest.

use anyhow::{Context, Result};
use dagstore::codec::ShardRecord;
use dagstore::{ErrorKind, ShardError, ShardKey, ShardState, UnixMillis};
use dagstore_types::{Attempt, CopyRecord, Registration};

use crate::shards;

/// Every record with its name, small ones first.
pub(super) fn all() -> Result<Vec<(&'static str, ShardRecord)>> {
    Ok(vec![
        ("small", small()?),
        ("lazy", shards::record(7)?),
        ("copied", copied()?),
        ("failed", failed()?),
        ("long", long()?),
    ])
}

/// The record of this name.
pub(super) fn named(name: &str) -> Result<ShardRecord> {
    let found = all()?.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, record)| record).with_context(|| format!("no record is named {name:?}"))
}

/// A short key and a short URL: a shard of somebody's own machine.
fn small() -> Result<ShardRecord> {
    let now = UnixMillis(1_800_000_000_000);
    Ok(ShardRecord::new(ShardKey::new("car-7")?, "file:///srv/7.car".to_owned(), true, Registration(7), now))
}

/// A shard that is Available and has a local copy.
fn copied() -> Result<ShardRecord> {
    let copy = CopyRecord {
        path: shards::text("/var/lib/dagstore/copies/", 7, 90),
        size: Some(34_359_738_368),
        validator: Some("\"5f3c-63a1d4b2e8c40\"".to_owned()),
    };
    let state = ShardState::Available;
    Ok(ShardRecord { state, copy: Some(copy), lazy: false, attempt: Attempt(2), ..shards::record(7)? })
}

/// A shard that couldn't be read, with a text of some hundred bytes in which quotes stand, as they do in messages.
fn failed() -> Result<ShardRecord> {
    let next_try = Some(UnixMillis(1_800_000_060_000));
    let (state, error) = (ShardState::Errored, Some(error(400)));
    Ok(ShardRecord { state, error, next_try, starts: 3, retries: 3, lazy: false, ..shards::record(7)? })
}

/// A long URL, a local copy and an error of the longest text that is kept.
fn long() -> Result<ShardRecord> {
    let url = shards::text("https://cars.example/", 7, 650);
    Ok(ShardRecord { url, error: Some(error(1_024)), state: ShardState::Errored, ..copied()? })
}

fn error(bytes: usize) -> ShardError {
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str("reading \"/srv/cars/7.car\" at 1048576: connection reset by peer; ");
    }
    ShardError::new(ErrorKind::SourceUnavailable, &text[..bytes])
}

#[cfg(test)]
mod tests {
    use dagstore::codec::{Codec, Json};

    use super::{all, named};

    #[test]
    fn records_go_from_a_hundred_bytes_to_two_thousand() {
        let sizes: Vec<usize> = all()
            .unwrap()
            .iter()
            .map(|(name, record)| {
                assert_eq!(named(name).unwrap(), *record);
                let mut bytes = Vec::new();
                Json.encode(record, &mut bytes).unwrap();
                bytes.len()
            })
            .collect();
        assert!(sizes.is_sorted(), "{sizes:?}");
        assert!((90..130).contains(&sizes[0]) && (1_900..=2_048).contains(&sizes[4]), "{sizes:?}");
        assert!(named("none").is_err());
    }
}
