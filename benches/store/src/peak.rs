//! How much memory this process had at most.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

/// How often a [`Watch`] looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Forgets how much was resident at most so far.
pub(crate) fn forget() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("forgetting the peak")
}

/// How much was resident at most since then, in MiB: the whole process, with what it keeps for later.
pub(crate) fn mib() -> Result<f64> {
    Ok(status("VmHWM:")? as f64 / 1024.0)
}

/// Looks again and again how much memory of its own the process has. What it has mapped of files isn't counted: the system
/// takes that back when others want it.
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    looking: JoinHandle<Result<u64>>,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let looking = thread::spawn(move || {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(status("RssAnon:")?);
                thread::sleep(PAUSE);
            }
            Ok(most)
        });
        Self { is_over, looking }
    }

    /// The most there was, in MiB.
    pub(crate) fn end(self) -> Result<f64> {
        self.is_over.store(true, Ordering::Relaxed);
        let most = self.looking.join().map_err(|_| anyhow!("the thread that looks at the memory panicked"))??;
        Ok(most as f64 / 1024.0)
    }
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
