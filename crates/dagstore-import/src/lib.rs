//! Moving stores: copies from one datastore to another, records in the form of the Go original, and its directories.
//!
//! * [`copy_store`] copies every row of a store, resumes when it was killed, and compares both sides; [`Schemes`] are the
//!   datastores that it knows by name.
//! * [`export`] tells records as the Go original writes them.
//! * `go` reads directories of the Go original, with the feature `leveldb`.
//!
//! It works on stores that nobody has open: each directory is locked meanwhile.
#![forbid(unsafe_code)]

mod compare;
mod copy;
mod error;
mod export;
mod files;
#[cfg(feature = "leveldb")]
pub mod go;
mod place;
mod progress;
mod rows;
mod tables;

pub use compare::TableReport;
pub use copy::{CopyOptions, CopyReport, CopyStep, copy_databases, copy_store};
pub use error::Error;
pub use export::{ExportReport, export};
pub use place::{Place, Role, Scheme, Schemes};

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
