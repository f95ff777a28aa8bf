//! `SeaweedFS`, a store that speaks S3, on this machine: with keys, in a folder of its own, on free ports, and gone when the test is.

use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::conformance::Source;
use dagstore_mount::{Counting, Counts, Mount};
use dagstore_mount_object::object_store::aws::{AmazonS3, AmazonS3Builder};
use dagstore_mount_object::object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use dagstore_mount_object::object_store::path::Path;
use dagstore_mount_object::object_store::{self, ClientOptions, ObjectStoreExt};
use dagstore_mount_object::{Access, ObjectBuilder};
use http_body_util::BodyExt;
use tempfile::TempDir;

use crate::support::{LOCATION, quick};

const KEY: &str = "AKIDOFTHETEST";
const SECRET: &str = "secret-of-the-test";
const BUCKET: &str = "cars";

/// Ends the server when the test has ended in whatever way, as its input ends then; and removes the sockets that it leaves
/// behind in a place that nobody can change.
const GUARD: &str = r#"
log=$1; ports=$2; shift 2
"$@" </dev/null >"$log" 2>&1 & server=$!
read -r _
kill -KILL "$server"
wait "$server"
cd /tmp && for port in $ports; do rm -f seaweedfs-*-"$port".sock; done
"#;

/// A running server.
pub(crate) struct Weed {
    process: Child,
    input: Option<ChildStdin>,
    _folder: TempDir,
    endpoint: String,
    store: AmazonS3,
    mount: Counting,
    counts: Arc<Counts>,
}

impl Drop for Weed {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ended = self.process.wait();
        // The folder goes last, when nobody writes to it any more.
    }
}

impl Weed {
    /// `None` where it isn't installed.
    pub(crate) async fn start() -> Option<Self> {
        let program = PathBuf::from(std::env::var_os("DAGSTORE_WEED").unwrap_or_else(|| "weed".into()));
        let runs = Command::new(&program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !runs.is_ok_and(|status| status.success()) {
            return None;
        }
        for _ in 0..2 {
            if let Some(weed) = Self::try_start(&program).await {
                return Some(weed);
            }
        }
        panic!("{} doesn't start", program.display());
    }

    /// A port may be taken by somebody else before the server has it.
    async fn try_start(program: &std::path::Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let identity = serde_json::json!({"identities": [{
            "name": "test",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }]});
        std::fs::write(folder.path().join("s3.json"), identity.to_string()).unwrap();
        let ports = free_ports();
        let mut command = Command::new("sh");
        let numbers: Vec<_> = ports.iter().map(u16::to_string).collect();
        command.args(["-c", GUARD, "sh"]).arg(folder.path().join("log")).arg(numbers.join(" ")).arg(program);
        // The shell says that what it has killed was killed.
        command.args(arguments(folder.path(), &ports)).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let (input, endpoint) = (process.stdin.take(), format!("http://127.0.0.1:{}", ports[0]));
        let store = AmazonS3Builder::new()
            .with_http_connector(Connector)
            .with_endpoint(&endpoint)
            .with_region("us-east-1")
            .with_bucket_name(BUCKET)
            .with_access_key_id(KEY)
            .with_secret_access_key(SECRET)
            .with_retry(object_store::RetryConfig { max_retries: 0, ..Default::default() })
            .build()
            .unwrap();
        let mount = builder(&endpoint, true).build().unwrap().at(LOCATION).unwrap();
        let mount = Counting::new(mount);
        let counts = mount.counts();
        let weed = Self { process, input, _folder: folder, endpoint, store, mount, counts };
        // It answers before it can store anything. Where it has ended it never will.
        for _ in 0..1200 {
            if weed.store.put(&Path::from("ready"), Bytes::from_static(b"ready").into()).await.is_ok() {
                return Some(weed);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// A template for it, with the right keys or with wrong ones.
    pub(crate) fn builder(&self, has_right_keys: bool) -> ObjectBuilder {
        builder(&self.endpoint, has_right_keys)
    }

    /// Stores an object.
    pub(crate) async fn put(&self, key: &str, content: Bytes) {
        self.store.put(&Path::parse(key).unwrap(), content.into()).await.unwrap();
    }
}

fn builder(endpoint: &str, has_right_keys: bool) -> ObjectBuilder {
    let secrets = move |name: &str| match name {
        "WEED_ACCESS_KEY_ID" => Some(KEY.to_owned()),
        "WEED_SECRET_ACCESS_KEY" if has_right_keys => Some(SECRET.to_owned()),
        "WEED_SECRET_ACCESS_KEY" => Some("another".to_owned()),
        _ => None,
    };
    quick(ObjectBuilder::s3(Access::named("WEED"))).endpoint(endpoint).allow_http().secrets(secrets)
}

fn free_ports() -> Vec<u16> {
    // All are held until the last one is known, so that none is given twice.
    let held: Vec<_> = (0..8).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn arguments(folder: &std::path::Path, ports: &[u16]) -> Vec<String> {
    let place = folder.display();
    let mut arguments: Vec<String> = [
        "server",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumePreallocate=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=8",
        "-filer",
        "-s3",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("-dir={place}"));
    arguments.push(format!("-s3.config={place}/s3.json"));
    arguments.push(format!("-s3.localSocket={place}/s3.sock"));
    arguments.push(format!("-filer.localSocket={place}/filer.sock"));
    let names =
        ["s3", "s3.port.grpc", "master", "master.port.grpc", "volume", "volume.port.grpc", "filer", "filer.port.grpc"];
    for (name, port) in names.into_iter().zip(ports) {
        let name = if name.ends_with("grpc") { name.to_owned() } else { format!("{name}.port") };
        arguments.push(format!("-{name}={port}"));
    }
    arguments
}

/// How objects are put there: `object_store` comes without an HTTP client.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        // This workspace builds reqwest without a provider of cryptography.
        let _other_than_the_first = rustls::crypto::ring::default_provider().install_default();
        Ok(HttpClient::new(Sender(reqwest::Client::builder().no_proxy().build().unwrap())))
    }
}

#[derive(Debug)]
struct Sender(reqwest::Client);

#[async_trait]
impl HttpService for Sender {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let mut sent = reqwest::Request::new(parts.method, parts.uri.to_string().parse().unwrap());
        *sent.headers_mut() = parts.headers;
        *sent.body_mut() = Some(body.collect().await?.to_bytes().into());
        let unsent = |error| HttpError::new(HttpErrorKind::Unknown, error);
        let answer = self.0.execute(sent).await.map_err(unsent)?;
        let (parts, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
        let body = body.collect().await.map_err(unsent)?.to_bytes();
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

#[async_trait]
impl Source for Weed {
    fn mount(&self) -> Arc<dyn Mount> {
        Arc::new(self.mount.clone())
    }

    async fn serve(&self, content: Option<Bytes>) {
        match content {
            Some(content) => self.put("a/b.car", content).await,
            None => self.store.delete(&Path::from("a/b.car")).await.unwrap(),
        }
    }

    fn held(&self) -> Option<u64> {
        Some(self.counts.held())
    }
}
