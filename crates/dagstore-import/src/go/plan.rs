//! What becomes of each record of Go's in a store of ours.

use std::path::{Path, PathBuf};

use dagstore::codec::GoRecord;
use dagstore::mount::{BytesMount, FileMount, FsMount, Mount, MountUrl, Registry, redacted};
use dagstore::{ErrorKind, ShardError, ShardKey, ShardState};
use dagstore_types::{Registration, ShardRecord, UnixMillis};
use percent_encoding::percent_decode_str;

use super::{GoFile, GoFiles, GoRow};

/// Where the files are that URLs name.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// The root of Go's `fs` mount, which only the program knew that used it. Its files become `file` URLs; without a root they
    /// become `fs:` URLs, for a store with such a mount.
    pub fs_root: Option<PathBuf>,
    /// Absolute paths that begin with the first begin with the second now.
    pub moved: Vec<(PathBuf, PathBuf)>,
    /// Leaves the work on every shard to its first use.
    pub lazy: bool,
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It becomes a shard. Its registration is given when it is written.
    Taken(Box<ShardRecord>),
    /// It is kept as it is, in quarantine.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// The store has a shard of this key already; nothing was changed.
    Present,
}

/// A record, and what becomes of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Planned {
    /// The row.
    pub row: GoRow,
    /// The record, where it can be read.
    pub record: Option<GoRecord>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// go-car's index of the shard.
    pub index: Option<GoFile>,
    /// The local copy that the record names, where it is in the directory.
    pub copy: Option<GoFile>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Says what becomes of each record. `registry` is that of the store, and `now` the time that records get.
pub fn plan(
    rows: Vec<GoRow>,
    files: &mut GoFiles,
    mapping: &Mapping,
    registry: &Registry,
    now: UnixMillis,
) -> Vec<Planned> {
    rows.into_iter().map(|row| plan_row(row, files, mapping, registry, now)).collect()
}

fn plan_row(row: GoRow, files: &mut GoFiles, mapping: &Mapping, registry: &Registry, now: UnixMillis) -> Planned {
    let record = GoRecord::decode(&row.value);
    let mut notes = Vec::new();
    let (record, outcome) = match record {
        Err(error) => (None, Outcome::Quarantined { reason: error.to_string() }),
        Ok(record) => {
            let outcome = match taken(&record, mapping, now, &mut notes) {
                Ok(record) => Outcome::Taken(Box::new(record)),
                Err(reason) => Outcome::Quarantined { reason },
            };
            (Some(record), outcome)
        }
    };
    let (mut index, mut copy) = (None, None);
    if let Some(record) = &record {
        index = files.index(&record.key);
        copy = files.copy(&record.copy_path);
        if row.name != record.key.as_bytes() {
            notes.push(format!(
                "Go kept it in the row of {:?}, for it cleans keys like paths",
                String::from_utf8_lossy(&row.name)
            ));
        }
        if !record.copy_path.is_empty() {
            notes.push(match &copy {
                Some(copy) => {
                    format!("its local copy stays where it is: {} ({} bytes)", copy.path.display(), copy.bytes)
                }
                None => format!("its local copy {} isn't among those of the directory", record.copy_path),
            });
        }
    }
    if let Outcome::Taken(record) = &outcome
        && let Err(error) = registry.check(&record.url)
    {
        notes.push(format!("in quarantine until the store has the mount: {error}"));
    }
    Planned { row, record, outcome, index, copy, notes }
}

fn taken(
    record: &GoRecord,
    mapping: &Mapping,
    now: UnixMillis,
    notes: &mut Vec<String>,
) -> Result<ShardRecord, String> {
    let key = ShardKey::new(&record.key).map_err(|error| error.to_string())?;
    let state = record.shard_state().map_err(|error| error.to_string())?;
    let url = url(&record.url, mapping)?;
    let mut made = ShardRecord::new(key, url, record.lazy || mapping.lazy, Registration(0), now);
    let error = || ShardError::new(ErrorKind::Other, &record.error);
    match state {
        // Go's index lacks the sizes of blocks and was never held against the CAR, so the store makes its own.
        ShardState::New | ShardState::Initializing | ShardState::Available | ShardState::Serving => {}
        ShardState::Recovering => {
            made.state = ShardState::Recovering;
            made.error = Some(error());
        }
        ShardState::Errored => {
            made.state = ShardState::Errored;
            made.error = Some(error());
        }
        ShardState::Destroying => return Err("Go has no state 0x40".to_owned()),
    }
    if made.error.as_ref().is_some_and(|made| made.text() != record.error) {
        notes.push("its error text is cut, or has control characters no more".to_owned());
    }
    Ok(made)
}

