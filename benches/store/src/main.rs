//! Benches of the store as a whole.
//!
//! `cargo run --release -p bench-store -- register` registers lazy shards, durably, with 1, 64 and 1,024 in flight, and sets
//! that beside raw synced batches of the mean size that formed, in the same run and on the same disk.
#![allow(clippy::print_stdout, reason = "a program for people: its output is its purpose")]

mod register;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the store as a whole.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the stores are made; the system's temporary directory if not given. It should be on the disk to be measured.
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Lazy registrations a second.
    Register {
        /// How many shards.
        #[arg(long, default_value_t = 10_000)]
        shards: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let place = arguments.dir.unwrap_or_else(std::env::temp_dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.bench {
        Bench::Register { shards } => runtime.block_on(register::run(&place, shards)),
    }
}
