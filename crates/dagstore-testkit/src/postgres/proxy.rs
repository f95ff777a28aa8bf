//! A proxy between a store and its server, which cuts or holds what passes when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The message with which a transaction is committed, and the end of the answer to it.
const COMMIT: &[u8] = b"COMMIT\0";

/// What happens to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// All that comes goes on.
    Open,
    /// Cuts the connection when a commit comes, which the server never sees.
    CutBeforeCommit,
    /// Cuts the connection when a commit has been carried out, and its answer comes.
    CutBehindCommit,
    /// Cuts the connection when so many more bytes have come from clients; the rest of what came with them is lost.
    CutThere(usize),
    /// Cuts the connection when so many more bytes have come from the server.
    CutBack(usize),
    /// Cuts the client's connection when a commit comes, but keeps the server's open, and gives it the commit when it is
    /// told to.
    KeepCommit,
    /// Lets nothing through, without saying so to anybody.
    Silent,
}

/// A proxy on a port of its own. Everything ends with it.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens, on this machine.
    pub port: u16,
    way: watch::Sender<Way>,
    shared: Arc<Signals>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Signals {
    /// How many commits pass before one is waited for.
    passing: AtomicU64,
    /// How many connections were cut.
    cuts: AtomicU64,
    deliver: Notify,
    delivered: Notify,
}

impl Proxy {
    /// Stands before the server at this port.
    ///
    /// # Panics
    /// When there is no port left.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, shared) = (watch::Sender::new(Way::Open), Arc::new(Signals::default()));
        let (ways, signals) = (way.clone(), shared.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (ways, signals) = (ways.clone(), signals.clone());
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    pass(client, server, ways, signals).await;
                });
            }
        });
        Self { port, way, shared, accepting }
    }

    /// From now on, until told otherwise. The ways that wait for a commit or for bytes are [`Way::Open`] again behind it.
    pub fn set(&self, way: Way) {
        self.set_behind(0, way);
    }

    /// The same, for a way that waits for a commit: so many of them pass before.
    pub fn set_behind(&self, commits: u64, way: Way) {
        self.shared.passing.store(commits, Ordering::Release);
        self.way.send_replace(way);
    }

    /// How many connections were cut so far by the ways that wait for something.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Acquire)
    }

    /// Gives the server the commit that was kept, if it still listens.
    pub async fn deliver(&self) {
        self.shared.deliver.notify_one();
        self.shared.delivered.notified().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Signals {
    /// Counts a commit; whether it isn't the one that is waited for.
    fn passes(&self) -> bool {
        let counted = self.passing.fetch_update(Ordering::AcqRel, Ordering::Acquire, |passing| passing.checked_sub(1));
        counted.is_ok()
    }

    /// Counts a cut, behind which everything passes again.
    fn cut(&self, way: &watch::Sender<Way>) {
        way.send_replace(Way::Open);
        self.cuts.fetch_add(1, Ordering::AcqRel);
    }
}

async fn pass(client: TcpStream, server: TcpStream, way: watch::Sender<Way>, signals: Arc<Signals>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let cut = Arc::new(Notify::new());
    let there = up(from_client, to_server, way.clone(), signals.clone(), cut.clone());
    let back = down(from_server, to_client, way, signals);
    // The end of one direction is the end of both, but for a commit that is kept: then the client's is cut alone.
    let back = async {
        tokio::select! {
            () = back => {}
            () = cut.notified() => std::future::pending().await,
        }
    };
    tokio::select! { () = there => {}, () = back => {} }
}

/// From the client to the server.
async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: watch::Sender<Way>,
    signals: Arc<Signals>,
    cut: Arc<Notify>,
) {
    let mut seen = Seen::default();
    while let Some(bytes) = read(&mut from).await {
        let has_commit = seen.commit(&bytes);
        let now = opened(&way).await;
        match now {
            Way::CutBeforeCommit | Way::KeepCommit if has_commit && signals.passes() => {}
            Way::CutThere(left) => {
                let kept = left.min(bytes.len());
                if kept == bytes.len() {
                    way.send_replace(Way::CutThere(left - kept));
                } else {
                    let _gone = to.write_all(&bytes[..kept]).await;
                    signals.cut(&way);
                    return;
                }
            }
            Way::CutBeforeCommit if has_commit => {
                signals.cut(&way);
                return;
            }
            Way::KeepCommit if has_commit => {
                cut.notify_one();
                drop(from);
                signals.cut(&way);
                signals.deliver.notified().await;
                let _gone = to.write_all(&bytes).await;
                // Whatever the server makes of it, it has done so when it has closed or answered.
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                signals.delivered.notify_one();
                return;
            }
            _ => {}
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// From the server to the client.
async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: watch::Sender<Way>, signals: Arc<Signals>) {
    let mut seen = Seen::default();
    while let Some(bytes) = read(&mut from).await {
        let has_commit = seen.commit(&bytes);
        match opened(&way).await {
            Way::CutBehindCommit if has_commit && !signals.passes() => {
                signals.cut(&way);
                return;
            }
            Way::CutBack(left) => {
                let kept = left.min(bytes.len());
                if kept == bytes.len() {
                    way.send_replace(Way::CutBack(left - kept));
                } else {
                    let _gone = to.write_all(&bytes[..kept]).await;
                    signals.cut(&way);
                    return;
                }
            }
            _ => {}
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Waits while nothing is let through.
async fn opened(way: &watch::Sender<Way>) -> Way {
    let mut ways = way.subscribe();
    *ways.wait_for(|way| *way != Way::Silent).await.unwrap()
}

async fn read(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 64 * 1024];
    let length = from.read(&mut bytes).await.ok().filter(|length| *length > 0)?;
    bytes.truncate(length);
    Some(bytes)
}

/// Finds a commit also where it comes in two parts.
#[derive(Default)]
struct Seen(Vec<u8>);

impl Seen {
    fn commit(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        let found = self.0.windows(COMMIT.len()).any(|window| window == COMMIT);
        let kept = if found { 0 } else { self.0.len().min(COMMIT.len() - 1) };
        self.0.drain(..self.0.len() - kept);
        found
    }
}
