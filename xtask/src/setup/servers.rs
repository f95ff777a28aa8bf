//! Servers that some tests run against, where they are there.

use std::path::Path;

use super::packages::{apt, can_install};
use crate::shell;

/// Debian keeps it where only root looks.
const NGINX: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"];

/// Installs nginx where that needs no question. Without it a test is skipped, and says so: that is no failure.
pub(crate) fn install_missing() {
    if has_nginx() {
        return;
    }
    if can_install() {
        let mut install = apt("install");
        install.args(["-y", "--no-install-recommends", "nginx-light"]);
        // Only its program is wanted, not a server on this machine's port 80.
        install.env("SYSTEMD_OFFLINE", "1");
        println!("setup: {}", shell::describe(&install));
        if let Err(error) = shell::capture(&mut install) {
            println!("setup: {error:#}");
        }
    }
    if !has_nginx() {
        println!("setup: there is no nginx, and its test is skipped; Debian's is apt-get install nginx-light");
    }
}

fn has_nginx() -> bool {
    shell::in_path("nginx") || NGINX.iter().any(|program| Path::new(program).exists())
}
