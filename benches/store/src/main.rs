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
mod cache;
mod catalogue;
mod counting;
mod cpu;
mod crowd;
mod figure;
mod gc;
mod indices;
mod inverted;
mod machine;
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
    /// Lazy registrations a second, beside raw synced batches of the mean size that formed.
    Register(register::Options),
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
    /// What `restart` does in processes of their own.
    #[command(hide = true)]
    RestartChild(restart::Order),
}

fn main() -> anyhow::Result<()> {
    let Arguments { setup, bench } = Arguments::parse();
    match bench {
        Bench::Register(options) => Report::of(&setup, |report| register::run(&setup, &options, report)),
        Bench::Transitions(options) => Report::of(&setup, |report| transitions::run(&setup, &options, report)),
        Bench::Restart(options) => Report::of(&setup, |report| restart::run(&setup, &options, report)),
        Bench::Gc(options) => Report::of(&setup, |report| gc::run(&setup, &options, report)),
        Bench::IndexOpen(options) => Report::of(&setup, |report| indices::open::run(&setup, &options, report)),
        Bench::IndexBuild(options) => Report::of(&setup, |report| indices::build::run(&setup, &options, report)),
        Bench::InvertedInsert(options) => Report::of(&setup, |report| inverted::insert::run(&setup, &options, report)),
        Bench::InvertedLookup(options) => Report::of(&setup, |report| inverted::lookup::run(&setup, &options, report)),
        Bench::RestartChild(order) => order.obey(),
    }
}
