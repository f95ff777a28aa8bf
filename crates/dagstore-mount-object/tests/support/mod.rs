//! A store of objects for tests, written by hand so that it can misbehave exactly as it is told.
#![allow(dead_code, reason = "each test program uses what it needs")]

pub(crate) mod weed;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dagstore_mount::{Mount, Result, Stat};
use dagstore_mount_object::{Access, ObjectBuilder, ObjectMount};
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names are in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// First and last byte of the range that is asked for.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX)))
    }
}

/// An answer. Whatever it says is sent as it is.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// How many bytes of the body are sent, and what comes then.
    pub(crate) cut: Option<(usize, Then)>,
    /// Wrapped into chunks, and without a length.
    pub(crate) chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    Hang,
    /// The rest, byte by byte.
    Drip(Duration),
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), cut: None, chunked: false }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn cut(mut self, after: usize, then: Then) -> Self {
        self.cut = Some((after, then));
        self
    }

    /// Chunks tell no length.
    pub(crate) fn chunked(self) -> Self {
        Self { chunked: true, ..self.without("content-length") }
    }
}

const MODIFIED: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

/// What a good server answers.
pub(crate) fn good(request: &Request, content: &Bytes, etag: Option<&str>) -> Reply {
    let base = |status| {
        let reply = Reply::new(status).with("accept-ranges", "bytes").with("last-modified", MODIFIED);
        match etag {
            Some(etag) => reply.with("etag", etag),
            None => reply,
        }
    };
    if request.header("if-match").is_some_and(|wanted| Some(wanted) != etag) {
        return base(412).with("content-length", "0");
    }
    let range = request.range().filter(|_| request.header("if-range").is_none_or(|wanted| Some(wanted) == etag));
    let size = content.len();
    let (status, body) = match range {
        Some((first, _)) if first >= size => {
            return base(416).with("content-range", format!("bytes */{size}")).with("content-length", "0");
        }
        Some((first, last)) => (206, content.slice(first..=last.min(size - 1))),
        None => (200, content.clone()),
    };
    let mut reply = base(status).with("content-length", body.len().to_string());
    if let Some((first, _)) = range {
        reply = reply.with("content-range", format!("bytes {first}-{}/{size}", first + body.len() - 1));
    }
    reply.body(body)
}

type Handler = dyn Fn(&Request, u64) -> Reply + Send + Sync;

/// A server on this machine. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    held: Arc<AtomicU64>,
    running: JoinHandle<()>,
}

impl Server {
    /// Answers with what `handler` makes of a request and the number of those before it.
    pub(crate) async fn start(handler: impl Fn(&Request, u64) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (log, held) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let shared = (Arc::new(handler) as Arc<Handler>, log.clone(), held.clone());
        let running = tokio::spawn(async move {
            // What it serves ends with it.
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, log, held) = shared.clone();
                serving.spawn(async move {
                    held.fetch_add(1, Ordering::Relaxed);
                    serve(stream, &*handler, &log).await;
                    held.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, log, held, running }
    }

    /// A good server of `content`.
    pub(crate) async fn good(content: &Bytes) -> Self {
        let content = content.clone();
        Self::start(move |request, _| good(request, &content, Some("\"1\""))).await
    }

    /// A good server but for what `change` does to its answers.
    pub(crate) async fn bent(
        content: &Bytes,
        change: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let content = content.clone();
        Self::start(move |request, _| change(request, good(request, &content, Some("\"1\"")))).await
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A template for it.
    pub(crate) fn s3(&self, access: Access) -> ObjectBuilder {
        quick(ObjectBuilder::s3(access)).endpoint(self.endpoint()).allow_http()
    }

    pub(crate) fn mount(&self) -> ObjectMount {
        self.s3(Access::Unsigned).build().unwrap().at(LOCATION).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.lock().clone()
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// What the servers here serve.
pub(crate) const LOCATION: &str = "//cars/a/b.car";

/// For tests that wait for every try.
pub(crate) fn quick(builder: ObjectBuilder) -> ObjectBuilder {
    builder.limits(|limits| {
        limits.retries = 2;
        limits.first_pause = Duration::from_millis(1);
        limits.longest_pause = Duration::from_millis(4);
    })
}

/// One request, one answer. `None` when the client goes away.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: &Handler,
    log: &Mutex<Vec<Request>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let request = read_request(&mut stream).await?;
    let number = {
        let mut log = log.lock();
        log.push(request.clone());
        log.len() as u64 - 1
    };
    let reply = handler(&request, number);
    let mut head = format!("HTTP/1.1 {} Told\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if reply.chunked {
        head += "transfer-encoding: chunked\r\n";
    }
    stream.write_all((head + "\r\n").as_bytes()).await.ok()?;
    if request.method != "HEAD" {
        let (first, then) = reply.cut.unwrap_or((reply.body.len(), Then::Close));
        let (now, later) = reply.body.split_at(first.min(reply.body.len()));
        for piece in now.chunks(64 * 1024) {
            write(&mut stream, piece, reply.chunked).await?;
        }
        stream.flush().await.ok()?;
        match then {
            Then::Close => {}
            Then::Hang => std::future::pending().await,
            Then::Drip(pause) => {
                for byte in later.chunks(1) {
                    tokio::time::sleep(pause).await;
                    write(&mut stream, byte, reply.chunked).await?;
                    stream.flush().await.ok()?;
                }
            }
        }
        if reply.chunked && then == Then::Close && reply.cut.is_none() {
            stream.write_all(b"0\r\n\r\n").await.ok()?;
        }
    }
    stream.shutdown().await.ok()
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), piece: &[u8], chunked: bool) -> Option<()> {
    if chunked {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.ok()?;
    }
    stream.write_all(piece).await.ok()?;
    if chunked {
        stream.write_all(b"\r\n").await.ok()?;
    }
    Some(())
}

async fn read_request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers: HashMap<_, _> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, path, headers, body })
}

/// A content in which no two pieces are alike.
pub(crate) fn content(size: usize) -> Bytes {
    (0..size).map(|place| u8::try_from((place / 251 + place) % 256).unwrap()).collect()
}

/// A whole stream.
pub(crate) async fn stream(mount: &dyn Mount, from: u64, of: Option<&Stat>) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = mount.stream(from, of).await?.bytes.try_collect().await?;
    Ok(pieces.concat())
}
