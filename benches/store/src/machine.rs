//! What a bench ran on.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::statistics::median;

/// How often an append is synced, to learn what a sync costs here.
const SYNCS: usize = 300;

/// The machine, as it was when the bench began.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    memory_mib: u64,
    kernel: String,
    file_system: String,
    /// An append of 300 bytes and its fdatasync, in microseconds: rates of synced writes carry over between machines as
    /// ratios to this only.
    sync_us: f64,
    /// How many others wanted to run, on average over the last minute.
    load: f64,
}

impl Machine {
    /// Looks at the machine; `place` is where the stores will be.
    pub(crate) fn look(place: &Path) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let load = read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN);
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal").map_or(0, first_number) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/mounts"), &place.canonicalize()?).unwrap_or("unknown").to_owned(),
            sync_us: sync_us(place)?,
            load,
        })
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self { cores, cpu, memory_mib, kernel, file_system, sync_us, load } = self;
        let gib = memory_mib.div_ceil(1024);
        format!(
            "{cores} cores ({cpu}), {gib} GiB, Linux {kernel}, {file_system}, append and fdatasync {sync_us:.0} us, load {load:.1} at the start"
        )
    }
}

/// The value of the first line `name: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

fn first_number(text: &str) -> u64 {
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The type of the file system that `path` is on: that of the longest mount point above it, the last one mounted there.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    mounted.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind)
}

/// What an append of 300 bytes and its fdatasync take, in microseconds.
pub(crate) fn sync_us(place: &Path) -> Result<f64> {
    let path = place.join(format!("bench-store-sync-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    let mut appended = || -> Result<Vec<f64>> {
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let start = Instant::now();
            file.write_all(&[7; 300])?;
            file.sync_data()?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(times)
    };
    let times = appended();
    fs::remove_file(&path)?;
    Ok(median(&times?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_longest_mount_point_above() {
        let mounts =
            "dev / ext4 rw 0 0\ntmpfs /data tmpfs rw 0 0\nother /data/a xfs rw 0 0\nover /data tmpfs2 rw 0 0\n";
        for (path, wanted) in [("/data/b", "tmpfs2"), ("/data/a/b", "xfs"), ("/datax", "ext4")] {
            assert_eq!(file_system(mounts, Path::new(path)), Some(wanted), "{path}");
        }
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        assert_eq!(field("model\t: 1\nmodel name\t: A B\n", "model name"), Some("A B"));
        assert_eq!(first_number("24081652 kB"), 24_081_652);
    }
}
