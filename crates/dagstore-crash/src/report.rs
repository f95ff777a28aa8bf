//! What came of a campaign.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use dagstore::Backend;

use crate::campaign::Plan;
use crate::round::Kills;

/// What came of a campaign.
#[derive(Debug, Clone)]
pub struct Report {
    seed: u64,
    backend: Backend,
    shards: usize,
    rows: Vec<Row>,
    /// How many processes were killed; in some rounds two.
    pub kills: u64,
    /// How many acknowledgements of theirs were kept.
    pub acknowledged: usize,
    /// How long it took.
    pub took: Duration,
    /// What was broken.
    pub failure: Option<Failure>,
}

/// What was done at one moment.
#[derive(Debug, Clone)]
pub struct Row {
    name: String,
    /// Rounds in which somebody was killed there.
    pub rounds: u64,
    /// Rounds in which the process had ended by then. Its store was looked at as well.
    pub missed: u64,
}

/// A rule that was broken, or something that kept the campaign from going on.
#[derive(Debug, Clone)]
pub struct Failure {
    /// How the processes were killed.
    pub kills: Option<Kills>,
    /// What is wrong.
    pub what: String,
    /// Where the store is.
    pub folder: Option<PathBuf>,
}

impl Row {
    pub(crate) fn new(name: String) -> Self {
        Self { name, rounds: 0, missed: 0 }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Report {
    pub(crate) fn new(plan: &Plan, rows: Vec<Row>) -> Self {
        let Plan { seed, backend, shards, .. } = *plan;
        Self { seed, backend, shards, rows, kills: 0, acknowledged: 0, took: Duration::ZERO, failure: None }
    }

    /// Counts a round.
    pub(crate) fn count(&mut self, row: &str, all_killed: bool, kills: u64, acknowledged: usize) {
        self.kills += kills;
        self.acknowledged += acknowledged;
        if let Some(row) = self.rows.iter_mut().find(|found| found.name == row) {
            row.rounds += u64::from(all_killed);
            row.missed += u64::from(!all_killed);
        }
    }

    /// What was done at each moment.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Every figure with its name, for whoever adds up those of several campaigns.
    pub fn figures(&self) -> Vec<(String, u64)> {
        let missed = self.rows.iter().map(|row| row.missed).sum::<u64>();
        let plain = [("rounds", self.rounds()), ("kills", self.kills), ("missed", missed)];
        let plain = plain.into_iter().chain([("acknowledgements kept", self.acknowledged as u64)]);
        let rows = self.rows.iter().map(|row| (format!("kill: {}", row.name), row.rounds));
        plain.map(|(name, count)| (name.to_owned(), count)).chain(rows).collect()
    }

    /// Rounds in which everybody was killed who was to be.
    pub fn rounds(&self) -> u64 {
        self.rows.iter().map(|row| row.rounds).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, shards, kills, acknowledged, took, rows, .. } = self;
        let (backend, missed) = (self.backend.name(), rows.iter().map(|row| row.missed).sum::<u64>());
        writeln!(f, "| moment | kills | missed |\n|---|---:|---:|")?;
        for Row { name, rounds, missed } in rows {
            writeln!(f, "| {name} | {rounds} | {missed} |")?;
        }
        write!(
            f,
            "{} rounds on {backend} from seed {seed}: {kills} kills, {missed} missed, {acknowledged} acknowledgements kept, {:.1} s",
            self.rounds(),
            took.as_secs_f64()
        )?;
        let Some(Failure { kills, what, folder }) = &self.failure else { return Ok(()) };
        write!(f, "\nBROKEN: {what}")?;
        if let Some(folder) = folder {
            write!(f, "\nthe store is in {}", folder.display())?;
        }
        kills.map_or(Ok(()), |kills| {
            write!(f, "\nagain: cargo xtask killpoints --backend {backend} --rounds 20 -- --shards {shards} {kills}")
        })
    }
}
