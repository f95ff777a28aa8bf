//! Benches of the store as a whole: `cargo xtask bench register`, for instance.
//!
//! Each bench gives [figures](figure::Figure): medians of several runs, beside what the raw part underneath did in the same run, beside
//! the Go original, and beside a goal. They are printed as a table and written as JSON; no figure is ever asserted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people: its output is its purpose")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts become figures, and figures counts"
)]

mod backend;
mod backends;
mod beside;
mod block_read;
mod cache;
mod cars;
mod catalogue;
mod chunk_read;
mod codecs;
mod counting;
mod cpu;
mod crowd;
mod far;
mod figure;
mod gc;
mod indices;
mod initialise;
mod inverted;
mod machine;
mod peak;
mod peers;
mod raw;
mod register;
mod report;
mod restart;
mod setup;
mod shards;
mod statistics;
mod transitions;

use clap::{Parser, Subcommand};

use crate::report::Report;
use crate::setup::Setup;

/// Measures the store as a whole.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    setup: Setup,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Encoding and decoding records, beside a sync and a look-up.
    Codecs(codecs::Options),
    /// Writing, reading, scanning and opening each datastore; each codec over each.
    Backends(backends::Options),
    /// Lazy registrations a second, beside raw synced batches of the mean size that formed.
    Register(register::Options),
    /// Registering small shards while a large one is indexed.
    RegisterBeside(beside::Options),
    /// Acquiring and releasing hot shards, and how few of these changes are written.
    Transitions(transitions::Options),
    /// Opening a store with many shards, and what an idle shard takes in memory.
    Restart(restart::Options),
    /// Acquires while unused files are collected.
    Gc(gc::Options),
    /// Opening index files and asking them.
    IndexOpen(indices::open::Options),
    /// Building index files.
    IndexBuild(indices::build::Options),
    /// Loading the fingerprints of shards into an inverted index.
    InvertedInsert(inverted::insert::Options),
    /// Looking fingerprints up in an inverted index.
    InvertedLookup(inverted::lookup::Options),
    /// Reading blocks of a shard on this machine.
    BlockRead(block_read::Options),
    /// Reading blocks of a source that is far away, through the cache of chunks.
    ChunkRead(chunk_read::Options),
    /// The first block of a shard that is far away.
    FirstByte(far::first_byte::Options),
    /// Many shards that are far away, within a quota.
    Quota(far::quota::Options),
    /// Registering CARs until they are Available.
    Initialise(initialise::Options),
    /// The rows of the Go original beside our own, measured in one run.
    Peers(peers::Options),
    /// What `codecs` does under callgrind.
    #[command(hide = true)]
    CodecsChild(codecs::Order),
    /// What `restart` does in processes of their own.
    #[command(hide = true)]
    RestartChild(restart::Order),
}

fn main() -> anyhow::Result<()> {
    let Arguments { setup, bench } = Arguments::parse();
    match bench {
        Bench::Codecs(options) => Report::of(&setup, |report| codecs::run(&setup, &options, report)),
        Bench::Backends(options) => Report::of(&setup, |report| backends::run(&setup, &options, report)),
        Bench::Register(options) => Report::of(&setup, |report| register::run(&setup, &options, report)),
        Bench::RegisterBeside(options) => Report::of(&setup, |report| beside::run(&setup, &options, report)),
        Bench::Transitions(options) => Report::of(&setup, |report| transitions::run(&setup, &options, report)),
        Bench::Restart(options) => Report::of(&setup, |report| restart::run(&setup, &options, report)),
        Bench::Gc(options) => Report::of(&setup, |report| gc::run(&setup, &options, report)),
        Bench::IndexOpen(options) => Report::of(&setup, |report| indices::open::run(&setup, &options, report)),
        Bench::IndexBuild(options) => Report::of(&setup, |report| indices::build::run(&setup, &options, report)),
        Bench::InvertedInsert(options) => Report::of(&setup, |report| inverted::insert::run(&setup, &options, report)),
        Bench::InvertedLookup(options) => Report::of(&setup, |report| inverted::lookup::run(&setup, &options, report)),
        Bench::BlockRead(options) => Report::of(&setup, |report| block_read::run(&setup, &options, report)),
        Bench::ChunkRead(options) => Report::of(&setup, |report| chunk_read::run(&setup, &options, report)),
        Bench::FirstByte(options) => Report::of(&setup, |report| far::first_byte::run(&setup, &options, report)),
        Bench::Quota(options) => Report::of(&setup, |report| far::quota::run(&setup, &options, report)),
        Bench::Initialise(options) => Report::of(&setup, |report| initialise::run(&setup, &options, report)),
        Bench::Peers(options) => Report::of(&setup, |report| peers::run(&setup, &options, report)),
        Bench::CodecsChild(order) => order.obey(),
        Bench::RestartChild(order) => order.obey(),
    }
}
