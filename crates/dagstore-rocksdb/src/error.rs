//! What RocksDB's errors mean to a caller.

use std::io;

use dagstore_datastore::{Error, ErrorClass};
use rocksdb::ErrorKind;

/// The backend's name.
pub(crate) const BACKEND: &str = "rocksdb";

/// The way out of damage.
pub(crate) const DAMAGED: &str = "the database is damaged: restore it from a backup, or copy its directory and try RocksDB's \
     `ldb repair` on the copy, which drops what it can't read";

/// Puts RocksDB's error into its class, with the way out.
pub(crate) fn failed(operation: &'static str, error: rocksdb::Error) -> Error {
    let (class, way_out) = classify(operation, error.kind(), error.as_ref());
    Error::failed(BACKEND, operation, class, error).advise(way_out)
}

/// RocksDB's error about a file that the database doesn't know yet: nothing has happened to the database.
pub(crate) fn not_loaded(error: rocksdb::Error) -> Error {
    let class = match error.kind() {
        ErrorKind::IOError => ErrorClass::Transient,
        _ => ErrorClass::Permanent,
    };
    let way_out = if is_full(error.as_ref()) { "make room on its disk" } else { "look after its disk" };
    Error::failed(BACKEND, "bulk load", class, error).advise(way_out)
}

/// An error of the operating system before RocksDB had a part in it.
pub(crate) fn out_of_reach(operation: &'static str, error: io::Error) -> Error {
    let way_out = "mend the path, or let this user read and write the directory; the one above it must exist";
    Error::failed(BACKEND, operation, ErrorClass::Permanent, error).advise(way_out)
}

fn classify(operation: &str, kind: ErrorKind, message: &str) -> (ErrorClass, &'static str) {
    match kind {
        ErrorKind::Corruption => (ErrorClass::Corrupt, DAMAGED),
        ErrorKind::IOError if operation == "open" && message.contains("No such file or directory") => {
            // It was found before RocksDB was asked, so a part of it is missing.
            (ErrorClass::Corrupt, DAMAGED)
        }
        ErrorKind::IOError if operation == "open" && message.contains("Permission denied") => {
            (ErrorClass::Permanent, "let this user read and write the directory and its files")
        }
        // Reading has changed nothing, and RocksDB reads on.
        ErrorKind::IOError if ["get", "rows", "scan"].contains(&operation) => {
            (ErrorClass::Transient, "look after its disk")
        }
        ErrorKind::IOError if is_full(message) => {
            (ErrorClass::NeedsReopen, "make room on its disk; the database must be opened again then")
        }
        ErrorKind::IOError => (ErrorClass::NeedsReopen, "look after its disk; the database must be opened again"),
        ErrorKind::Busy | ErrorKind::TimedOut | ErrorKind::TryAgain | ErrorKind::Incomplete | ErrorKind::Expired => {
            (ErrorClass::Transient, "try again")
        }
        // A write that RocksDB broke off, or whose outcome it doesn't tell.
        ErrorKind::Aborted | ErrorKind::ShutdownInProgress | ErrorKind::ColumnFamilyDropped | ErrorKind::Unknown => {
            (ErrorClass::NeedsReopen, "the database must be opened again")
        }
        ErrorKind::NotFound
        | ErrorKind::NotSupported
        | ErrorKind::InvalidArgument
        | ErrorKind::MergeInProgress
        | ErrorKind::CompactionTooLarge => (ErrorClass::Permanent, "this can't be helped by trying again"),
    }
}

fn is_full(message: &str) -> bool {
    ["No space left on device", "File too large", "Disk quota exceeded"].iter().any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let full = "IO error: No space left on device: While appending to file: /d/000004.log: No space left on device";
        let absent =
            "IO error: No such file or directory: While open a file for sequentially reading: /d/MANIFEST-000005";
        for (operation, kind, message, class) in [
            ("write", ErrorKind::IOError, full, ErrorClass::NeedsReopen),
            (
                "sync",
                ErrorKind::IOError,
                "IO error: While fsync: /d/000004.log: Input/output error",
                ErrorClass::NeedsReopen,
            ),
            ("open", ErrorKind::IOError, full, ErrorClass::NeedsReopen),
            ("open", ErrorKind::IOError, absent, ErrorClass::Corrupt),
            ("open", ErrorKind::IOError, "IO error: While open: /d/LOCK: Permission denied", ErrorClass::Permanent),
            ("open", ErrorKind::InvalidArgument, "Invalid argument: comparator", ErrorClass::Permanent),
            ("get", ErrorKind::IOError, "IO error: While pread: Input/output error", ErrorClass::Transient),
            ("scan", ErrorKind::IOError, "IO error: While pread: Input/output error", ErrorClass::Transient),
            ("scan", ErrorKind::Corruption, "Corruption: block checksum mismatch", ErrorClass::Corrupt),
            ("write", ErrorKind::Corruption, "Corruption: memtable", ErrorClass::Corrupt),
            ("write", ErrorKind::Busy, "Resource busy: ", ErrorClass::Transient),
            ("write", ErrorKind::Aborted, "Operation aborted: ", ErrorClass::NeedsReopen),
            ("write", ErrorKind::Unknown, "", ErrorClass::NeedsReopen),
        ] {
            assert_eq!(classify(operation, kind, message).0, class, "{operation}: {message}");
        }
        assert!(classify("write", ErrorKind::IOError, full).1.contains("make room"));
    }
}