/// The URL of a mount of ours for one of Go's, which writes paths into the place of hosts.
fn url(text: &str, mapping: &Mapping) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| no_url(text))?;
    match scheme {
        "fs" => fs_url(rest, mapping),
        "file" => absolute(&decoded(rest), mapping),
        "bytes" => {
            let text = String::from_utf8_lossy(&decoded(rest)).into_owned();
            let bytes =
                multibase::Base::Base64Pad.decode(&text).map_err(|error| format!("its data is no base64: {error}"))?;
            represented(&BytesMount::new(bytes).map_err(|error| error.to_string())?)
        }
        _ => MountUrl::parse(text).map(|url| url.as_str().to_owned()).map_err(|error| error.to_string()),
    }
}

fn fs_url(rest: &str, mapping: &Mapping) -> Result<String, String> {
    let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
    if host.starts_with('/') {
        // A fork writes the path where a path belongs.
        return absolute(&decoded(host), mapping);
    }
    let path = query.split('&').find_map(|pair| pair.strip_prefix("path="));
    let path = match path {
        Some(path) => decoded(&path.replace('+', "%20")),
        None if host == "irrecoverable" => {
            return Err("Go lost the path of its file: the file was missing when Go wrote the record".to_owned());
        }
        None => decoded(host),
    };
    let path = as_path(&path);
    let root = mapping.fs_root.as_deref().unwrap_or(Path::new("/"));
    let mount = FsMount::template(root).and_then(|template| template.at(&path)).map_err(|error| error.to_string())?;
    match &mapping.fs_root {
        Some(_) => represented(&FileMount::new(mount.root().join(path)).map_err(|error| error.to_string())?),
        None => {
            MountUrl::new("fs", &mount.location()).map(|url| url.as_str().to_owned()).map_err(|error| error.to_string())
        }
    }
}

fn absolute(path: &[u8], mapping: &Mapping) -> Result<String, String> {
    let path = as_path(path);
    if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(format!("{:?} is no absolute path", path.display().to_string()));
    }
    let moved = mapping.moved.iter().find_map(|(from, to)| path.strip_prefix(from).ok().map(|rest| to.join(rest)));
    represented(&FileMount::new(moved.unwrap_or(path)).map_err(|error| error.to_string())?)
}

fn represented(mount: &dyn Mount) -> Result<String, String> {
    let url = Registry::with_defaults().represent(mount).map_err(|error| error.to_string())?;
    Ok(url.as_str().to_owned())
}

fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

fn as_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned()
}

fn no_url(text: &str) -> String {
    format!("{:?} is no URL of a mount", redacted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_go_become_ours() {
        let mapping =
            Mapping { fs_root: Some("/data".into()), moved: vec![("/srv/pieces".into(), "/mnt".into())], lazy: false };
        for (go, ours) in [
            ("fs://simple.car?path=simple.car", "file:///data/simple.car"),
            ("fs://many.car?path=sub%2Fmany.car", "file:///data/sub/many.car"),
            ("fs://with%20space.car?path=with+space.car", "file:///data/with%20space.car"),
            ("fs:///srv/pieces/abs.car", "file:///mnt/abs.car"),
            ("file://%2Fsrv%2Fpieces%2Fa%20b.car", "file:///mnt/a%20b.car"),
            ("file://%2Fother%2Fb.car", "file:///other/b.car"),
            ("bytes://aGk%2F", "bytes:hi%3F"),
            ("lotus://baga", "lotus://baga"),
        ] {
            assert_eq!(url(go, &mapping).as_deref(), Ok(ours), "{go}");
        }
        assert_eq!(url("fs://a.car?path=sub%2Fa.car", &Mapping::default()).as_deref(), Ok("fs:sub/a.car"));
    }

    #[test]
    fn urls_that_name_nothing_are_told() {
        let mapping = Mapping { fs_root: Some("/data".into()), ..Mapping::default() };
        for (go, reason) in [
            ("://", "URL"),
            ("nothing", "no URL"),
            ("fs://irrecoverable", "Go lost the path"),
            ("fs://x?path=..%2F..%2Fetc%2Fpasswd", "relative path"),
            ("fs://x?path=%2Fetc%2Fpasswd", "relative path"),
            ("file://relative.car", "no absolute path"),
            ("bytes://***", "base64"),
            ("a b://x", "scheme"),
        ] {
            let error = url(go, &mapping).unwrap_err();
            assert!(error.contains(reason), "{go}: {error}");
        }
    }
}
