//! A whole store in which every call fails once, and of which the power goes at every moment.
//!
//! The store is the real one: the engine with its index files, local copies, rows and records. Beneath it are a disk and a datastore
//! in memory with one order of events (`dagstore_testkit::power`), and around it sources in memory and a time that passes only
//! when nothing can run. Each of the [operations](Operation) is done
//! - with the N-th call to the disk or the datastore failing, for each N until a run meets none, once and from then on, in every
//!   way that there is ([`errors`]);
//! - with the power cut behind each change of the disk or the datastore, with all that a cut may leave of names, bytes and rows that
//!   weren't synced, and with another cut while what is left is opened ([`cuts`]).
//!
//! Then the store is opened with everything working, and `check.rs` looks whether all is there that was acknowledged.
//!
//! Start: `src/operation.rs` for what is done, `src/check.rs` for what must hold.
#![forbid(unsafe_code)]

mod act;
mod check;
mod claims;
mod content;
mod cuts;
mod deadline;
mod errors;
mod machine;
mod operation;
mod plan;
mod process;
mod raw;
mod report;
mod scene;

pub use cuts::cuts;
pub use errors::errors;
pub use operation::{OPERATIONS, Operation};
pub use plan::Plan;
pub use report::{Failure, Report};
