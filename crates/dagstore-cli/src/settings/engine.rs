//! The part `[engine]` of a store's `dagstore.toml`, and the options of the same names.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use dagstore::{Options, RecoveryPolicy, Retry};
use serde::Deserialize;

use super::units::{Span, in_quotes};
use super::{described, set};

/// What the file or the command line says of the engine; nothing said leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args, Deserialize)]
#[command(next_help_heading = "Engine, for this run; dagstore.toml has them for all")]
#[serde(deny_unknown_fields)]
pub(crate) struct EngineSettings {
    /// When to recover shards that had failed when the store was closed: never, on-acquire or now.
    #[arg(long, value_name = "WHEN", hide_possible_values = true)]
    recovery: Option<Recovery>,
    /// How often to try a shard again whose failure may pass; 0 is never.
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// The pause before the first such try, 30s for instance; it doubles with each.
    #[arg(long, value_name = "TIME")]
    first_pause: Option<Span>,
    /// The longest pause between them.
    #[arg(long, value_name = "TIME")]
    longest_pause: Option<Span>,
    /// How many sources are opened and fetched at once.
    #[arg(long, value_name = "N")]
    max_fetching: Option<NonZeroUsize>,
    /// How many shards are indexed at once.
    #[arg(long, value_name = "N")]
    max_indexing: Option<NonZeroUsize>,
    /// How many sources that aren't ready are waited for at once.
    #[arg(long, value_name = "N")]
    max_thawing: Option<NonZeroUsize>,
    /// How many shards stay open for a moment after their last reader.
    #[arg(long, value_name = "N")]
    keep_open: Option<usize>,
    /// How long a write is tried before it counts as refused, 10s for instance.
    #[arg(long, value_name = "TIME")]
    persist_deadline: Option<Span>,
}

/// When shards are recovered that had failed when the store was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Recovery {
    /// When somebody says so.
    Never,
    /// Each when it is read.
    OnAcquire,
    /// As soon as the store is opened for work.
    Now,
}

impl EngineSettings {
    /// These settings, and the others' where these say nothing.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            recovery: self.recovery.or(others.recovery),
            max_retries: self.max_retries.or(others.max_retries),
            first_pause: self.first_pause.or(others.first_pause),
            longest_pause: self.longest_pause.or(others.longest_pause),
            max_fetching: self.max_fetching.or(others.max_fetching),
            max_indexing: self.max_indexing.or(others.max_indexing),
            max_thawing: self.max_thawing.or(others.max_thawing),
            keep_open: self.keep_open.or(others.keep_open),
            persist_deadline: self.persist_deadline.or(others.persist_deadline),
        }
    }

    /// Nothing but this.
    pub(crate) fn recovering(when: Recovery) -> Self {
        Self { recovery: Some(when), ..Self::default() }
    }

    /// The same with so many shards at once, where nothing is said of that in particular.
    pub(crate) fn at_once(self, shards: Option<NonZeroUsize>) -> Self {
        self.or(Self { max_fetching: shards, max_indexing: shards, ..Self::default() })
    }

    /// What is wrong with settings that are right each by itself.
    pub(crate) fn problem(self) -> Option<&'static str> {
        let has_pause = self.first_pause.is_some() || self.longest_pause.is_some();
        if has_pause && self.max_retries.is_none() {
            return Some("first_pause and longest_pause mean nothing without max_retries");
        }
        let retry = self.retry()?;
        (retry.first_pause > retry.longest_pause).then_some("first_pause is longer than longest_pause")
    }

    /// Sets what is said.
    pub(crate) fn apply(self, options: &mut Options) {
        set(&mut options.recovery, self.recovery.map(Recovery::policy));
        set(&mut options.max_fetching, self.max_fetching.map(NonZeroUsize::get));
        set(&mut options.max_indexing, self.max_indexing.map(NonZeroUsize::get));
        set(&mut options.max_thawing, self.max_thawing.map(NonZeroUsize::get));
        set(&mut options.keep_open, self.keep_open);
        set(&mut options.persist_deadline, self.persist_deadline.map(|time| time.0));
        set(&mut options.retry, self.max_retries.map(|_| self.retry()));
    }

    fn retry(self) -> Option<Retry> {
        let mut retry = Retry::default();
        retry.max_retries = self.max_retries.filter(|retries| *retries > 0)?;
        set(&mut retry.first_pause, self.first_pause.map(|time| time.0));
        set(&mut retry.longest_pause, self.longest_pause.map(|time| time.0));
        Some(retry)
    }

    /// The part of a new store's file: every setting with its default, as comments.
    pub(crate) fn template() -> String {
        let (options, retry) = (Options::default(), Retry::default());
        let never = options.retry.map_or(0, |retry| retry.max_retries);
        let lines = [
            (
                "When shards are recovered that had failed when the store was closed: \"never\", \"on-acquire\" or \"now\".",
                "recovery",
                format!("\"{}\"", Recovery::of(options.recovery).name()),
            ),
            (
                "How often the store itself tries a shard again whose failure may pass, a missing file for instance; 0 is never.",
                "max_retries",
                never.to_string(),
            ),
            (
                "The pause before the first such try, and the longest; each is twice as long as the one before.",
                "first_pause",
                in_quotes(retry.first_pause),
            ),
            ("", "longest_pause", in_quotes(retry.longest_pause)),
            (
                "How many sources are opened and fetched at once, and how many shards are indexed at once.",
                "max_fetching",
                options.max_fetching.to_string(),
            ),
            ("", "max_indexing", options.max_indexing.to_string()),
            (
                "How many sources that aren't ready are waited for at once, apart from those that are.",
                "max_thawing",
                options.max_thawing.to_string(),
            ),
            (
                "How many shards keep their files open for a moment after their last reader.",
                "keep_open",
                options.keep_open.to_string(),
            ),
            (
                "How long a write is tried before those who wait for it are told that it was refused.",
                "persist_deadline",
                in_quotes(options.persist_deadline),
            ),
        ];
        described(
            "How the program works with the store. This can be changed here, and for one run by the options of the\n\
            # same names, such as --max-fetching. The defaults stand behind the #.",
            "engine",
            &lines,
        )
    }
}

