//! What is tried again, and how streams go on.
#![expect(missing_docs, reason = "the names say it")]

use dagstore_mount::{Error, Mount};

use super::{Reply, Request, Server, Subject, Then, content, quick, stream};

const SIZE: usize = 100_000;

pub async fn what_may_pass_is_tried_again<S: Subject>() {
    for status in [408, 429, 500, 502, 503, 504] {
        let served = content(100);
        let server = Server::<S>::start(move |request, number| match number {
            // An answer in the words of a store, which no other mount looks at.
            0 | 1 => Reply::new(status).body("<Error><Code>SlowDown</Code></Error>"),
            _ => S::good(request, &served, Some("\"1\"")),
        });
        let server = server.await;
        server.mount().stat().await.unwrap();
        assert_eq!(server.requests().len(), 3, "{status}");
    }
    let server = Server::<S>::start(|_, _| Reply::new(503)).await;
    let never = server.mount().stat().await;
    assert!(matches!(never, Err(Error::Unavailable { .. })), "{never:?}");
    assert_eq!(server.requests().len(), 3);
}

pub async fn a_server_that_wants_a_long_pause_is_left_alone<S: Subject>() {
    let server = Server::<S>::start(|_, _| Reply::new(429).with("retry-after", "3600")).await;
    let told = server.mount().stat().await;
    assert!(matches!(told, Err(Error::Unavailable { .. })), "{told:?}");
    assert_eq!(server.requests().len(), 1);
}

pub async fn a_stream_goes_on_where_it_broke<S: Subject>() {
    let served = content(SIZE);
    let server = Server::<S>::start(move |request, number| {
        let reply = S::good(request, &served, Some("\"1\""));
        if number < 2 { reply.cut(30_000, Then::Close) } else { reply }
    });
    let server = server.await;
    assert_eq!(stream(&server.mount(), 0, None).await.unwrap(), content(SIZE));
    let requests = server.requests();
    let ranges: Vec<_> = requests.iter().map(|request| request.range().map(|(first, _)| first)).collect();
    assert_eq!(ranges, [None, Some(30_000), Some(60_000)]);
    assert!(requests[1..].iter().all(|request| request.header("if-match") == Some("\"1\"")));
}

pub async fn a_stream_never_goes_on_with_another_content<S: Subject>() {
    let other = content(2 * SIZE).slice(SIZE..);
    let changed = broken::<S>(Some("\"1\""), move |request| S::good(request, &other, Some("\"2\""))).await;
    assert!(matches!(changed, Err(Error::SourceChanged { .. })), "{:?}", changed.map(|bytes| bytes.len()));
    // Without a strong validator nobody can tell, so it doesn't go on at all.
    for etag in [None, Some("W/\"1\"")] {
        let same = content(SIZE);
        let broken = broken::<S>(etag, move |request| S::good(request, &same, etag)).await;
        let is_told = matches!(broken, Err(Error::Truncated { at: 30_000, .. }));
        assert!(is_told, "{:?}", broken.map(|bytes| bytes.len()));
    }
}

pub async fn a_stream_that_breaks_again_and_again_ends<S: Subject>() {
    let served = content(SIZE);
    let server =
        Server::<S>::start(move |request, _| S::good(request, &served, Some("\"1\"")).cut(10, Then::Close)).await;
    let ended = stream(&server.mount(), 0, None).await;
    assert!(matches!(ended, Err(Error::Truncated { at: 30, .. })), "{:?}", ended.map(|bytes| bytes.len()));
}

pub async fn nobody_at_all<S: Subject>() {
    let address = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let told = S::mount(address, &quick()).stat().await;
    assert!(matches!(told, Err(Error::Unavailable { .. })), "{told:?}");
}

/// What counts as a whole download.
pub async fn a_download_that_is_too_short_is_an_error<S: Subject>() {
    for (chunked, has_validator) in [(false, true), (false, false), (true, true), (true, false)] {
        let content = content(1000);
        let server = Server::<S>::bent(&content, move |request, reply| {
            let reply = if has_validator { reply } else { reply.without("etag") };
            // A chunked answer ends as it should, with fewer bytes than were announced before.
            match (chunked && request.method == "GET", &reply.body) {
                (true, body) if body.len() > 10 => reply.clone().chunked().body(body.slice(..10)),
                (true, _) => reply.chunked(),
                _ => reply.cut(10, Then::Close),
            }
        });
        let server = server.await;
        let mount = server.mount();
        let announced = mount.stat().await.unwrap();
        assert_eq!(announced.size, 1000);
        let streamed = stream(&mount, 0, Some(&announced)).await.map(|bytes| bytes.len());
        let is_told = matches!(streamed, Err(Error::Truncated { size: 1000, .. } | Error::BadAnswer { .. }));
        assert!(is_told, "chunked {chunked}, validator {has_validator}: {streamed:?}");
        if has_validator {
            let read = mount.read(0, 1000, &announced).await.map(|bytes| bytes.len());
            assert!(matches!(read, Err(Error::Truncated { size: 1000, .. })), "chunked {chunked}: {read:?}");
        }
    }
}

/// Breaks off at first, and goes on with `then`.
async fn broken<S: Subject>(
    etag: Option<&'static str>,
    then: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> dagstore_mount::Result<Vec<u8>> {
    let served = content(SIZE);
    let server = Server::<S>::start(move |request, number| match number {
        0 => S::good(request, &served, etag).cut(30_000, Then::Close),
        _ => then(request),
    });
    stream(&server.await.mount(), 0, None).await
}
