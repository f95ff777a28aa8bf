//! The program `dagstore`: a DAG store on the command line.
//!
//! `arguments.rs` says what can be typed, `commands/` has one file for each command, `context.rs` opens and closes the
//! store for them. Nothing prints but `output.rs`; every failure ends as a [`exit::Failure`] with its way out.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod config;
mod context;
mod demo;
mod exit;
mod file;
mod findings;
mod live;
mod many;
mod mounts;
mod multicodec;
mod output;
mod panics;
mod progress;
mod report;
mod settings;
mod signals;
mod source;
mod text;
mod verification;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::arguments::Cli;
use crate::context::Context;
use crate::exit::{Code, Failure, Stop};

/// How long a command may take to notice that its store was closed under it.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = match arguments::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    panics::keep();
    set_up_tracing(cli.verbose);
    // Two at least: one may be stuck writing to a pipe that nobody reads.
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Code::Failed, anyhow::Error::new(error).context("cannot start threads"));
            return output::print_failure(&failure, cli.json).into();
        }
    };
    let code = runtime.block_on(run(cli));
    // A read that hangs in a network file system must not hold the process.
    runtime.shutdown_background();
    code.into()
}

async fn run(cli: Cli) -> Code {
    let context = match Context::new(&cli) {
        Ok(context) => Arc::new(context),
        Err(failure) => return output::print_failure(&failure, cli.json),
    };
    let mut command = tokio::spawn(commands::run(cli.command, context.clone()));
    let outcome = tokio::select! {
        outcome = &mut command => outcome,
        signal = signals::asked_to_end() => return interrupted(&context, command, signal).await,
    };
    let outcome = outcome.unwrap_or_else(|_| {
        let text = format!("the command panicked, which is a fault of the program: {}", panics::last());
        Err(Failure::of_text(Code::Failed, &text).into())
    });
    match outcome.and_then(|()| context.output.flush()) {
        Ok(()) | Err(Stop::PipeClosed) => Code::Done,
        Err(Stop::Failure(failure)) => output::print_failure(&failure, cli.json),
    }
}

/// Closes the store, so that the command ends by itself, and lets it clean up. A second interruption doesn't wait.
async fn interrupted(
    context: &Context,
    mut command: tokio::task::JoinHandle<exit::Outcome>,
    signal: signals::Signal,
) -> Code {
    context.output.mute();
    let mut had_store = true;
    let ending = async {
        had_store = context.interrupt().await;
        if tokio::time::timeout(GRACE, &mut command).await.is_err() {
            command.abort();
            // What it holds is dropped, unless it is stuck writing to a pipe that nobody reads.
            let _stuck = tokio::time::timeout(GRACE, command).await;
        }
    };
    tokio::select! {
        () = ending => {}
        _ = signals::asked_to_end() => {}
    }
    let failure = if had_store {
        Failure::of_text(signal.code(), "interrupted; the store was closed")
            .advise("dagstore list; what is unfinished is taken up by resume, and by every command that needs it")
    } else {
        Failure::of_text(signal.code(), "interrupted; no store was open").advise("the same again")
    };
    output::print_failure(&failure, context.output.json)
}

fn set_up_tracing(verbose: u8) {
    let filter = match verbose {
        0 => return,
        1 => "warn,dagstore=debug",
        _ => "trace",
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(false);
    subscriber.init();
}
