//! What is done in a process of its own, so that memory and time are those of a fresh start.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::memory::anonymous_bytes;
use crate::backend::Backend;
use crate::catalogue::{Catalogue, RecordCodec};
use crate::cpu;
use crate::shards::{self, SHARDS};

/// What a child is asked to do, and with which store.
#[derive(Debug, Clone, Args)]
pub(crate) struct Order {
    job: Job,
    directory: PathBuf,
    #[arg(long = "kind")]
    backend: Backend,
    #[arg(long)]
    codec: RecordCodec,
    #[arg(long, default_value_t = 0)]
    idle: usize,
    #[arg(long)]
    index_files: Option<PathBuf>,
}

/// What a child can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Job {
    /// Makes the store, acquires a shard, says so, and closes the store when it hears a word, if it lives that long.
    Make,
    /// Opens the store, acquires a shard, and tells how long that took.
    Open,
    /// Reads all rows of the datastore, without a store.
    Scan,
}

/// What a child tells.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Told {
    /// From the beginning until the store was open.
    pub(super) open_seconds: f64,
    /// From the beginning until the first acquire was answered.
    pub(super) first_acquire_seconds: f64,
    /// Of the processors, until then.
    pub(super) cpu_seconds: f64,
    /// When all was at rest.
    pub(super) anonymous_bytes: u64,
}

impl Order {
    pub(super) fn new(job: Job, catalogue: &Catalogue) -> Self {
        let Catalogue { directory, backend, codec, idle, index_files, .. } = catalogue.clone();
        Self { job, directory, backend, codec, idle, index_files }
    }

    fn catalogue(&self) -> Catalogue {
        let Self { directory, backend, codec, idle, index_files, .. } = self.clone();
        Catalogue { directory, backend, codec, indexed: 1, idle, index_files }
    }

    /// Starts a process that does this.
    pub(super) fn start(&self) -> Result<Running> {
        let mut command = Command::new(std::env::current_exe()?);
        let name = |value: &dyn ValueName| value.name();
        command.args(["restart-child", &name(&self.job)]).arg(&self.directory);
        command.args(["--kind", &name(&self.backend), "--codec", &name(&self.codec)]);
        command.args(["--idle", &self.idle.to_string()]);
        if let Some(folder) = &self.index_files {
            command.arg("--index-files").arg(folder);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("the child's output is piped")?;
        Ok(Running { child, output: BufReader::new(output) })
    }

    /// Does it here: what the process is for.
    pub(crate) fn obey(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        match self.job {
            Job::Make => runtime.block_on(self.make()),
            Job::Open => say(runtime.block_on(self.open())?),
            Job::Scan => say(runtime.block_on(self.scan())?),
        }
    }

    async fn make(&self) -> Result<()> {
        let store = self.catalogue().make().await?;
        let accessor = store.acquire(&shards::key(0)).await?;
        store.resumed().await?;
        say("made")?;
        let mut word = String::new();
        std::io::stdin().read_line(&mut word)?;
        drop(accessor);
        Ok(store.close().await?)
    }

    async fn open(&self) -> Result<Told> {
        let builder = self.catalogue().builder();
        let (start, cpu) = (Instant::now(), cpu::seconds()?);
        let store = builder.open().await?;
        let open_seconds = start.elapsed().as_secs_f64();
        drop(store.acquire(&shards::key(0)).await?);
        let first_acquire_seconds = start.elapsed().as_secs_f64();
        let cpu_seconds = cpu::seconds()? - cpu;
        store.resumed().await?;
        let anonymous_bytes = anonymous_bytes()?;
        if store.shards().len() != self.idle + 1 {
            bail!("the store has {} shards instead of {}", store.shards().len(), self.idle + 1);
        }
        store.close().await?;
        Ok(Told { open_seconds, first_acquire_seconds, cpu_seconds, anonymous_bytes })
    }

    async fn scan(&self) -> Result<Told> {
        let (start, cpu) = (Instant::now(), cpu::seconds()?);
        let datastore = self.catalogue().open_datastore().await?;
        let open_seconds = start.elapsed().as_secs_f64();
        let mut pages = datastore.scan(SHARDS, &[]);
        while let Some(page) = pages.next().await {
            drop(page?);
        }
        let first_acquire_seconds = start.elapsed().as_secs_f64();
        let cpu_seconds = cpu::seconds()? - cpu;
        let anonymous_bytes = anonymous_bytes()?;
        datastore.close().await?;
        Ok(Told { open_seconds, first_acquire_seconds, cpu_seconds, anonymous_bytes })
    }
}

fn say(what: impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(&what)?);
    Ok(std::io::stdout().flush()?)
}

/// The name under which a value is written on a command line.
trait ValueName {
    fn name(&self) -> String;
}

impl<T: ValueEnum> ValueName for T {
    fn name(&self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A child under way.
pub(super) struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// What it says next.
    pub(super) fn hear<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the child ended without a word, with {}", self.child.wait()?);
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Tells it to go on, and waits for its end.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the child ended with {status}");
        }
        Ok(())
    }

    /// Ends it with SIGKILL.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}
