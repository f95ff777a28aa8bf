//! Many files come into being at once, for the price of little more than one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::publish::{Unfinished, failed};
use crate::real::parent_directory;
use crate::{FileSystem, PublishError, WriteFile};

/// So many files are written and synced at the same time. They mostly wait for the disk, which makes one commit of what
/// waits for it, so there are more of them than cores.
const AT_ONCE: usize = 16;

/// One file of a group.
pub struct GroupFile<'a, T, E> {
    /// The name under which it is written, which must not exist.
    pub temporary: PathBuf,
    /// The name that it gets, in the same directory.
    pub path: PathBuf,
    /// Writes it.
    pub write: GroupWrite<'a, T, E>,
}

/// What writes a file of a group.
pub type GroupWrite<'a, T, E> = Box<dyn FnOnce(&mut dyn WriteFile) -> Result<T, E> + Send + 'a>;

/// Publishes many files as [`publish`](crate::publish) does one: each is whole or absent at any moment, and durable when
/// this returns. They are written and synced by up to 16 threads, then renamed in their order, then each of their
/// directories is synced once. The results stand in the order of the files.
///
/// A file that fails doesn't concern the others; but a directory that can't be synced fails all files in it. When one
/// of them panics, none is published.
///
/// # Errors
/// For each file as [`publish`](crate::publish), with the same meaning.
pub fn publish_group<T: Send, E: From<PublishError> + Send>(
    file_system: &dyn FileSystem,
    files: Vec<GroupFile<'_, T, E>>,
) -> Vec<Result<T, E>> {
    let (places, writes): (Vec<_>, Vec<_>) =
        files.into_iter().map(|file| ((file.temporary, file.path), file.write)).unzip();
    let work = Mutex::new(places.iter().zip(writes).enumerate());
    let write_some = || {
        let mut written = Vec::new();
        loop {
            let next = work.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, ((temporary, _), write))) = next else { return written };
            written.push((at, write_one(file_system, temporary, write)));
        }
    };
    let mut written = thread::scope(|scope| {
        // A thread that the system refuses is one less: this one works, too.
        let spawn = |_| thread::Builder::new().name("publish".to_owned()).spawn_scoped(scope, write_some).ok();
        let others: Vec<_> = (1..places.len().min(AT_ONCE)).filter_map(spawn).collect();
        let mut written = write_some();
        for other in others {
            written.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        written
    });
    written.sort_unstable_by_key(|(at, _)| *at);
    let mut renamed = Vec::with_capacity(places.len());
    for ((_, written), (temporary, path)) in written.into_iter().zip(&places) {
        renamed.push(written.and_then(|(value, mut unfinished)| {
            file_system.rename(temporary, path).map_err(failed("rename", temporary))?;
            unfinished.path = path;
            Ok((value, unfinished))
        }));
    }
    finish(file_system, renamed)
}

/// Writes a file under its temporary name, and syncs it.
fn write_one<'a, T, E: From<PublishError>>(
    file_system: &'a dyn FileSystem,
    temporary: &'a Path,
    write: GroupWrite<'_, T, E>,
) -> Result<(T, Unfinished<'a>), E> {
    let mut file = file_system.create(temporary).map_err(failed("create", temporary))?;
    let unfinished = Unfinished { file_system, path: temporary, is_finished: false };
    let value = write(&mut *file)?;
    file.sync().map_err(failed("sync", temporary))?;
    Ok((value, unfinished))
}

