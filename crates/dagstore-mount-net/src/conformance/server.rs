//! A web server for tests, written by hand so that it can misbehave exactly as it is told.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Subject, quick};

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET` and so on.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Names are in lower case.
    pub headers: HashMap<String, String>,
    /// What came behind them.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of the header with this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// First and last byte of the range that is asked for.
    pub fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX)))
    }
}

/// An answer. Whatever it says is sent as it is.
#[derive(Debug, Clone)]
pub struct Reply {
    /// 200 and so on.
    pub status: u16,
    /// As they are sent.
    pub headers: Vec<(&'static str, String)>,
    /// Nothing of it is sent for `HEAD`.
    pub body: Bytes,
    /// How many bytes of the body are sent, and what comes then.
    pub cut: Option<(usize, Then)>,
    /// Wrapped into chunks, and without a length.
    pub chunked: bool,
}

/// What comes when a part of a body has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The end.
    Close,
    /// Nothing, and no end.
    Hang,
    /// The rest, byte by byte.
    Drip(Duration),
}

impl Reply {
    /// Nothing but a status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), cut: None, chunked: false }
    }

    /// With this header, instead of one of the same name.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Without this header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self
    }

    /// With this body, whatever was said of its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With no more than this many bytes of the body at once.
    #[must_use]
    pub fn cut(mut self, after: usize, then: Then) -> Self {
        self.cut = Some((after, then));
        self
    }

    /// In chunks, which tell no length.
    #[must_use]
    pub fn chunked(self) -> Self {
        Self { chunked: true, ..self.without("content-length") }
    }
}

/// What a good web server answers.
pub fn good(request: &Request, content: &Bytes, etag: Option<&str>) -> Reply {
    let base = |status| {
        let reply = Reply::new(status).with("accept-ranges", "bytes");
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
pub struct Server<S> {
    /// Where it listens.
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    held: Arc<AtomicU64>,
    running: JoinHandle<()>,
    subject: PhantomData<fn() -> S>,
}

impl<S: Subject> Server<S> {
    /// Answers with what `handler` makes of a request and the number of those before it.
    pub async fn start(handler: impl Fn(&Request, u64) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_behind(|stream| std::future::ready(Some(stream)), handler).await
    }

    /// The same behind what `accept` makes of a connection: TLS, for instance.
    pub async fn start_behind<A, F, C>(
        accept: A,
        handler: impl Fn(&Request, u64) -> Reply + Send + Sync + 'static,
    ) -> Self
    where
        A: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = Option<C>> + Send + 'static,
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (log, held) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let shared = (Arc::new(handler) as Arc<Handler>, log.clone(), held.clone());
        let running = tokio::spawn(async move {
            // What it serves ends with it.
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, log, held) = shared.clone();
                let accepted = accept(stream);
                serving.spawn(async move {
                    held.fetch_add(1, Ordering::Relaxed);
                    if let Some(stream) = accepted.await {
                        serve(stream, &*handler, &log).await;
                    }
                    held.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, log, held, running, subject: PhantomData }
    }

    /// A good server of `content`.
    pub async fn good(content: &Bytes) -> Self {
        let content = content.clone();
        Self::start(move |request, _| S::good(request, &content, Some("\"1\""))).await
    }

    /// A good server but for what `change` does to its answers.
    pub async fn bent(content: &Bytes, change: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> Self {
        let content = content.clone();
        Self::start(move |request, _| change(request, S::good(request, &content, Some("\"1\"")))).await
    }

    /// The URL that everything here is beneath, without a slash at its end.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A mount of it that waits for every try.
    pub fn mount(&self) -> S::Mount {
        S::mount(self.address, &quick())
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().clone()
    }

    /// How many connections it holds.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.running.abort();
    }
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
