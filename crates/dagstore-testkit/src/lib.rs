//! What tests and benches need: makers of CAR files, and parts that fail or wait on purpose.
//!
//! * [`cars`] makes CAR files with known blocks.
//! * [`FailingDatastore`] fails the call that [`Faults`] say.
//! * [`FaultyDatastore`] counts, and fails or panics when it is told to.
//! * [`FaultyFileSystem`] fails the call that it is told to, or is full.
//! * [`power`] is a disk and a datastore in memory that know what a power cut would leave of them.
//! * [`full_disk`] makes a small disk and fills it under a datastore.
//! * [`GatedMount`] serves bytes from memory, lets readers wait at a gate, and can go missing or change.
//! * [`HangingMount`] is never opened.
//! * [`HeldDatastore`] holds writes until they are released.
//! * [`postgres`] runs a PostgreSQL of the test's own, where one is installed.
//! * [`RemoteMount`] takes as long to open a source as a test wants, and says that it isn't ready.
//! * [`SlowDatastore`] takes longer to sync.
//! * [`WireMount`] serves sources that can be streamed and read in ranges only, counts, breaks off and hangs.
//! * [`skipped`] is for a test that can't run here: it says so where the count of tests is made.
//!
//! Never a dependency of anything but tests and benches.
#![forbid(unsafe_code)]

pub mod cars;
mod datastore;
mod failing;
mod faults;
mod file_system;
pub mod full_disk;
mod hanging;
mod held;
mod mount;
#[cfg(unix)]
pub mod postgres;
pub mod power;
mod remote;
mod skip;
mod slow;
mod wire;

pub use datastore::FaultyDatastore;
pub use failing::FailingDatastore;
pub use faults::{Call, Fault, Faults};
pub use file_system::FaultyFileSystem;
pub use hanging::HangingMount;
pub use held::HeldDatastore;
pub use mount::{Gate, GatedMount};
pub use remote::{Behaviour, Remote, RemoteMount};
pub use skip::{fixtures, skipped};
pub use slow::SlowDatastore;
pub use wire::{Counts, Question, Wire, WireMount, Wired};
