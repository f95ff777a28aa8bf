//! The directory lock between processes: held by a child, and freed when the child is killed.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dagstore_fs::{DirectoryLock, LockError};

/// Tells the child, which is this very test program, which directory to lock.
const DIRECTORY_VARIABLE: &str = "DAGSTORE_TEST_LOCKED_DIRECTORY";

#[test]
fn a_killed_process_frees_its_lock() {
    if let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) {
        hold_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = start_holder(directory.path());
    let error = DirectoryLock::acquire(directory.path()).unwrap_err();
    let LockError::Held { path, pid } = &error else { panic!("{error}") };
    assert_eq!((path.parent(), *pid), (Some(directory.path()), Some(child.id())));

    child.kill().unwrap();
    child.wait().unwrap();
    let lock = DirectoryLock::acquire(directory.path()).unwrap();
    assert_eq!(std::fs::read_to_string(lock.path()).unwrap(), format!("{}\n", std::process::id()));
}

/// Starts this test again as a process that takes the lock, and returns when it has it.
fn start_holder(directory: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_frees_its_lock", "--nocapture"])
        .env(DIRECTORY_VARIABLE, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.contains("locked")), "the child could not lock");
    child
}

/// Locks, says so, and waits for the end of its input, which comes with the parent's death at the latest.
#[expect(clippy::print_stdout, reason = "the parent waits for the line")]
fn hold_until_killed(directory: &Path) -> ! {
    let _lock = DirectoryLock::acquire(directory).unwrap();
    println!("locked");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    std::process::exit(1);
}