impl Recovery {
    fn policy(self) -> RecoveryPolicy {
        match self {
            Self::Never => RecoveryPolicy::DoNotRecover,
            Self::OnAcquire => RecoveryPolicy::RecoverOnAcquire,
            Self::Now => RecoveryPolicy::RecoverNow,
        }
    }

    fn of(policy: RecoveryPolicy) -> Self {
        match policy {
            RecoveryPolicy::RecoverOnAcquire => Self::OnAcquire,
            RecoveryPolicy::RecoverNow => Self::Now,
            _ => Self::Never,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnAcquire => "on-acquire",
            Self::Now => "now",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(text: &str) -> EngineSettings {
        toml::from_str(text).unwrap()
    }

    fn applied(settings: EngineSettings) -> Options {
        let mut options = Options::default();
        settings.apply(&mut options);
        options
    }

    #[test]
    fn the_template_has_every_setting_with_its_default() {
        let text: String = EngineSettings::template()
            .lines()
            .filter(|line| !line.starts_with("# "))
            .fold(String::new(), |text, line| text + line.strip_prefix('#').unwrap_or(line) + "\n");
        let text = text.replace("[engine]", "");
        let settings = of(&text);
        assert_eq!(format!("{settings:?}").matches("None").count(), 0, "{settings:?}");
        assert_eq!(settings.problem(), None);
        assert_eq!(format!("{:?}", applied(settings)), format!("{:?}", Options::default()));
        let retry = of(&text.replace("max_retries = 0", "max_retries = 10")).retry().unwrap();
        assert_eq!(retry, Retry::default());
    }

    #[test]
    fn every_setting_is_applied() {
        let options =
            applied(of("recovery = \"now\"\nmax_retries = 3\nfirst_pause = \"1s\"\nlongest_pause = \"1m 30s\"\n\
            max_fetching = 11\nmax_indexing = 12\nmax_thawing = 13\nkeep_open = 14\npersist_deadline = \"1500ms\""));
        assert_eq!(options.recovery, RecoveryPolicy::RecoverNow);
        assert_eq!(
            (options.max_fetching, options.max_indexing, options.max_thawing, options.keep_open),
            (11, 12, 13, 14)
        );
        assert_eq!(options.persist_deadline, Duration::from_millis(1500));
        let retry = options.retry.unwrap();
        let pauses = (retry.first_pause.as_secs(), retry.longest_pause.as_secs());
        assert_eq!((retry.max_retries, pauses), (3, (1, 90)));
        assert_eq!(applied(of("recovery = \"on-acquire\"")).recovery, RecoveryPolicy::RecoverOnAcquire);
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = of("max_retries = 3\nmax_indexing = 5\nkeep_open = 6");
        let options = applied(of("max_retries = 0\nmax_indexing = 7").or(file));
        assert_eq!((options.retry, options.max_indexing, options.keep_open), (None, 7, 6));
        let options = applied(of("max_indexing = 7").at_once(NonZeroUsize::new(9)).or(file));
        assert_eq!((options.max_fetching, options.max_indexing), (9, 7));
    }

    #[test]
    fn what_makes_no_sense_together_is_told() {
        for (text, expected) in [
            ("first_pause = \"1s\"", Some("first_pause and longest_pause mean nothing without max_retries")),
            (
                "max_retries = 1\nfirst_pause = \"1h\"\nlongest_pause = \"1m\"",
                Some("first_pause is longer than longest_pause"),
            ),
            ("max_retries = 0\nfirst_pause = \"1s\"", None),
            ("max_retries = 1", None),
            ("", None),
        ] {
            assert_eq!(of(text).problem(), expected, "{text}");
        }
    }
}
