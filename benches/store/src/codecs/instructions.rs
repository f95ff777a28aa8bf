//! How many instructions a codec takes, by callgrind: the figure that doesn't depend on who else uses the machine.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use dagstore::codec::Codecs;

use super::{Case, Work, records};

/// How often the work is done in the two processes whose difference counts, so that starting and ending fall out.
const FEW: u64 = 100;
const MANY: u64 = 1_100;

/// What a process under callgrind does.
#[derive(Debug, Args)]
pub(crate) struct Order {
    codec: String,
    record: String,
    work: Work,
    times: u64,
}

impl Order {
    /// Does it.
    pub(crate) fn obey(&self) -> Result<()> {
        let codecs = Codecs::default();
        let codec = codecs.all().find(|codec| codec.name() == self.codec);
        let codec = codec.with_context(|| format!("no codec is named {:?}", self.codec))?;
        let case = Case::new(codec, &records::named(&self.record)?)?.context("a codec that writes")?;
        case.work(self.work, self.times)
    }
}

/// Whether valgrind is there.
pub(super) fn can_be_counted() -> bool {
    let asked = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Instructions for each time.
pub(super) fn count(codec: &str, record: &str, work: Work) -> Result<f64> {
    let name = work.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let counted = |times: u64| -> Result<u64> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
        let output = command.args(["codecs-child", codec, record, &name, &times.to_string()]).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "valgrind ended with {}: {text}", output.status);
        collected(&text).with_context(|| format!("valgrind told no count: {text}"))
    };
    Ok((counted(MANY)? as f64 - counted(FEW)? as f64) / (MANY - FEW) as f64)
}

/// The count in what callgrind prints in the end: `==7== Collected : 123`.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::collected;

    #[test]
    fn the_count_is_found() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 123456\n==7==\n"), Some(123_456));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
