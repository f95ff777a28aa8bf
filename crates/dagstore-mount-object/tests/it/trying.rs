//! What is tried again, and how streams go on.

use dagstore_mount::{Error, Mount};
use dagstore_mount_object::{Access, ObjectBuilder};

use crate::support::{LOCATION, Reply, Request, Server, Then, content, good, quick, stream};

const SIZE: usize = 100_000;

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let served = content(100);
        let server = Server::start(move |request, number| match number {
            0 | 1 => Reply::new(status).body("<Error><Code>SlowDown</Code></Error>"),
            _ => good(request, &served, Some("\"1\"")),
        });
        let server = server.await;
        server.mount().stat().await.unwrap();
        assert_eq!(server.requests().len(), 3, "{status}");
    }
    let server = Server::start(|_, _| Reply::new(503)).await;
    let never = server.mount().stat().await;
    assert!(matches!(never, Err(Error::Unavailable { .. })), "{never:?}");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_server_that_wants_a_long_pause_is_left_alone() {
    let server = Server::start(|_, _| Reply::new(429).with("retry-after", "3600")).await;
    let told = server.mount().stat().await;
    assert!(matches!(told, Err(Error::Unavailable { .. })), "{told:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_broke() {
    let served = content(SIZE);
    let server = Server::start(move |request, number| {
        let reply = good(request, &served, Some("\"1\""));
        if number < 2 { reply.cut(30_000, Then::Close) } else { reply }
    });
    let server = server.await;
    assert_eq!(stream(&server.mount(), 0, None).await.unwrap(), content(SIZE));
    let requests = server.requests();
    let ranges: Vec<_> = requests.iter().map(|request| request.range().map(|(first, _)| first)).collect();
    assert_eq!(ranges, [None, Some(30_000), Some(60_000)]);
    assert!(requests[1..].iter().all(|request| request.header("if-match") == Some("\"1\"")));
}

/// Breaks off at first, and goes on with `then`.
async fn broken(
    etag: Option<&'static str>,
    then: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> dagstore_mount::Result<Vec<u8>> {
    let served = content(SIZE);
    let server = Server::start(move |request, number| match number {
        0 => good(request, &served, etag).cut(30_000, Then::Close),
        _ => then(request),
    });
    stream(&server.await.mount(), 0, None).await
}

#[tokio::test]
async fn a_stream_never_goes_on_with_another_content() {
    let other = content(2 * SIZE).slice(SIZE..);
    let changed = broken(Some("\"1\""), move |request| good(request, &other, Some("\"2\""))).await;
    assert!(matches!(changed, Err(Error::SourceChanged { .. })), "{:?}", changed.map(|bytes| bytes.len()));
    // Without a strong validator nobody can tell, so it doesn't go on at all.
    for etag in [None, Some("W/\"1\"")] {
        let same = content(SIZE);
        let broken = broken(etag, move |request| good(request, &same, etag)).await;
        let is_told = matches!(broken, Err(Error::Truncated { at: 30_000, .. }));
        assert!(is_told, "{:?}", broken.map(|bytes| bytes.len()));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_again_and_again_ends() {
    let served = content(SIZE);
    let server = Server::start(move |request, _| good(request, &served, Some("\"1\"")).cut(10, Then::Close)).await;
    let ended = stream(&server.mount(), 0, None).await;
    assert!(matches!(ended, Err(Error::Truncated { at: 30, .. })), "{:?}", ended.map(|bytes| bytes.len()));
}

#[tokio::test]
async fn nobody_at_all() {
    let endpoint = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let builder = quick(ObjectBuilder::s3(Access::Unsigned)).endpoint(endpoint).allow_http();
    let told = builder.build().unwrap().at(LOCATION).unwrap().stat().await;
    assert!(matches!(told, Err(Error::Unavailable { .. })), "{told:?}");
}
