//! What is in a store's folder and in its datastores, to the last file and row: what its shards need, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use dagstore::copies::CopyState;
use dagstore::datastore::{Datastore, Namespace};
use dagstore::fs::OwnName;
use dagstore::index::{FingerprintKey, InvertedIndex};
use dagstore::{Backend, Identity, ShardCopy, ShardInfo};
use futures_util::StreamExt;

use crate::Result;
use crate::datastore::{NOTES, SHARDS};
use crate::shards::Blocks;
use crate::stores::Datastores;

/// How many bytes of a registration number are in a row of the inverted index.
const NUMBER_BYTES: usize = 5;

/// The one note that a store has that has looked after everything.
const COMPLETE: &[u8] = b"complete";

/// Looks at the folder of a store that is closed, whose shards are these, all of them Available.
///
/// # Errors
/// What is there and belongs to nobody, or isn't there and should be.
pub(crate) async fn nothing_else_is_left(
    directory: &Path,
    backend: Backend,
    shards: &[(&Blocks, ShardInfo)],
) -> Result<()> {
    let indices = shards.iter().map(|(_, info)| OwnName::new(&info.key, info.registration, info.attempt));
    let indices = indices.map(|name| format!("{name}.idx")).collect();
    same("files of indices", &names_in(&directory.join("index"))?, &indices)?;
    let names = ["copies", "lock", "store-id", "index", backend.name()].map(str::to_owned);
    same("files", &names_in(directory)?, &names.into())?;
    let of_backend = names_in(&directory.join(backend.name()))?;
    match backend {
        Backend::Redb => {
            same("databases", &of_backend, &["store.redb", "inverted.redb"].map(str::to_owned).into())?;
        }
        // Its files are its own, but for those that loads make.
        _ => {
            if let Some(name) = of_backend.iter().find(|name| name.ends_with(".new")) {
                return Err(format!("the file {name} of a load is left").into());
            }
        }
    }

    let datastores = Datastores::open(directory, backend).await?;
    let Datastores { records, rows } = &datastores;
    let identity = Identity::read(&**records).await?.ok_or("the store has no identity")?;
    let key = FingerprintKey(identity.fingerprint_key);
    let numbers = shards.iter().map(|(_, info)| info.registration.0.to_be_bytes().to_vec());
    same("records", &keys_in(&**records, SHARDS).await?, &numbers.collect())?;
    let rows_of = |(blocks, info): &(&Blocks, ShardInfo)| {
        let number = info.registration.0.to_be_bytes();
        let row = move |fingerprint: [u8; _]| [&fingerprint[..], &number[8 - NUMBER_BYTES..]].concat();
        blocks.keys().map(move |cid| row(key.fingerprint(cid.multihash()).0)).collect::<Vec<_>>()
    };
    let expected = shards.iter().flat_map(rows_of).collect();
    same("rows", &keys_in(&**rows, InvertedIndex::ROWS).await?, &expected)?;
    same("notes", &keys_in(&**rows, NOTES).await?, &BTreeSet::from([COMPLETE.to_vec()]))?;
    datastores.close().await
}

/// Looks at the folder of the copies of a store that is closed, which has told these: their files are there, and no others,
/// and not more bytes than were told.
///
/// # Errors
/// As [`nothing_else_is_left`].
pub(crate) fn copies_are_told(directory: &Path, copies: &[ShardCopy], used_bytes: u64) -> Result<()> {
    let folder = directory.join("copies");
    let (found, mut names) = (names_in(&folder)?, BTreeSet::new());
    for copy in copies {
        if copy.key.is_none() {
            return Err(format!("a copy is nobody's: {copy:?}").into());
        }
        let mut name = copy.info.name;
        // One copy for all attempts.
        name.attempt.0 = 0;
        let extensions = match copy.info.state {
            CopyState::Complete => ["copy", "meta"],
            CopyState::Partial => ["part", "meta"],
            CopyState::Chunks => ["chunks", "chunks-table"],
            _ => return Err(format!("nobody has begun this: {copy:?}").into()),
        };
        // Where a removal was interrupted, a partial copy of which nothing is there is told, and has no bytes.
        let may_lack = |name: &String| copy.info.done == 0 && name.ends_with(".part") && !found.contains(name);
        let of_copy = extensions.map(|extension| format!("{name}.{extension}"));
        names.extend(of_copy.into_iter().filter(|name| !may_lack(name)));
    }
    same("files of copies", &found, &names)?;
    let sizes = found.iter().map(|name| Ok(fs::metadata(folder.join(name))?.len()));
    let bytes: u64 = sizes.sum::<Result<u64>>()?;
    if bytes > used_bytes {
        return Err(format!("copies have {bytes} bytes, and {used_bytes} are told").into());
    }
    Ok(())
}

fn names_in(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

async fn keys_in(datastore: &dyn Datastore, namespace: Namespace) -> Result<BTreeSet<Vec<u8>>> {
    let (mut keys, mut pages) = (BTreeSet::new(), datastore.scan(namespace, &[]));
    while let Some(page) = pages.next().await {
        keys.extend(page?.iter().map(|(key, _)| key.to_vec()));
    }
    Ok(keys)
}

fn same<T: Ord + Debug>(what: &str, are: &BTreeSet<T>, should_be: &BTreeSet<T>) -> Result<()> {
    let (more, less) = (are.difference(should_be), should_be.difference(are));
    let (many, few) = (more.clone().count(), less.clone().count());
    if many + few == 0 {
        return Ok(());
    }
    let first = |of: Option<&T>| of.map_or_else(String::new, |one| format!(" such as {one:?}"));
    let (more, less) = (first(more.into_iter().next()), first(less.into_iter().next()));
    Err(format!("of {} {what}, {many} belong to no shard{more}, and {few} are missing{less}", are.len()).into())
}
