//! Objects that have to be brought from a cold tier first.

use dagstore_mount::{Error, Mount};

use crate::support::{Reply, Server, content, stream};

#[tokio::test]
async fn an_object_in_a_cold_tier_is_not_ready() {
    for (name, value, more, is_ready) in [
        ("x-amz-storage-class", "GLACIER", None, false),
        ("x-amz-storage-class", "DEEP_ARCHIVE", None, false),
        ("x-amz-storage-class", "GLACIER", Some("ongoing-request=\"true\""), false),
        ("x-amz-storage-class", "GLACIER", Some("ongoing-request=\"false\", expiry-date=\"Fri\""), true),
        ("x-amz-storage-class", "GLACIER_IR", None, true),
        ("x-amz-storage-class", "STANDARD_IA", None, true),
        ("x-amz-archive-status", "DEEP_ARCHIVE_ACCESS", None, false),
        ("x-ms-access-tier", "Archive", None, false),
        ("x-ms-access-tier", "Cool", None, true),
    ] {
        let content = content(10);
        let server = Server::bent(&content, move |_, reply| match more {
            Some(more) => reply.with("x-amz-restore", more).with(name, value),
            None => reply.with(name, value),
        });
        let stat = server.await.mount().stat().await.unwrap();
        assert_eq!(stat.ready, is_ready, "{name}: {value}, {more:?}");
    }
}

#[tokio::test]
async fn reading_a_cold_object_says_that_it_is_cold() {
    for by_header in [false, true] {
        let content = content(10);
        let server = Server::bent(&content, move |request, reply| match (&*request.method, by_header) {
            ("GET", true) => Reply::new(409).with("x-ms-error-code", "BlobArchived"),
            ("GET", false) => Reply::new(403).body("<Error><Code>InvalidObjectState</Code></Error>"),
            _ => reply,
        });
        let server = server.await;
        let mount = server.mount();
        let stat = mount.stat().await.unwrap();
        for told in [stream(&mount, 0, None).await.err(), mount.read(0, 5, &stat).await.err()] {
            let is_told = matches!(&told, Some(Error::Refused { why, .. }) if why.contains("restored"));
            assert!(is_told, "{told:?}");
        }
        assert_eq!(server.requests().len(), 3, "it is asked for again");
    }
}
