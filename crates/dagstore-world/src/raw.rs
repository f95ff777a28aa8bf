//! What must hold of a machine that is switched off, before anybody mends it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_codec::{Codecs, Row};
use dagstore_engine::rows::SHARDS;
use dagstore_fs::OwnName;
use dagstore_index::{FsIndexRepo, IndexRepo, InvertedIndex};
use dagstore_testkit::power::{Image, Power};
use dagstore_types::{ShardRecord, ShardState};

use crate::content::Source;
use crate::machine::{INDICES, KEY};

/// The records that can be read.
pub(crate) fn records(image: &Image) -> Vec<ShardRecord> {
    let rows = image.rows.iter().filter(|((namespace, _), _)| *namespace == SHARDS);
    rows.filter_map(|(_, bytes)| Row::split(bytes).ok()?.decode(&Codecs::default()).ok()).collect()
}

/// A record says that its shard is Available only where its index is there and whole, with the rows that it names.
pub(crate) fn check_indices(image: &Image) -> Result<(), String> {
    let is_available = |record: &ShardRecord| {
        matches!(record.state, ShardState::Available | ShardState::Serving) && !record.provisional
    };
    for record in records(image).iter().filter(|record| is_available(record)) {
        let car = Source::of_url(&record.url).ok_or_else(|| format!("who is {}?", record.url))?.car();
        // A machine of its own: opening the folder may make it.
        let disk = Arc::new(Power::of(image).disk());
        let repo = FsIndexRepo::open(disk, Path::new(INDICES), KEY).map_err(|error| error.to_string())?;
        let name = OwnName::new(&record.key, record.registration, record.attempt);
        let index = match repo.open(name) {
            Ok(Some(index)) => index,
            Ok(None) => return Err(format!("{} is {} without an index", record.key, record.state)),
            Err(error) => return Err(format!("{} is {} with a bad index: {error}", record.key, record.state)),
        };
        for (cid, _) in &car.blocks {
            if !matches!(index.find_first(cid.multihash()), Ok(Some(_))) {
                return Err(format!("{}'s index lacks {cid}", record.key));
            }
            let fingerprint = KEY.fingerprint(cid.multihash());
            let is_there = image
                .rows
                .keys()
                .any(|(namespace, key)| *namespace == InvertedIndex::ROWS && key.starts_with(&fingerprint.0));
            if !is_there {
                return Err(format!("{} is {} and {cid} has no row", record.key, record.state));
            }
        }
    }
    Ok(())
}

/// A file that belongs to none of the records.
pub(crate) fn unclaimed(image: &Image) -> Option<PathBuf> {
    let records = records(image);
    let is_claimed = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        let Some(name) = OwnName::parse(stem) else { return false };
        let of = records.iter().find(|record| record.registration == name.registration);
        of.is_some_and(|record| match extension {
            "idx" => record.attempt == name.attempt,
            "copy" | "meta" | "chunks" | "chunks-table" | "part" => true,
            _ => false,
        })
    };
    image.files.keys().find(|path| !is_claimed(path)).cloned()
}

/// Anything that is left of shards.
pub(crate) fn leftover(image: &Image) -> Option<String> {
    let row = image.rows.keys().find(|(namespace, _)| [SHARDS, InvertedIndex::ROWS].contains(namespace));
    let file = image.files.keys().next().map(|path| path.display().to_string());
    file.or_else(|| row.map(|(namespace, key)| format!("a row of {}: {key:?}", namespace.name())))
}
