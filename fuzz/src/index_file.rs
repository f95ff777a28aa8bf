//! The target `index-file`: any bytes as an index file of the store's own.

use std::path::Path;
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::OwnName;
use dagstore_index::{Damage, Error, FingerprintKey, FsIndexRepo, FullIndex, IndexRepo};
use dagstore_types::{Attempt, Registration};

use crate::files::MemoryFileSystem;
use crate::probes::{PROBES, probe};
use crate::seal::{key_of, sealed};

/// An input is an index file. It is opened as it is, under the name and the key that stand in it, and once more with all its checksums
/// put right. A file that is opened answers every question or says that it is damaged, and its answers fit together.
pub fn index_file(input: &[u8]) {
    ask(input.to_vec());
    let file = sealed(input);
    let answered = ask(file.clone());
    // A validator can be out of bounds; what else there is has been put right.
    assert!(answered || file[60..64] != [0xff; 4], "a file whose checksums are right isn't opened");
}

/// Whether the file is opened, and then asked everything.
fn ask(file: Vec<u8>) -> bool {
    let (key, name) = (key_of(&file), name_of(&file));
    let files = MemoryFileSystem::default();
    files.put(&Path::new("").join(format!("{name}.idx")), file);
    let repo = FsIndexRepo::open(Arc::new(files), Path::new(""), key).expect("memory takes every directory");
    assert_eq!(repo.list().ok(), Some(vec![name]));
    let index = match repo.open(name) {
        Ok(index) => index.expect("the file is there"),
        Err(Error::Damaged { .. } | Error::NewerVersion { .. }) => return false,
        Err(error) => panic!("neither damaged nor newer: {error:?}"),
    };
    let mut damaged = false;
    for number in 0..PROBES {
        damaged |= !look_up(&*index, &probe(number));
    }
    list(index, key, damaged);
    true
}

/// Looks a multihash up; `false` where one of the file's pages is damaged. A damaged fence keeps nobody from reading pages.
fn look_up(index: &dyn FullIndex, multihash: &[u8]) -> bool {
    let multihash = MultihashRef::parse(multihash).expect("a probe is a multihash");
    match (index.find(multihash), index.find_first(multihash)) {
        (Ok(all), Ok(first)) => {
            assert_eq!(all.first(), first.as_ref());
            assert!(all.len() as u64 <= index.len());
            true
        }
        // The first may be in a page that is good.
        (Err(Error::Damaged { what, .. }), Ok(_) | Err(Error::Damaged { .. })) => !matches!(what, Damage::Page { .. }),
        other => panic!("{other:?}"),
    }
}

/// All fingerprints come, or an error ends them.
fn list(index: Arc<dyn FullIndex>, key: FingerprintKey, damaged: bool) {
    let entries = index.len();
    let mut count = 0;
    for fingerprint in index.fingerprints(key) {
        match fingerprint {
            Ok(_) => count += 1,
            Err(Error::Damaged { .. }) => return,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(count, entries);
    assert!(!damaged, "a look-up has met a damaged page, and reading all has not");
}

/// The name that stands in a file.
fn name_of(file: &[u8]) -> OwnName {
    let mut bytes = [0; 28];
    let held = file.get(32..).unwrap_or_default();
    let count = held.len().min(bytes.len());
    bytes[..count].copy_from_slice(&held[..count]);
    let (hash, rest) = bytes.split_first_chunk::<16>().expect("28 bytes");
    let (registration, attempt) = rest.split_first_chunk::<8>().expect("12 bytes");
    let attempt = attempt.first_chunk::<4>().expect("4 bytes");
    OwnName::from_parts(*hash, Registration(u64::from_be_bytes(*registration)), Attempt(u32::from_be_bytes(*attempt)))
}
