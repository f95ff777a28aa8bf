//! An nginx that serves a folder.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use dagstore::http::HttpBuilder;
use dagstore::mount::Registry;

/// How long it may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(10);

/// An nginx on a port of its own, as long as it lives.
pub(crate) struct Nginx {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl Nginx {
    /// Serves `folder/www`, which is there already.
    ///
    /// # Errors
    /// There is no nginx on this machine, or it doesn't start.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        // Debian keeps it where only root looks.
        let places = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"];
        let runs = |program: &&str| Command::new(program).arg("-v").stderr(Stdio::null()).status().is_ok();
        let Some(program) = places.into_iter().find(runs) else { bail!("this bench needs nginx; cargo xtask setup") };
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let configuration = folder.join("nginx.conf");
        std::fs::write(&configuration, configured(folder, port)?)?;
        let mut command = Command::new(program);
        let process = command.arg("-p").arg(folder).arg("-c").arg(&configuration).stderr(Stdio::null()).spawn()?;
        let nginx = Self { process, port, folder: folder.to_owned() };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(start.elapsed() < PATIENCE, "{program} doesn't start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(nginx)
    }

    /// The folder that is served.
    pub(crate) fn www(&self) -> PathBuf {
        self.folder.join("www")
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// How many bytes it has sent so far, headers included.
    pub(crate) fn sent_bytes(&self) -> Result<u64> {
        let log = std::fs::read_to_string(self.folder.join("access.log"))?;
        Ok(log.lines().filter_map(|line| line.parse::<u64>().ok()).sum())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn configured(folder: &Path, port: u16) -> Result<String> {
    // Files that are made here are root's, which nginx would otherwise give up to be somebody else.
    let user = if std::fs::metadata(folder)?.uid() == 0 { "user root;" } else { "" };
    let folder = folder.display();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {folder}/{name};"));
    Ok(format!(
        "{user} daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}
        http {{ log_format sent '$bytes_sent'; access_log {folder}/access.log sent; sendfile on; keepalive_requests 1000000; {}
        server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}",
        temporary.join(" ")
    ))
}

/// A registry whose `http` reaches this machine.
pub(crate) fn registry() -> Result<Registry> {
    let mut registry = Registry::with_defaults();
    registry.register("http", HttpBuilder::http().allow_private_addresses().build())?;
    Ok(registry)
}
