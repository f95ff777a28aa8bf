//! What redb's errors mean to a caller.

use std::io;

use dagstore_datastore::{Error, ErrorClass};

/// The backend's name.
pub(crate) const BACKEND: &str = "redb";

/// Puts redb's error into its class, with the way out.
pub(crate) fn failed(operation: &'static str, error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    let (class, way_out) = match &error {
        redb::Error::Io(error) => of_io(error),
        redb::Error::Corrupted(_) => (ErrorClass::Corrupt, DAMAGED),
        // redb refuses everything behind the first I/O error or panic, until it is opened again.
        redb::Error::PreviousIo
        | redb::Error::DatabaseClosed
        | redb::Error::LockPoisoned(_)
        | redb::Error::TransactionPoisoned => (ErrorClass::NeedsReopen, "the database must be opened again"),
        redb::Error::UpgradeRequired(_) => {
            (ErrorClass::Permanent, "the file is of an older redb: open it with an older release and copy the store")
        }
        redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => {
            (ErrorClass::Permanent, "the file belongs to another program: give the store a path of its own")
        }
        _ => (ErrorClass::Permanent, "this can't be helped by trying again"),
    };
    Error::failed(BACKEND, operation, class, error).advise(way_out)
}

const DAMAGED: &str = "the file is damaged or no database: move it away and restore it from a backup";

fn of_io(error: &io::Error) -> (ErrorClass, &'static str) {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => (ErrorClass::Corrupt, DAMAGED),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            (ErrorClass::Permanent, "the file or its directory doesn't exist: create the directory, or mend the path")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorClass::Permanent, "let this user read and write the file and its directory")
        }
        io::ErrorKind::IsADirectory => (ErrorClass::Permanent, "name a file, not a directory"),
        // The outcome is unknown for all that follow, and redb refuses everything until it is opened again.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ErrorClass::NeedsReopen, "make room on its disk; the database must be opened again then")
        }
        _ => (ErrorClass::NeedsReopen, "look after its disk; the database must be opened again"),
    }
}

#[cfg(test)]
mod tests {
    use redb::{DatabaseError, StorageError};

    use super::*;

    #[test]
    fn classes() {
        let io = |kind: io::ErrorKind| StorageError::Io(kind.into());
        for (error, class) in [
            (io(io::ErrorKind::StorageFull), ErrorClass::NeedsReopen),
            (io(io::ErrorKind::Other), ErrorClass::NeedsReopen),
            (io(io::ErrorKind::Interrupted), ErrorClass::NeedsReopen),
            (StorageError::Io(io::Error::from_raw_os_error(5)), ErrorClass::NeedsReopen),
            (StorageError::Io(io::Error::from_raw_os_error(28)), ErrorClass::NeedsReopen),
            (StorageError::PreviousIo, ErrorClass::NeedsReopen),
            (StorageError::Corrupted("page".to_owned()), ErrorClass::Corrupt),
            (io(io::ErrorKind::InvalidData), ErrorClass::Corrupt),
            (io(io::ErrorKind::UnexpectedEof), ErrorClass::Corrupt),
            (io(io::ErrorKind::NotFound), ErrorClass::Permanent),
            (io(io::ErrorKind::PermissionDenied), ErrorClass::Permanent),
            (StorageError::ValueTooLarge(1), ErrorClass::Permanent),
        ] {
            let text = error.to_string();
            assert_eq!(failed("write", error).class(), class, "{text}");
        }
        assert_eq!(failed("open", DatabaseError::UpgradeRequired(2)).class(), ErrorClass::Permanent);
    }
}
