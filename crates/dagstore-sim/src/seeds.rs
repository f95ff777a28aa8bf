//! Sequences that once found a fault.

use std::num::ParseIntError;

/// A sequence that is run every time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its seed.
    pub seed: u64,
    /// How many events sequences had on the average.
    pub events: u64,
}

/// The list, from `seeds.txt`: a seed, a number of events, and what was found.
///
/// # Errors
/// When the list can't be read.
pub fn known() -> Result<Vec<Known>, ParseIntError> {
    let lines = include_str!("../seeds.txt").lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(read).collect()
}

fn read(line: &str) -> Result<Known, ParseIntError> {
    let mut words = line.split_whitespace();
    let mut number = || words.next().unwrap_or_default().parse();
    Ok(Known { seed: number()?, events: number()? })
}
