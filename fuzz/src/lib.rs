//! What must hold for any bytes that the store reads: no panic, no hang, bounded memory, and no wrong answer.
//!
//! * Each target is a function of an input, which panics where something doesn't hold. [`TARGETS`] has all of them.
//! * `src/bin/` has a program for each, which libFuzzer drives: `cargo xtask fuzz`.
//! * `corpus/` has inputs for each; `tests/corpus.rs` runs the targets on all of them, without libFuzzer.
//!
//! An input of [`car`], [`go_index`], [`index_file`], [`mount_url`] and [`record`] is what is read, byte for byte. Whatever else
//! a target chooses, the sizes of pieces for instance, is made from the input by `Choices`. An input of
//! [`index_built`] is a list of instructions.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "what doesn't hold is a panic")]

mod car;
mod choices;
mod files;
mod go_index;
mod index_built;
mod index_file;
mod mount_url;
mod probes;
mod record;
mod seal;

pub use car::car;
pub use go_index::go_index;
pub use index_built::index_built;
pub use index_file::index_file;
pub use mount_url::mount_url;
pub use record::record;

/// A target: its name, which is that of its folder in `corpus/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by name.
pub const TARGETS: [Target; 6] = [
    ("car", car),
    ("go-index", go_index),
    ("index-built", index_built),
    ("index-file", index_file),
    ("mount-url", mount_url),
    ("record", record),
];
