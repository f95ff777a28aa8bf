//! Shards behind nginx, where there is one.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::remote::place_with;
use crate::support::skipped;

/// An nginx on a free port, with a folder of its own.
struct Nginx {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Nginx {
    fn start() -> Option<Self> {
        // Debian keeps it where only root looks.
        let places = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"];
        let runs = |program: &&str| Command::new(program).arg("-v").stderr(Stdio::null()).status().is_ok();
        let program = places.into_iter().find(runs)?;
        // The port may be taken by somebody else before nginx has it.
        Some((0..10).find_map(|_| Self::try_start(program)).unwrap_or_else(|| panic!("{program} doesn't start")))
    }

    fn try_start(program: &str) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("www")).unwrap();
        let configuration = folder.path().join("nginx.conf");
        std::fs::write(&configuration, configured(folder.path(), port)).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&configuration).stderr(Stdio::null());
        let mut nginx = Self { process: command.spawn().unwrap(), folder, port };
        loop {
            if nginx.process.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(nginx);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn configured(folder: &Path, port: u16) -> String {
    let is_root = folder.metadata().unwrap().uid() == 0;
    let folder = folder.display();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {folder}/{name};"));
    // Files that are made here are root's then, and nginx would otherwise become somebody else.
    let user = if is_root { "user root;" } else { "" };
    format!(
        "{user} daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}
        http {{ access_log off; {} server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}",
        temporary.join(" ")
    )
}

#[test]
fn a_life_behind_nginx() {
    let Some(nginx) = Nginx::start() else {
        return skipped("nginx", "there is no nginx");
    };
    let base = format!("http://127.0.0.1:{}/", nginx.port);
    let place = place_with(&format!("[mounts.site]\ntype = \"http\"\nbase = \"{base}\"\nprivate_addresses = true\n"));
    let car = place.car("a.car", 2, 300, 10_000);
    std::fs::copy(&car.path, nginx.folder.path().join("www/a.car")).unwrap();
    let (error, _) = place.run(&["register", "site:absent.car"]).failed(1);
    assert!(error.contains("doesn't exist"), "{error}");
    place.run(&["register", "site:a.car", "--verify"]).done();
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), 300);
    place.run(&["evict", "a"]).done();
    place.run(&["verify", "a"]).done();
    place.run(&["pin", "a"]).done();
    place.run(&["unpin", "a"]).done();
    drop(nginx);
    let (cid, data) = &car.blocks[299];
    assert_eq!(&place.run(&["get", &cid.to_string(), "--local"]).done().stdout, data);
    place.run(&["evict", "a"]).failed(1);
}
