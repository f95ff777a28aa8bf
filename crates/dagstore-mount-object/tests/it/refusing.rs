//! Stores that don't give what is asked for, or send it elsewhere.

use dagstore_mount::{Error, Mount};
use dagstore_mount_object::Access;

use crate::support::{LOCATION, Reply, Server, content, s3, stream};

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told() {
    for (status, is_missing) in [(404, true), (410, true), (400, false), (401, false), (403, false), (204, false)] {
        let server = Server::start(move |_, _| Reply::new(status).with("content-length", "0")).await;
        let told = server.mount().stat().await;
        let is_as_it_should = match &told {
            Err(Error::NotFound { .. }) => is_missing,
            Err(Error::Refused { why, .. }) => !is_missing && why.contains(&status.to_string()),
            _ => false,
        };
        assert!(is_as_it_should, "{status}: {told:?}");
        assert_eq!(server.requests().len(), 1, "{status} is no reason to try again");
    }
}

#[tokio::test]
async fn the_stores_own_word_is_told_and_no_other() {
    for (body, told) in [
        ("<Error><Code>AccessDenied</Code><Message>no</Message></Error>", "(AccessDenied)"),
        ("<Error><Code>SignatureDoesNotMatch</Code></Error>", "(SignatureDoesNotMatch)"),
        ("<Error><Code>canary</Code></Error>", "403"),
        ("canary", "403"),
    ] {
        let server = Server::start(move |_, _| Reply::new(403).body(body)).await;
        let error = stream(&server.mount(), 0, None).await.unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("canary"), "{error}");
        assert!(error.contains(&format!("{LOCATION} at {}", server.endpoint())), "{error}");
    }
}

/// What explains an error isn't kept, however long it is.
#[tokio::test]
async fn an_endless_explanation() {
    let server = Server::start(|_, _| Reply::new(403).body(vec![b'x'; 64 << 20])).await;
    let told = stream(&server.mount(), 0, None).await;
    assert!(matches!(told, Err(Error::Refused { .. })), "{:?}", told.map(|read| read.len()));
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let elsewhere = Server::good(&content(10)).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/cars/a/b.car", elsewhere.endpoint());
        let server = Server::start(move |_, _| Reply::new(status).with("location", &*location)).await;
        let secrets = |_: &str| Some("value".to_owned());
        let template = s3(&server, Access::named("ARCHIVE")).secrets(secrets).build().unwrap();
        let mount = template.at(LOCATION).unwrap();
        for told in [mount.stat().await.err(), stream(&mount, 0, None).await.err()] {
            let is_told = matches!(&told, Some(Error::Refused { why, .. }) if why.contains("endpoint"));
            assert!(is_told, "{told:?}");
        }
        assert_eq!(server.requests().len(), 2);
    }
    assert!(
        elsewhere.requests().is_empty(),
        "somebody was sent elsewhere, with all that was sent: {:?}",
        elsewhere.requests()
    );
}
