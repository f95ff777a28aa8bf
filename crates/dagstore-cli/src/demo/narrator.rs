//! Tells the demonstration, line by line for people or in one document for programs.

use std::time::Instant;

use serde::Serialize;

use super::place::Place;
use crate::exit::Outcome;
use crate::output::Output;
use crate::text::shell_word;

/// The column of the times.
const WIDTH: usize = 96;

/// What was told so far.
pub(crate) struct Narrator<'a> {
    output: &'a Output,
    last: Instant,
    document: Document,
}

#[derive(Serialize)]
struct Document {
    directory: String,
    kept: bool,
    steps: Vec<Step>,
    facts: Facts,
    next: Vec<String>,
}

#[derive(Serialize)]
struct Step {
    text: String,
    ms: u64,
}

/// What the demonstration found out, for programs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Facts {
    pub(crate) shards: Vec<ShardFact>,
    /// How much the process had indexed when it was seen last before it was killed.
    pub(crate) indexed_bytes_before_kill: u64,
    pub(crate) bytes_to_index: u64,
    pub(crate) state_after_kill: &'static str,
    pub(crate) interrupted: usize,
    pub(crate) resumed: usize,
    pub(crate) blocks_read: usize,
    pub(crate) blocks_that_hash_to_their_cid: usize,
}

/// A shard at the end.
#[derive(Debug, Serialize)]
pub(crate) struct ShardFact {
    pub(crate) key: &'static str,
    pub(crate) state: &'static str,
    pub(crate) blocks: usize,
}

impl<'a> Narrator<'a> {
    pub(crate) fn new(output: &'a Output, place: &Place) -> Self {
        let directory = place.root.display().to_string();
        let next = next(place);
        let document = Document { directory, kept: place.is_kept, steps: Vec::new(), facts: Facts::default(), next };
        Self { output, last: Instant::now(), document }
    }

    /// Tells something that took no time.
    pub(crate) fn say(&self, text: &str) -> Outcome {
        if self.output.json { Ok(()) } else { self.output.line(text) }
    }

    /// Tells what was done since the last step, and how long it took.
    pub(crate) fn step(&mut self, text: String) -> Outcome {
        let ms = u64::try_from(self.last.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.say(&format!("  {text:<WIDTH$}{ms:>6} ms"))?;
        self.document.steps.push(Step { text, ms });
        self.last = Instant::now();
        Ok(())
    }

    /// What was found out.
    pub(crate) fn facts(&mut self) -> &mut Facts {
        &mut self.document.facts
    }

    /// Says where to go from here.
    pub(crate) fn end(self, place: &Place) -> Outcome {
        if self.output.json {
            return self.output.json(&self.document);
        }
        let heading = if place.is_kept { "Look around:" } else { "All of it is removed again. Your turn:" };
        self.output.line(heading)?;
        self.document.next.iter().try_for_each(|command| self.output.line(&format!("  {command}")))
    }
}

/// Commands that work as they stand here.
fn next(place: &Place) -> Vec<String> {
    let program = program();
    if !place.is_kept {
        return ["demo --keep", "register YOUR.car", "list", "--help"].map(|rest| format!("{program} {rest}")).to_vec();
    }
    let store = shell_word(&place.store.display().to_string());
    let car = shell_word(&place.cars.join("letter.car").display().to_string());
    vec![
        format!("{program} --dir {store} list"),
        format!("{program} --dir {store} blocks letter"),
        format!("{program} --dir {store} info atlas"),
        format!("{program} --dir {store} register --key again {car}"),
        format!("rm -r {}", shell_word(&place.root.display().to_string())),
    ]
}

/// What to type for this program: its name where a shell finds it by that, else its path.
fn program() -> String {
    const NAME: &str = "dagstore";
    let Ok(own) = std::env::current_exe() else { return NAME.to_owned() };
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|path| path.join(NAME)).find(|path| path.is_file());
    let is_own = found.and_then(|found| found.canonicalize().ok()).is_some_and(|found| found == own);
    if is_own { NAME.to_owned() } else { shell_word(&own.display().to_string()) }
}
