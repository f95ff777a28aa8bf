//! What the process has, as Linux tells it.

use std::fs;

use crate::Result;

/// What the process has at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Resident memory in KiB.
    pub resident_kib: u64,
}

impl Sample {
    /// Looks now.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub fn take() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status").map_err(|error| format!("/proc/self/status: {error}"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.ok_or_else(|| format!("/proc/self/status doesn't tell {name}"))
        };
        // The folder that is read is a descriptor, too.
        let descriptors = (fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1);
        Ok(Self { descriptors, threads: of("Threads")?, resident_kib: of("VmRSS")? })
    }

    /// The most of each.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
            resident_kib: self.resident_kib.max(other.resident_kib),
        }
    }
}
