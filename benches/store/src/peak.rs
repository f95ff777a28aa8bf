//! How much memory this process had at most.

use std::fs;

use anyhow::{Context, Result};

/// Forgets how much was resident at most so far.
pub(crate) fn forget() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("forgetting the peak")
}

/// How much was resident at most since then, in MiB: the whole process, with what it keeps for later.
pub(crate) fn mib() -> Result<f64> {
    Ok(status("VmHWM:")? as f64 / 1024.0)
}

/// A line of `/proc/self/status`, in KiB.
fn status(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    field(&text, name).with_context(|| format!("/proc/self/status has no line {name:?}"))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn the_right_line_is_read() {
        let text = "VmPeak:\t 9 kB\nVmHWM:\t   1172 kB\nVmRSS:\t 1000 kB\n";
        assert_eq!((field(text, "VmHWM:"), field(text, "VmRSS:"), field(text, "Rss:")), (Some(1172), Some(1000), None));
    }
}
