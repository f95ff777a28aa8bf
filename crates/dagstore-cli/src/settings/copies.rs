//! The part `[copies]` of a store's `dagstore.toml`, and the options of the same names.

use clap::Args;
use dagstore::copies::Options;
use serde::Deserialize;

use super::units::{Size, Span, in_quotes};
use super::{described, set};

/// What the file or the command line says of local copies of remote shards; nothing said leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args, Deserialize)]
#[command(next_help_heading = "Local copies, for this run; dagstore.toml has them for all")]
#[serde(deny_unknown_fields)]
pub(crate) struct CopySettings {
    /// The most bytes that local copies of remote shards may take together, 100GiB for instance.
    #[arg(long, value_name = "BYTES")]
    quota: Option<Size>,
    /// How many bytes are to stay free on the disk.
    #[arg(long, value_name = "BYTES")]
    keep_free: Option<Size>,
    /// How long a fetch waits for room.
    #[arg(long, value_name = "TIME")]
    room_deadline: Option<Span>,
    /// After how much time without a byte a fetch fails.
    #[arg(long, value_name = "TIME")]
    idle_timeout: Option<Span>,
}

impl CopySettings {
    /// These settings, and the others' where these say nothing.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            quota: self.quota.or(others.quota),
            keep_free: self.keep_free.or(others.keep_free),
            room_deadline: self.room_deadline.or(others.room_deadline),
            idle_timeout: self.idle_timeout.or(others.idle_timeout),
        }
    }

    /// The quota in bytes, where there is one.
    pub(super) fn quota(self) -> Option<u64> {
        self.quota.map(|size| size.0)
    }

    /// Sets what is said.
    pub(super) fn apply(self, options: &mut Options) {
        set(&mut options.quota_bytes, self.quota().map(Some));
        set(&mut options.keep_free_bytes, self.keep_free.map(|size| size.0));
        set(&mut options.room_deadline, self.room_deadline.map(|time| time.0));
        set(&mut options.idle_timeout, self.idle_timeout.map(|time| time.0));
    }

    /// The part of a new store's file: every setting with its default, as comments.
    pub(super) fn template() -> String {
        let options = Options::default();
        let keep_free = format!("\"{}GiB\"", options.keep_free_bytes >> 30);
        let lines = [
            (
                "The most bytes that they may take together. There is no bound unless one is set here.",
                "quota",
                "\"100GiB\"".to_owned(),
            ),
            ("How many bytes are to stay free on the disk.", "keep_free", keep_free),
            ("How long a fetch waits for room.", "room_deadline", in_quotes(options.room_deadline)),
            ("After how much time without a byte a fetch fails.", "idle_timeout", in_quotes(options.idle_timeout)),
        ];
        described("Local copies of remote shards.", "copies", &lines)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(text: &str) -> CopySettings {
        toml::from_str(text).unwrap()
    }

    fn applied(settings: CopySettings) -> Options {
        let mut options = Options::default();
        settings.apply(&mut options);
        options
    }

    #[test]
    fn the_template_has_every_setting_with_its_default() {
        let text: String = CopySettings::template()
            .lines()
            .filter(|line| !line.starts_with("# ") && *line != "[copies]")
            .fold(String::new(), |text, line| text + line.strip_prefix('#').unwrap_or(line) + "\n");
        let settings = of(&text);
        assert_eq!(format!("{settings:?}").matches("None").count(), 0, "{settings:?}");
        let unbounded = CopySettings { quota: None, ..settings };
        assert_eq!(format!("{:?}", applied(unbounded)), format!("{:?}", Options::default()));
    }

    #[test]
    fn every_setting_is_applied_and_the_command_line_goes_before_the_file() {
        let file = of("quota = \"2GiB\"\nkeep_free = 3\nroom_deadline = \"4s\"\nidle_timeout = \"5m\"");
        let options = applied(file);
        assert_eq!((options.quota_bytes, options.keep_free_bytes), (Some(2 << 30), 3));
        assert_eq!((options.room_deadline, options.idle_timeout), (Duration::from_secs(4), Duration::from_mins(5)));
        assert_eq!(of("quota = 7").or(file), CopySettings { quota: Some(Size(7)), ..file });
        assert_eq!(applied(of("")).quota_bytes, None);
    }
}
