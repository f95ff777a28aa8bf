//! The mount against nginx, where there is one.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::conformance::{self, Source};
use dagstore_mount::{Counting, Counts, Mount};
use dagstore_mount_http::HttpBuilder;
use tempfile::TempDir;

use crate::support::{content, quick};

/// An nginx on a free port, with a folder of its own.
struct Nginx {
    process: Child,
    folder: TempDir,
    port: u16,
    mount: Counting,
    counts: Arc<Counts>,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

impl Nginx {
    async fn start() -> Option<Self> {
        // Debian keeps it where only root looks.
        let places = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"];
        let runs = |program: &&str| Command::new(program).arg("-v").stderr(Stdio::null()).status().is_ok();
        let program = places.into_iter().find(runs)?;
        for _ in 0..10 {
            if let Some(nginx) = Self::try_start(program).await {
                return Some(nginx);
            }
        }
        panic!("{program} doesn't start");
    }

    /// The port may be taken by somebody else before nginx has it.
    async fn try_start(program: &str) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("www")).unwrap();
        std::fs::write(folder.path().join("www/ready"), "ready").unwrap();
        let configuration = folder.path().join("nginx.conf");
        std::fs::write(&configuration, configured(folder.path(), port)).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&configuration).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let template = quick(HttpBuilder::http()).build();
        let mount = Counting::new(template.at(&format!("//127.0.0.1:{port}/a.car")).unwrap());
        let counts = mount.counts();
        let mut nginx = Self { process, folder, port, mount, counts };
        let ready = template.at(&format!("//127.0.0.1:{port}/ready")).unwrap();
        loop {
            if ready.stat().await.is_ok_and(|stat| stat.size == 5) {
                return Some(nginx);
            }
            if nginx.process.try_wait().unwrap().is_some() {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn configured(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {folder}/{name};"));
    let user = if rustix_is_root() { "user root;" } else { "" };
    format!(
        "{user} daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}
        http {{ access_log off; gzip on; gzip_types *; {} server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}",
        temporary.join(" ")
    )
}

/// Whether files that are made here are root's, which nginx would otherwise give up to be somebody else.
fn rustix_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    tempfile::tempfile().unwrap().metadata().unwrap().uid() == 0
}

#[async_trait]
impl Source for Nginx {
    fn mount(&self) -> Arc<dyn Mount> {
        Arc::new(self.mount.clone())
    }

    async fn serve(&self, content: Option<Bytes>) {
        let path = self.folder.path().join("www/a.car");
        match content {
            None => drop(std::fs::remove_file(path)),
            Some(content) => {
                let new = self.folder.path().join("new");
                std::fs::write(&new, &content).unwrap();
                // Its ETag is made of size and time of modification in seconds: two versions of a second would be one.
                let version = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(VERSIONS.fetch_add(1, Relaxed));
                std::fs::File::options().write(true).open(&new).unwrap().set_modified(version).unwrap();
                std::fs::rename(new, path).unwrap();
            }
        }
    }

    fn held(&self) -> Option<u64> {
        Some(self.counts.held())
    }
}

static VERSIONS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1_000_000);
use std::sync::atomic::Ordering::Relaxed;

#[tokio::test]
async fn nginx_is_a_good_server() {
    let Some(nginx) = Nginx::start().await else {
        return dagstore_testkit::skipped("nginx_is_a_good_server", "there is no nginx; cargo xtask setup installs it");
    };
    let content = content(1_000_000);
    nginx.serve(Some(content.clone())).await;
    let template = quick(HttpBuilder::http()).build();
    let mount = template.at(&format!("//127.0.0.1:{}/a.car", nginx.port)).unwrap();
    assert!(!mount.stat().await.unwrap().sequential_only);
    conformance::check(&template, &mount, &content).await;
    conformance::check_source(&nginx).await;
}
