//! Servers that some tests run against, where they are there.

use std::fs;
use std::path::Path;

use super::packages::{apt, can_install};
use crate::shell;

/// Debian keeps it where only root looks.
const NGINX: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"];

/// Where Debian keeps PostgreSQL's programs, in a folder for each version.
const POSTGRES: &str = "/usr/lib/postgresql";

/// A server, and the Debian package that has it.
struct Server {
    name: &'static str,
    package: &'static str,
    is_there: fn() -> bool,
}

const SERVERS: [Server; 2] = [
    Server { name: "nginx", package: "nginx-light", is_there: has_nginx },
    Server { name: "PostgreSQL", package: "postgresql", is_there: has_postgres },
];

/// Installs servers where that needs no question. Without one its tests are skipped, and say so: that is no failure.
pub(crate) fn install_missing() {
    for server in &SERVERS {
        if (server.is_there)() {
            continue;
        }
        if can_install() {
            install(server.package);
        }
        if !(server.is_there)() {
            let Server { name, package, .. } = server;
            println!("setup: there is no {name}, and its tests are skipped; Debian's is apt-get install {package}");
        }
    }
}

fn install(package: &str) {
    let mut install = apt("install");
    install.args(["-y", "--no-install-recommends", package]);
    // Only its programs are wanted, not a server of this machine.
    install.env("SYSTEMD_OFFLINE", "1");
    println!("setup: {}", shell::describe(&install));
    if let Err(error) = shell::capture(&mut install) {
        println!("setup: {error:#}");
    }
}

fn has_nginx() -> bool {
    shell::in_path("nginx") || NGINX.iter().any(|program| Path::new(program).exists())
}

fn has_postgres() -> bool {
    let versions = fs::read_dir(POSTGRES).into_iter().flatten().flatten();
    shell::in_path("initdb") || versions.map(|version| version.path()).any(|path| path.join("bin/initdb").exists())
}
