//! A web server on this machine that knows ranges and `ETag`s, counts what it sends, and stops where it is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A server with files. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Arc<Vec<u8>>>,
    /// Each request's head, in lines.
    requests: Vec<String>,
    /// How many bytes of bodies were sent.
    sent: u64,
    /// Bodies go no further than to this place in their files.
    stops_at: Option<u64>,
    /// Without this header and its value nothing is given.
    wants: Option<(String, String)>,
    is_gone: bool,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let serving = shared.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if serving.lock().is_gone {
                    return;
                }
                let serving = serving.clone();
                // A client that goes away ends it.
                std::thread::spawn(move || serve(stream, &serving));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) {
        self.shared.lock().files.insert(path.to_owned(), Arc::new(bytes));
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends no file further than to this place, until it is told otherwise.
    pub(crate) fn stop_at(&self, place: Option<u64>) {
        self.shared.lock().stops_at = place;
        self.shared.changed.notify_all();
    }

    pub(crate) fn want(&self, header: &str, value: &str) {
        self.shared.lock().wants = Some((header.to_lowercase(), value.to_owned()));
    }

    /// How many bytes of bodies were sent, counted anew from now on.
    pub(crate) fn take_sent(&self) -> u64 {
        std::mem::take(&mut self.shared.lock().sent)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.shared.lock().sent
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }
}

impl Drop for Server {
    /// Nobody answers at the address any more, and who is being answered isn't any longer.
    fn drop(&mut self) {
        self.shared.lock().is_gone = true;
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a body may go on from `at`; waits where that is nowhere, and gives nothing where the server is gone.
    fn room(&self, at: u64, end: u64) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.is_gone {
                return None;
            }
            let until = state.stops_at.map_or(end, |place| place.min(end));
            if until > at {
                let room = (until - at).min(64 * 1024);
                state.sent += room;
                return Some(room);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    loop {
        let mut head = Vec::new();
        for line in lines.by_ref() {
            let line = line.ok()?;
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let request = head.first()?.clone();
        shared.lock().requests.push(head.join("\n"));
        answer(&stream, shared, &request, &headers(&head[1..]))?;
    }
}

fn headers(lines: &[String]) -> HashMap<String, String> {
    let split = lines.iter().filter_map(|line| line.split_once(": "));
    split.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect()
}

fn answer(mut stream: &TcpStream, shared: &Shared, request: &str, headers: &HashMap<String, String>) -> Option<()> {
    let mut words = request.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let (file, wants) = {
        let state = shared.lock();
        (state.files.get(path).cloned(), state.wants.clone())
    };
    let is_allowed = wants.is_none_or(|(name, value)| headers.get(&name) == Some(&value));
    let (status, file) = match file {
        _ if !is_allowed => ("403 Forbidden", None),
        None => ("404 Not Found", None),
        Some(file) => ("200 OK", Some(file)),
    };
    let Some(file) = file else {
        return write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").ok();
    };
    let size = file.len() as u64;
    let range = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let (first, end) = match range {
        Some((first, last)) => (first.parse().ok()?, last.parse::<u64>().map_or(size, |last| (last + 1).min(size))),
        None => (0, size),
    };
    let status = if range.is_some() { "206 Partial Content" } else { status };
    let place = range.map_or_else(String::new, |_| format!("content-range: bytes {first}-{}/{size}\r\n", end - 1));
    let length = end - first;
    let head = format!(
        "HTTP/1.1 {status}\r\netag: \"{path}\"\r\naccept-ranges: bytes\r\ncontent-length: {length}\r\n{place}\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    if method == "HEAD" {
        return Some(());
    }
    let mut at = first;
    while at < end {
        let room = shared.room(at, end)?;
        let piece = usize::try_from(at).ok()?..usize::try_from(at + room).ok()?;
        stream.write_all(&file[piece]).ok()?;
        at += room;
    }
    Some(())
}
