//! Stores and gateways that say what isn't so.

use dagstore_mount::Mount;

use crate::support::{Object, Server, content, is_bad, stream};

dagstore_mount_net::tests_of!(lying, Object);

#[tokio::test]
async fn a_word_of_how_an_object_was_sent_is_no_coding() {
    let server = Server::bent(&content(1000), |_, reply| reply.with("content-encoding", "aws-chunked")).await;
    let mount = server.mount();
    let stat = mount.stat().await.unwrap();
    assert_eq!(mount.read(100, 50, &stat).await.unwrap(), content(1000).slice(100..150));
}

#[tokio::test]
async fn what_object_store_can_not_read() {
    for (name, value) in [("last-modified", "yesterday"), ("last-modified", "\u{e4}"), ("etag", "\u{e4}")] {
        let server = Server::bent(&content(1000), move |_, reply| reply.with(name, value)).await;
        is_bad(stream(&server.mount(), 0, None).await, "can't be understood");
    }
}