/// Syncs the directories, once each, and lets the files in them stay.
fn finish<T, E: From<PublishError>>(
    file_system: &dyn FileSystem,
    renamed: Vec<Result<(T, Unfinished<'_>), E>>,
) -> Vec<Result<T, E>> {
    let mut synced = BTreeMap::new();
    let finish_one = |renamed: Result<(T, Unfinished<'_>), E>| {
        let (value, mut unfinished) = renamed?;
        let directory = parent_directory(unfinished.path);
        let outcome = match synced.entry(directory.to_owned()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(file_system.sync_directory(directory)),
        };
        if let Err(error) = outcome {
            return Err(failed("sync the directory", directory)(copy_of(error)).into());
        }
        unfinished.is_finished = true;
        Ok(value)
    };
    renamed.into_iter().map(finish_one).collect()
}

/// An error that says the same, because one failure concerns many files.
fn copy_of(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

/// Leaves the function out.
impl<T, E> fmt::Debug for GroupFile<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealFileSystem;
    use crate::recorder::Recorder;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn group(directory: &Path, names: &[&'static str]) -> Vec<GroupFile<'static, &'static str, io::Error>> {
        let file = |name: &'static str| GroupFile {
            temporary: directory.join(format!("{name}.tmp")),
            path: directory.join(name),
            write: Box::new(move |file: &mut dyn WriteFile| {
                file.write_all(name.as_bytes())?;
                Ok(name)
            }),
        };
        names.iter().map(|name| file(name)).collect()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = RealFileSystem.list(directory).unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn all_bytes_are_durable_before_any_name_and_the_directory_is_synced_once() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("b"), b"old").unwrap();
        let recorder = Recorder::default();
        let results = publish_group(&recorder, group(directory.path(), &NAMES));
        assert_eq!(results.into_iter().map(Result::unwrap).collect::<Vec<_>>(), NAMES);
        assert_eq!(names(directory.path()), NAMES);
        for name in NAMES {
            assert_eq!(std::fs::read(directory.path().join(name)).unwrap(), name.as_bytes());
        }
        let calls = recorder.calls();
        let (before, after) = calls.split_at(9);
        for call in ["create", "write", "sync"] {
            assert_eq!(before.iter().filter(|found| **found == call).count(), 3, "{calls:?}");
        }
        assert_eq!(after, ["rename", "rename", "rename", "sync_directory"]);
    }

    #[test]
    fn every_step_of_one_file_fails_for_itself() {
        for call in ["create", "write", "sync", "rename"] {
            let directory = tempfile::tempdir().unwrap();
            let results = publish_group(&Recorder::failing_for(call, "b"), group(directory.path(), &NAMES));
            let failed: Vec<_> = results.iter().map(Result::is_err).collect();
            assert_eq!(failed, [false, true, false], "{call}");
            assert_eq!(names(directory.path()), ["a", "c"], "{call}");
            let again = publish_group(&RealFileSystem, group(directory.path(), &NAMES));
            assert!(again.iter().all(Result::is_ok), "{call}");
        }
    }

    #[test]
    fn a_directory_that_can_not_be_synced_fails_all_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let results = publish_group(&Recorder::failing("sync_directory"), group(directory.path(), &NAMES));
        for result in results {
            assert!(result.unwrap_err().to_string().starts_with("cannot sync the directory "));
        }
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn each_directory_is_synced_once() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| directory.path().join(name));
        for path in [&one, &other] {
            RealFileSystem.create_directory(path).unwrap();
        }
        let recorder = Recorder::default();
        let files = group(&one, &["a", "b"]).into_iter().chain(group(&other, &["c", "d"])).collect();
        assert!(publish_group(&recorder, files).iter().all(Result::is_ok));
        assert_eq!(recorder.calls().iter().filter(|call| **call == "sync_directory").count(), 2);
        assert_eq!((names(&one), names(&other)), (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()]));
    }

    #[test]
    fn a_group_of_any_size_is_published_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for count in [0, 1, 2, AT_ONCE, AT_ONCE + 1, 100] {
            let file = |number: usize| GroupFile {
                temporary: directory.path().join(format!("{count}-{number}.tmp")),
                path: directory.path().join(format!("{count}-{number}")),
                write: Box::new(move |_: &mut dyn WriteFile| Ok::<_, io::Error>(number)) as GroupWrite<'_, _, _>,
            };
            let results = publish_group(&RealFileSystem, (0..count).map(file).collect());
            assert_eq!(results.into_iter().map(Result::unwrap).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        }
        assert_eq!(names(directory.path()).len(), 1 + 2 + AT_ONCE + AT_ONCE + 1 + 100);
    }

    #[test]
    fn a_panic_publishes_none() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = group(directory.path(), &NAMES);
        files[1].write = Box::new(|_| panic!("planted"));
        let publish = std::panic::AssertUnwindSafe(|| publish_group(&RealFileSystem, files));
        assert!(std::panic::catch_unwind(publish).is_err());
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn a_temporary_that_exists_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("b.tmp"), b"somebody's").unwrap();
        let results = publish_group(&RealFileSystem, group(directory.path(), &NAMES));
        assert_eq!(results[1].as_ref().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(directory.path()), ["a", "b.tmp", "c"]);
    }
}
