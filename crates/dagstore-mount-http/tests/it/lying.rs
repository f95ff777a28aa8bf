//! Servers that say what isn't so.

use dagstore_mount::Mount;

use crate::support::{Http, Server, Then, content, good, is_bad, stream};

dagstore_mount_net::tests_of!(lying, Http);

#[tokio::test]
async fn the_coding_of_a_content_is_told() {
    for coding in ["gzip", "br"] {
        let server = Server::bent(&content(10), move |_, reply| reply.with("content-encoding", coding)).await;
        is_bad(stream(&server.mount(), 0, None).await, coding);
    }
}

#[tokio::test]
async fn ranges_are_asked_for_under_both_conditions() {
    let served = content(1000);
    let server = Server::start(move |request, number| {
        let reply = good(request, &served, Some("\"1\""));
        if number == 0 { reply.cut(500, Then::Close) } else { reply }
    });
    let server = server.await;
    let mount = server.mount();
    assert_eq!(stream(&mount, 0, None).await.unwrap(), content(1000));
    let stat = mount.stat().await.unwrap();
    mount.read(500, 500, &stat).await.unwrap();
    stream(&mount, 500, Some(&stat)).await.unwrap();
    let ranges: Vec<_> = server.requests().into_iter().filter(|request| request.range().is_some()).collect();
    assert_eq!(ranges.len(), 3);
    for name in ["if-match", "if-range"] {
        assert!(ranges.iter().all(|request| request.header(name) == Some("\"1\"")), "{name}: {ranges:?}");
    }
}
