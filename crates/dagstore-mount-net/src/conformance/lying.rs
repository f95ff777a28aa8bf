//! Servers that say what isn't so: one test for each way.
#![expect(missing_docs, reason = "the names say it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use dagstore_mount::{Error, Mount, Result, Stat};

use super::{Reply, Request, Server, Subject, Then, content, is_bad, stream};

/// What comes of a read in the middle, where answers to ranges are changed.
async fn read<S: Subject>(change: impl Fn(Reply) -> Reply + Send + Sync + 'static) -> Result<Bytes> {
    let content = content(1000);
    let server = Server::<S>::bent(&content, move |request, reply| match request.range() {
        Some(_) => change(reply),
        None => reply,
    });
    let server = server.await;
    let mount = server.mount();
    let stat = mount.stat().await.unwrap();
    mount.read(100, 50, &stat).await
}

/// What comes of a stream, where all answers are changed.
async fn streamed<S: Subject>(change: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> Result<Vec<u8>> {
    let server = Server::<S>::bent(&content(1000), change).await;
    stream(&server.mount(), 0, None).await
}

#[track_caller]
fn is_changed<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::SourceChanged { .. })), "{result:?}");
}

pub async fn the_whole_for_a_range<S: Subject>() {
    is_bad(read::<S>(|reply| Reply { status: 200, ..reply.without("content-range") }).await, "200");
}

pub async fn a_range_for_the_whole<S: Subject>() {
    let part = |_: &Request, reply: Reply| Reply { status: 206, ..reply.with("content-range", "bytes 0-999/1000") };
    is_bad(streamed::<S>(part).await, "206");
}

pub async fn another_range<S: Subject>() {
    for range in [
        "bytes 99-148/1000",
        "bytes 0-18446744073709551615/1000",
        "bytes 100-148/1000",
        "bytes 100-150/1000",
        "bytes 100-149/*",
        "100-149/1000",
        "bytes",
    ] {
        is_bad(read::<S>(move |reply| reply.with("content-range", range)).await, "Content-Range");
    }
    is_bad(read::<S>(|reply| reply.without("content-range")).await, "Content-Range");
    is_bad(
        read::<S>(|reply| reply.with("content-range", "bytes 100-149/1000").with("Content-Range", "x")).await,
        "Content-Range",
    );
}

pub async fn a_range_of_another_size<S: Subject>() {
    is_changed(read::<S>(|reply| reply.with("content-range", "bytes 100-149/1001")).await);
}

pub async fn a_range_that_is_said_not_to_be_there<S: Subject>() {
    let none = |size: &str| Reply::new(416).with("content-range", format!("bytes */{size}"));
    is_bad(read::<S>(move |_| none("1000")).await, "416");
    is_changed(read::<S>(move |_| none("10")).await);
}

pub async fn a_length_beside_the_range<S: Subject>() {
    for (length, body) in [("49", 49), ("51", 51)] {
        is_bad(
            read::<S>(move |reply| reply.with("content-length", length).body(content(body))).await,
            "Content-Length",
        );
    }
}

pub async fn a_body_that_is_too_short<S: Subject>() {
    for chunked in [false, true] {
        let cut = move |reply: Reply| if chunked { reply.chunked() } else { reply }.cut(20, Then::Close);
        let short = read::<S>(cut).await;
        assert!(matches!(short, Err(Error::Truncated { at: 120, size: 1000, .. })), "{short:?}");
    }
    let short = read::<S>(|reply| reply.chunked().body(content(49))).await;
    assert!(matches!(short, Err(Error::Truncated { at: 149, size: 1000, .. })), "{short:?}");
}

pub async fn a_body_that_is_too_long<S: Subject>() {
    is_bad(read::<S>(|reply| reply.chunked().body(content(51))).await, "more bytes");
}

pub async fn a_content_that_is_coded<S: Subject>() {
    is_bad(read::<S>(|reply| reply.with("content-encoding", "gzip")).await, "coded");
    is_bad(streamed::<S>(|_, reply| reply.with("content-encoding", "br")).await, "coded");
    let twice = |reply: Reply| reply.with("content-encoding", "identity").with("Content-Encoding", "gzip");
    is_bad(read::<S>(twice).await, "coded");
    read::<S>(|reply| reply.with("content-encoding", "identity")).await.unwrap();
}

pub async fn several_parts<S: Subject>() {
    is_bad(read::<S>(|reply| reply.with("content-type", "multipart/byteranges; boundary=x")).await, "parts");
    is_bad(streamed::<S>(|_, reply| reply.with("content-type", "Multipart/Byteranges; boundary=x")).await, "parts");
}

pub async fn no_size<S: Subject>() {
    is_bad(streamed::<S>(|_, reply| reply.chunked()).await, "size");
    is_bad(streamed::<S>(|_, reply| reply.without("content-length")).await, "size");
}

pub async fn a_range_of_nobody_knows_what<S: Subject>() {
    is_bad(read::<S>(|reply| reply.without("etag")).await, "ETag");
}

pub async fn another_content_in_a_range<S: Subject>() {
    is_changed(read::<S>(|reply| reply.with("etag", "\"2\"")).await);
    is_changed(read::<S>(|reply| reply.with("etag", "W/\"1\"")).await);
    is_changed(read::<S>(|_| Reply::new(412)).await);
    // Conditions that are ignored.
    is_changed(read::<S>(|reply| Reply { status: 200, ..reply.with("etag", "\"2\"").without("content-range") }).await);
}

pub async fn a_content_that_changes_between_two_ranges<S: Subject>() {
    let has_changed = Arc::new(AtomicBool::new(false));
    let shared = has_changed.clone();
    let (old, new) = (content(1000), content(2000).slice(1000..));
    let server = Server::<S>::start(move |request, _| {
        if shared.load(Ordering::Relaxed) {
            S::good(request, &new, Some("\"2\""))
        } else {
            S::good(request, &old, Some("\"1\""))
        }
    });
    let server = server.await;
    let mount = server.mount();
    let stat: Stat = mount.stat().await.unwrap();
    assert_eq!(mount.read(0, 500, &stat).await.unwrap(), content(500));
    has_changed.store(true, Ordering::Relaxed);
    is_changed(mount.read(500, 500, &stat).await);
    is_changed(stream(&mount, 500, Some(&stat)).await);
    is_changed(stream(&mount, 0, Some(&stat)).await);
    let mut ranges = server.requests().into_iter().filter(|request| request.range().is_some());
    assert!(ranges.all(|request| request.header("if-match") == Some("\"1\"")));
}

pub async fn every_request_asks_for_plain_bytes<S: Subject>() {
    let server = Server::<S>::good(&content(1000)).await;
    let stat = server.mount().stat().await.unwrap();
    stream(&server.mount(), 10, Some(&stat)).await.unwrap();
    let requests = server.requests();
    assert!(
        requests.len() >= 2 && requests.iter().all(|request| request.header("accept-encoding") == Some("identity"))
    );
}
