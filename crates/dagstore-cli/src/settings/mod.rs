//! How the program works with a store: parts of its `dagstore.toml`, and the options of the same names.

mod copies;
mod engine;
pub(crate) mod units;

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use clap::Args;
use dagstore::Builder;

pub(crate) use self::copies::CopySettings;
pub(crate) use self::engine::{EngineSettings, Recovery};

/// What the file or the command line says; nothing said leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) engine: EngineSettings,
    #[command(flatten)]
    pub(crate) copies: CopySettings,
}

impl Settings {
    /// These settings, and the others' where these say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        Self { engine: self.engine.or(others.engine), copies: self.copies.or(others.copies) }
    }

    /// Nothing but this.
    pub(crate) fn recovering(when: Recovery) -> Self {
        Self { engine: EngineSettings::recovering(when), ..Self::default() }
    }

    /// The same with so many shards at once, where nothing is said of that in particular.
    pub(crate) fn at_once(self, shards: Option<NonZeroUsize>) -> Self {
        Self { engine: self.engine.at_once(shards), ..self }
    }

    /// What is wrong with settings that are right each by itself.
    pub(crate) fn problem(self) -> Option<&'static str> {
        self.engine.problem()
    }

    /// How many bytes local copies may take, where that is bounded.
    pub(crate) fn quota(self) -> Option<u64> {
        self.copies.quota()
    }

    /// Sets what is said.
    pub(crate) fn apply(self, builder: Builder) -> Builder {
        let builder = builder.configure(|options| self.engine.apply(options));
        builder.configure_copies(|options| self.copies.apply(options))
    }

    /// The parts of a new store's file: every setting with its default, as comments.
    pub(crate) fn template() -> String {
        EngineSettings::template() + &CopySettings::template()
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// A part of the file, of settings each with what it means, its name and its value; a comment that is empty is that of the
/// setting before.
fn described(what: &str, part: &str, lines: &[(&str, &str, String)]) -> String {
    let mut text = format!("\n# {what}\n[{part}]\n");
    for (comment, name, value) in lines {
        if !comment.is_empty() {
            // Writing to a String can't fail.
            let _ = writeln!(text, "# {comment}");
        }
        let _ = writeln!(text, "#{name} = {value}");
    }
    text
}
