//! The file beside a copy: whose it is, how far it got, and when it was used. `docs/format/copies.md` has its bytes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dagstore_fs::{FileSystem, OwnName, ReadAtExt};
use dagstore_mount::Stat;
use dagstore_types::{Attempt, Registration, UnixMillis};

use crate::error::failed;
use crate::names::Paths;
use crate::{Error, Result};

/// The longest validator that is kept, in bytes. It is that of index files.
pub const MAX_VALIDATOR_BYTES: usize = 8192;

const MAGIC: &[u8; 8] = b"dagscopy";
const VERSION: u16 = 1;
const FIXED_BYTES: usize = 96;
const CHECKSUM_BYTES: usize = 4;
/// The longest path that Linux takes.
const MAX_PATH_BYTES: usize = 4096;
const MAX_BYTES: usize = FIXED_BYTES + MAX_VALIDATOR_BYTES + MAX_PATH_BYTES + CHECKSUM_BYTES;
const NO_VALIDATOR: u32 = u32::MAX;

/// What is known of a copy on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sidecar {
    /// The attempt is that of the fetch.
    pub(crate) name: OwnName,
    pub(crate) form: Form,
    pub(crate) is_pinned: bool,
    /// The size of the whole source.
    pub(crate) size: u64,
    pub(crate) validator: Option<String>,
    /// How many bytes are durable, from the first on.
    pub(crate) durable: u64,
    /// The CRC-32C of these.
    pub(crate) checksum: u32,
    pub(crate) used: UnixMillis,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    Partial,
    Complete,
    /// A user's own file.
    Foreign(Foreign),
}

/// What a user's file was when it was adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) path: PathBuf,
    pub(crate) inode: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, u32),
}

impl Sidecar {
    /// Of a copy of which nothing is there.
    pub(crate) fn new(name: OwnName, stat: &Stat, used: UnixMillis) -> Result<Self> {
        let validator = stat.validator.clone();
        let length_bytes = validator.as_ref().map_or(0, String::len);
        if length_bytes > MAX_VALIDATOR_BYTES {
            return Err(Error::ValidatorTooLong { name, length_bytes, most: MAX_VALIDATOR_BYTES });
        }
        let (form, size) = (Form::Partial, stat.size);
        Ok(Self { name, form, is_pinned: false, size, validator, durable: 0, checksum: 0, used })
    }

    pub(crate) fn stat(&self) -> Stat {
        Stat::new(self.size, self.validator.clone())
    }

    /// The room that sidecars of this one's length take: this one, and the next while it is written.
    pub(crate) fn room(&self) -> u64 {
        let path = if let Form::Foreign(foreign) = &self.form { foreign.path.as_os_str().len() } else { 0 };
        2 * (FIXED_BYTES + self.validator.as_ref().map_or(0, String::len) + path + CHECKSUM_BYTES) as u64
    }

