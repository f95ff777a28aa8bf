//! How much memory this process has to itself.

use std::fs;

use anyhow::{Context, Result};

/// Anonymous resident bytes: the heap, and nothing that is a file's. From `/proc/self/smaps_rollup`.
pub(super) fn anonymous_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/smaps_rollup").context("reading /proc/self/smaps_rollup")?;
    anonymous_in(&text).context("/proc/self/smaps_rollup has no line \"Anonymous:\"")
}

fn anonymous_in(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::anonymous_in;

    #[test]
    fn the_right_line_is_read() {
        let text = "Rss:  9000 kB\nAnonymous:         1172 kB\nLazyFree:  0 kB\n";
        assert_eq!(anonymous_in(text), Some(1172 * 1024));
        assert_eq!(anonymous_in("Rss:  9000 kB\n"), None);
    }
}
