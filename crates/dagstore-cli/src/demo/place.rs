//! The directory of a demonstration.

use std::io;
use std::path::{Path, PathBuf};

use crate::exit::{Code, Failure};

/// A directory with room for CAR files and a store. It is removed when the value is dropped, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) root: PathBuf,
    pub(crate) cars: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) is_kept: bool,
    /// A directory that was there before stays.
    is_root_ours: bool,
}

impl Place {
    /// Makes the place in the directory that was named, which must be empty or absent, or else in a temporary one.
    pub(crate) fn make(named: Option<&Path>, is_kept: bool) -> Result<Self, Failure> {
        let (root, is_root_ours) = match named {
            Some(root) => (root.to_owned(), take(root)?),
            None => (temporary().map_err(|error| failed(&std::env::temp_dir(), error))?, true),
        };
        let place = Self { cars: root.join("cars"), store: root.join("store"), root, is_kept, is_root_ours };
        std::fs::create_dir(&place.cars).map_err(|error| failed(&place.cars, error))?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let parts: &[&PathBuf] = if self.is_root_ours { &[&self.root] } else { &[&self.cars, &self.store] };
        for part in parts {
            if let Err(error) = std::fs::remove_dir_all(part)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %part.display(), %error, "what the demonstration made can't be removed");
            }
        }
    }
}

/// Makes the directory, or finds it empty; tells whether it was made.
fn take(root: &Path) -> Result<bool, Failure> {
    match std::fs::read_dir(root) {
        Ok(mut entries) => {
            if entries.next().is_none() {
                return Ok(false);
            }
            let text = format!("{} isn't empty, and the demonstration wants a directory of its own", root.display());
            Err(Failure::of_text(Code::Usage, text).advise("dagstore demo, which makes a temporary directory"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(root).map_err(|error| failed(root, error))?;
            Ok(true)
        }
        Err(error) => Err(failed(root, error)),
    }
}

fn temporary() -> io::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix("dagstore-demo-").tempdir()?.keep())
}

fn failed(path: &Path, error: io::Error) -> Failure {
    let error = anyhow::Error::new(error).context(format!("{} can't be used", path.display()));
    Failure::new(Code::Failed, error).advise("dagstore --dir DIR demo, with a directory that is empty or absent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        drop(Place::make(Some(directory.path()), false).unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let absent = directory.path().join("absent");
        drop(Place::make(Some(&absent), false).unwrap());
        assert!(!absent.exists());
        drop(Place::make(Some(&absent), true).unwrap());
        assert!(absent.join("cars").is_dir());
        assert_eq!(Place::make(Some(&absent), false).unwrap_err().code, Code::Usage);
        assert!(absent.join("cars").is_dir());
        let place = Place::make(None, false).unwrap();
        let root = place.root.clone();
        assert!(root.is_dir());
        drop(place);
        assert!(!root.exists());
    }
}