    /// Reads a sidecar. `None` where there is none, or none of this registration that can be trusted.
    pub(crate) fn read(file_system: &dyn FileSystem, path: &Path, id: crate::names::Id) -> Result<Option<Self>> {
        let file = match file_system.open(path) {
            Ok(file) => file,
            // A directory or a pipe is no sidecar of ours.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => return Ok(None),
            Err(error) => return Err(failed("open", path)(error)),
        };
        let length = usize::try_from(file.size()).unwrap_or(usize::MAX);
        if length > MAX_BYTES {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(0, &mut bytes).map_err(failed("read", path))?;
        Ok(Self::decode(&bytes).filter(|found| crate::names::Id::of(found.name) == id))
    }

    /// Puts this one in the place of the one that is there. Durable when it returns; after an error and after a crash it is
    /// one or the other.
    pub(crate) fn replace(&self, file_system: &dyn FileSystem, paths: &Paths) -> Result<()> {
        let temporary = &paths.temporary;
        let write = || {
            let mut file = file_system.create(temporary).map_err(failed("create", temporary))?;
            file.write_all(&self.encode()).map_err(failed("write", temporary))?;
            file.sync().map_err(failed("sync", temporary))?;
            drop(file);
            file_system.rename(temporary, &paths.sidecar).map_err(failed("rename", temporary))
        };
        remove_file(file_system, temporary)?;
        let written = write();
        if written.is_err() {
            // The error that is on its way tells more than this one would, and what stays is removed by the next writing.
            let _ = file_system.remove(temporary);
        }
        written?;
        sync_directory(file_system, &paths.sidecar)
    }

    fn encode(&self) -> Vec<u8> {
        let (form, foreign) = match &self.form {
            Form::Partial => (0, None),
            Form::Complete => (1, None),
            Form::Foreign(foreign) => (2, Some(foreign)),
        };
        let path = foreign.map_or(&[][..], |foreign| foreign.path.as_os_str().as_encoded_bytes());
        let (seconds, nanos) = foreign.map_or((0, 0), |foreign| foreign.modified);
        let validator_length = self.validator.as_ref().map_or(NO_VALIDATOR, |text| length_of(text.as_bytes()));
        let mut bytes = Vec::with_capacity(FIXED_BYTES + path.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend([form, u8::from(self.is_pinned)]);
        bytes.extend(self.name.key_hash());
        bytes.extend(self.name.registration.0.to_be_bytes());
        bytes.extend(self.name.attempt.0.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes.extend(self.durable.to_be_bytes());
        bytes.extend(self.checksum.to_be_bytes());
        bytes.extend(self.used.0.to_be_bytes());
        bytes.extend(foreign.map_or(0, |foreign| foreign.inode).to_be_bytes());
        bytes.extend(seconds.to_be_bytes());
        bytes.extend(nanos.to_be_bytes());
        bytes.extend(validator_length.to_be_bytes());
        bytes.extend(length_of(path).to_be_bytes());
        bytes.extend(self.validator.as_deref().unwrap_or_default().as_bytes());
        bytes.extend(path);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_be_bytes());
        bytes
    }

    /// `None` for everything that [`encode`](Self::encode) can't have written.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let mut fields = Fields(body);
        if fields.take::<8>()? != *MAGIC || u16::from_be_bytes(fields.take()?) != VERSION {
            return None;
        }
        let [form, flags] = fields.take()?;
        let key_hash = fields.take::<16>()?;
        let registration = Registration(u64::from_be_bytes(fields.take()?));
        let attempt = Attempt(u32::from_be_bytes(fields.take()?));
        let [size, durable] = [u64::from_be_bytes(fields.take()?), u64::from_be_bytes(fields.take()?)];
        let checksum = u32::from_be_bytes(fields.take()?);
        let used = UnixMillis(u64::from_be_bytes(fields.take()?));
        let inode = u64::from_be_bytes(fields.take()?);
        let modified = (i64::from_be_bytes(fields.take()?), u32::from_be_bytes(fields.take()?));
        let validator_length = u32::from_be_bytes(fields.take()?);
        let path_length = u32::from_be_bytes(fields.take()?);
        let validator = match validator_length {
            NO_VALIDATOR => None,
            length => Some(fields.text(length)?),
        };
        let path = fields.text(path_length)?;
        let form = match form {
            0 => Form::Partial,
            1 => Form::Complete,
            2 => Form::Foreign(Foreign { path: path.into(), inode, modified }),
            _ => return None,
        };
        let is_sound = fields.0.is_empty() && flags <= 1 && durable <= size;
        let name = OwnName::from_parts(key_hash, registration, attempt);
        let found = Self { name, form, is_pinned: flags == 1, size, validator, durable, checksum, used };
        is_sound.then_some(found)
    }
}

/// Whether these may be the first bytes of a sidecar, whole or cut, or that a power cut has left zeros of.
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    bytes.iter().zip(MAGIC).all(|(byte, wanted)| byte == wanted) || bytes.iter().all(|byte| *byte == 0)
}

/// Removes a file, and returns whether there was one.
pub(crate) fn remove_file(file_system: &dyn FileSystem, path: &Path) -> Result<bool> {
    match file_system.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

/// Makes what happened to the names in a file's directory durable.
pub(crate) fn sync_directory(file_system: &dyn FileSystem, path: &Path) -> Result<()> {
    let directory = path.parent().unwrap_or(path);
    file_system.sync_directory(directory).map_err(failed("sync the directory", directory))
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(NO_VALIDATOR)
}

/// What is left of some bytes to be taken apart.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn text(&mut self, length: u32) -> Option<String> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        std::str::from_utf8(taken).ok().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(form: Form, validator: Option<&str>) -> Sidecar {
        Sidecar {
            name: OwnName::from_parts([7; 16], Registration(3), Attempt(9)),
            form,
            is_pinned: true,
            size: 1000,
            validator: validator.map(str::to_owned),
            durable: 600,
            checksum: 0x1234_5678,
            used: UnixMillis(99),
        }
    }

    #[test]
    fn what_is_written_comes_back_and_takes_the_room_that_was_said() {
        let foreign = Form::Foreign(Foreign { path: "/a/b".into(), inode: 5, modified: (-1, 7) });
        for form in [Form::Partial, Form::Complete, foreign] {
            for validator in [None, Some(""), Some("\"etag\"")] {
                let sidecar = example(form.clone(), validator);
                let bytes = sidecar.encode();
                assert_eq!(Sidecar::decode(&bytes).as_ref(), Some(&sidecar));
                assert_eq!(sidecar.room(), 2 * bytes.len() as u64);
            }
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_seen() {
        let bytes = example(Form::Partial, Some("v")).encode();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x10;
            assert_eq!(Sidecar::decode(&other), None, "{at}");
            assert_eq!(Sidecar::decode(&bytes[..at]), None, "{at}");
            assert!(may_begin(&bytes[..at]));
        }
        assert!(!may_begin(b"dagsX"));
    }
}
