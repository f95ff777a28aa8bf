//! What the errors of the server and of the connection to it mean to a caller.

use std::error::Error as StdError;
use std::io;

use dagstore_datastore::{Error, ErrorClass};
use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// The backend's name.
pub(crate) const BACKEND: &str = "postgres";

/// Puts an error into its class, with the way out. For a commit, [`leaves_outcome_open`] has to be asked first.
pub(crate) fn failed(operation: &'static str, error: tokio_postgres::Error) -> Error {
    let (class, way_out) = match error.as_db_error() {
        Some(error) => of_code(error.code().code()),
        None => of_connection(&error),
    };
    Error::failed(BACKEND, operation, class, Said(with_causes(&error))).advise(way_out)
}

/// As [`failed`], for what the pool of connections says.
pub(crate) fn pool_failed(operation: &'static str, error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => failed(operation, error),
        PoolError::Closed => Error::Closed { backend: BACKEND },
        error => Error::failed(BACKEND, operation, ErrorClass::Transient, error).advise(AGAIN),
    }
}

/// An error that isn't the server's.
pub(crate) fn own(operation: &'static str, class: ErrorClass, text: impl Into<String>) -> Error {
    Error::failed(BACKEND, operation, class, Said(text.into()))
}

/// Whether the batch may have been applied, although its commit, or what went out together with it, failed so.
pub(crate) fn leaves_outcome_open(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return true };
    is_fatal(error)
        || *error.code() == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        || error.code().code().starts_with("08")
}

/// Whether the transaction lost against another one, and has a chance when it is run again.
pub(crate) fn is_serialisation_failure(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED)
}

/// Whether the connection is of no use any more.
pub(crate) fn ends_session(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(is_fatal)
}

/// The error with its causes, in one line: the driver's own text alone says next to nothing.
pub(crate) fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What somebody said, as an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

fn is_fatal(error: &DbError) -> bool {
    // A server that doesn't say how bad it is may have ended the session.
    error.parsed_severity().is_none_or(|severity| matches!(severity, Severity::Fatal | Severity::Panic))
}

const AGAIN: &str = "it may pass: try again in a moment";

fn of_code(code: &str) -> (ErrorClass, &'static str) {
    match code {
        "XX001" | "XX002" => {
            (ErrorClass::Corrupt, "the server says that its data is damaged: restore them from a backup")
        }
        "28000" | "28P01" => (
            ErrorClass::Permanent,
            "mend the user in the URL, or the password, which is taken from DAGSTORE_PG_PASSWORD or PGPASSWORD",
        ),
        "42501" => (ErrorClass::Permanent, "let this user read, write and, at first, create the tables"),
        "42P01" | "3F000" | "3D000" => {
            (ErrorClass::Permanent, "the database, the schema or a table isn't there: create it, or mend the URL")
        }
        "53100" => (ErrorClass::Transient, "make room on the server's disk"),
        // Not a server that takes writes, for now: after a failover that passes.
        "25006" => (ErrorClass::Transient, "the server takes no writes: connect to the one that does"),
        _ => match &code[..code.len().min(2)] {
            // Connections, transactions rolled back, resources, operators' interventions, the server's system.
            "08" | "25" | "40" | "53" | "55" | "57" | "58" => (ErrorClass::Transient, AGAIN),
            _ => (ErrorClass::Permanent, "this can't be helped by trying again"),
        },
    }
}

/// The class of an error that the server didn't send.
fn of_connection(error: &tokio_postgres::Error) -> (ErrorClass, &'static str) {
    let mut cause = error.source();
    while let Some(found) = cause {
        if found.is::<rustls::Error>() {
            return (ErrorClass::Permanent, "mend the server's certificate, or trust it with sslrootcert in the URL");
        }
        // What an io::Error carries isn't its source, but itself.
        cause = match found.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => found.source(),
        };
    }
    let text = error.to_string();
    if ["authentication error", "invalid configuration", "error performing TLS"].iter().any(|own| text.starts_with(own))
    {
        return (
            ErrorClass::Permanent,
            "mend the URL, or the password, which is taken from DAGSTORE_PG_PASSWORD or PGPASSWORD",
        );
    }
    let is_ours = ["error serializing", "error deserializing", "invalid column", "query returned", "expected"];
    if is_ours.iter().any(|own| text.starts_with(own)) {
        return (ErrorClass::Permanent, "the table isn't as this program makes it: give the store a table of its own");
    }
    (ErrorClass::Transient, "look after the server and the network; it is tried again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_codes() {
        for (code, class) in [
            ("40001", ErrorClass::Transient),
            ("40P01", ErrorClass::Transient),
            ("57P01", ErrorClass::Transient),
            ("57P03", ErrorClass::Transient),
            ("08006", ErrorClass::Transient),
            ("53300", ErrorClass::Transient),
            ("25P03", ErrorClass::Transient),
            ("25006", ErrorClass::Transient),
            ("58030", ErrorClass::Transient),
            ("XX001", ErrorClass::Corrupt),
            ("XX002", ErrorClass::Corrupt),
            ("28P01", ErrorClass::Permanent),
            ("42P01", ErrorClass::Permanent),
            ("42501", ErrorClass::Permanent),
            ("22012", ErrorClass::Permanent),
            ("", ErrorClass::Permanent),
        ] {
            assert_eq!(of_code(code).0, class, "{code}");
        }
    }
}
