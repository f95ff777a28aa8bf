//! The moments at which a process can be killed.

use std::fmt;
use std::str::FromStr;

use dagstore::Backend;

/// Something that the store asks of its datastores or of its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// A batch that gives registration numbers out.
    NumbersWrite,
    /// A batch that sets records.
    RecordWrite,
    /// A batch that deletes records.
    RecordDelete,
    /// A load of rows of the inverted index.
    RowLoad,
    /// A page of such a load, as it is taken.
    RowPage,
    /// A batch that sets rows of the inverted index. RocksDB's loads make none that can be seen from outside.
    RowWrite,
    /// A batch that removes rows of the inverted index.
    RowRemove,
    /// A batch that notes something of the inverted index.
    NoteWrite,
    /// An index is created under its temporary name.
    IndexCreate,
    /// Some of its bytes are written.
    IndexWrite,
    /// They are synced.
    IndexSync,
    /// It gets its own name.
    IndexRename,
    /// The directory of the indices, or the store's own, is synced.
    DirectorySync,
    /// An index is removed.
    IndexRemove,
    /// A temporary file of an index that was never finished is removed.
    TemporaryRemove,
    /// The file of a copy is created, under the name of a partial one.
    CopyCreate,
    /// Some of a copy's bytes are written.
    CopyWrite,
    /// They are synced.
    CopySync,
    /// What says how far a copy got, and whether it is pinned, is replaced.
    SidecarRename,
    /// A copy that is whole gets its own name.
    CopyRename,
    /// The directory of the copies is synced.
    CopiesSync,
    /// A copy is removed, whole or partial.
    CopyRemove,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::NumbersWrite,
        Self::RecordWrite,
        Self::RecordDelete,
        Self::RowLoad,
        Self::RowPage,
        Self::RowWrite,
        Self::RowRemove,
        Self::NoteWrite,
        Self::IndexCreate,
        Self::IndexWrite,
        Self::IndexSync,
        Self::IndexRename,
        Self::DirectorySync,
        Self::IndexRemove,
        Self::TemporaryRemove,
        Self::CopyCreate,
        Self::CopyWrite,
        Self::CopySync,
        Self::SidecarRename,
        Self::CopyRename,
        Self::CopiesSync,
        Self::CopyRemove,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NumbersWrite => "numbers-write",
            Self::RecordWrite => "record-write",
            Self::RecordDelete => "record-delete",
            Self::RowLoad => "row-load",
            Self::RowPage => "row-page",
            Self::RowWrite => "row-write",
            Self::RowRemove => "row-remove",
            Self::NoteWrite => "note-write",
            Self::IndexCreate => "index-create",
            Self::IndexWrite => "index-write",
            Self::IndexSync => "index-sync",
            Self::IndexRename => "index-rename",
            Self::DirectorySync => "directory-sync",
            Self::IndexRemove => "index-remove",
            Self::TemporaryRemove => "temporary-remove",
            Self::CopyCreate => "copy-create",
            Self::CopyWrite => "copy-write",
            Self::CopySync => "copy-sync",
            Self::SidecarRename => "sidecar-rename",
            Self::CopyRename => "copy-rename",
            Self::CopiesSync => "copies-sync",
            Self::CopyRemove => "copy-remove",
        }
    }

    /// Whether a process that lives this life on this backend comes by.
    fn is_on_the_way(self, life: Life, backend: Backend) -> bool {
        match self {
            Self::RowWrite => backend == Backend::Redb,
            // Numbers are given out in blocks, and the first one is enough.
            Self::NumbersWrite => life == Life::First,
            // There is something to note, or a temporary file, only where somebody was killed before.
            Self::NoteWrite | Self::TemporaryRemove => life == Life::Second,
            _ => true,
        }
    }

    /// Whether a process that is killed at this moment, or close to it, leaves something behind with which the next one comes by
    /// the point: else it would have to be looked for a long time.
    pub(crate) fn may_follow(self, first: Moment) -> bool {
        let left_by: &[Self] = match self {
            Self::TemporaryRemove => &[Self::IndexCreate, Self::IndexWrite, Self::IndexSync, Self::IndexRename],
            Self::RecordDelete | Self::RowRemove | Self::IndexRemove => {
                &[Self::RowRemove, Self::IndexRemove, Self::RecordDelete]
            }
            // A fetch that was interrupted is gone on with; a copy that was being removed is removed.
            Self::CopyWrite | Self::CopySync | Self::SidecarRename | Self::CopyRename | Self::CopiesSync => {
                &[Self::CopyWrite, Self::CopySync, Self::SidecarRename]
            }
            Self::CopyCreate => &[Self::CopyCreate],
            Self::CopyRemove => &[Self::CopyRemove, Self::IndexRemove],
            _ => return true,
        };
        left_by.contains(&first.point)
    }
}

/// On which side of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Nothing of it was done.
    Before,
    /// All of it was done, and nobody has heard of it.
    After,
}

/// Which process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Life {
    /// The one that registers and destroys.
    First,
    /// The next one, which takes up what a first one that was killed has left.
    Second,
}

/// A moment in a process's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment {
    /// Whose.
    pub life: Life,
    /// On which side.
    pub side: Side,
    /// Of what.
    pub point: Point,
}

impl Moment {
    /// All moments that processes on the backend come by.
    pub fn all(backend: Backend) -> Vec<Self> {
        let mut all = Vec::new();
        for life in [Life::First, Life::Second] {
            for point in Point::ALL.into_iter().filter(|point| point.is_on_the_way(life, backend)) {
                all.extend([Side::Before, Side::After].map(|side| Self { life, side, point }));
            }
        }
        all
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let life = match self.life {
            Life::First => "",
            Life::Second => "resuming-",
        };
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "{life}{side}-{}", self.point.name())
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (life, rest) = text.strip_prefix("resuming-").map_or((Life::First, text), |rest| (Life::Second, rest));
        let read = || {
            let (side, name) = rest.split_once('-')?;
            let side = match side {
                "before" => Side::Before,
                "after" => Side::After,
                _ => return None,
            };
            let point = Point::ALL.into_iter().find(|point| point.name() == name)?;
            Some(Self { life, side, point })
        };
        read().ok_or_else(|| format!("{text:?} is no moment"))
    }
}

/// The so-many-th time that a process comes by a moment: `before-index-rename:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// The moment.
    pub moment: Moment,
    /// Which time, from 1.
    pub time: u64,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.moment, self.time)
    }
}

impl FromStr for Hit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no moment with a number, as in before-index-rename:3");
        let (moment, time) = text.split_once(':').ok_or_else(wrong)?;
        let time = time.parse().map_err(|_| wrong())?;
        if time == 0 { Err(wrong()) } else { Ok(Self { moment: moment.parse()?, time }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_told() {
        let all = Moment::all(Backend::Redb);
        assert_eq!(all.len(), 2 * (20 + 21));
        for moment in all {
            let hit = Hit { moment, time: 7 };
            assert_eq!(hit.to_string().parse(), Ok(hit));
        }
        for wrong in ["", "before-index-rename", "before-index-rename:0", "index-rename:1", "before-nothing:1"] {
            assert!(wrong.parse::<Hit>().is_err(), "{wrong}");
        }
    }
}
