//! What counts as a whole download.

use dagstore_mount::{Error, Mount};

use crate::support::{Server, Then, content, stream};

#[tokio::test]
async fn fault_18_a_download_that_is_too_short_is_an_error() {
    for chunked in [false, true] {
        for has_validator in [true, false] {
            let content = content(1000);
            let server = Server::bent(&content, move |request, reply| {
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
}
