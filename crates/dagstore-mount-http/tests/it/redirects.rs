//! Where a mount may be sent, and with what.

use dagstore_mount::{Error, Mount};
use dagstore_mount_http::{Credential, HttpBuilder, HttpMount};

use crate::support::{Reply, Server, content, good, location_of, quick, stream};

/// A server that sends `/0` to `/1`, and so on up to `/last`.
async fn chain(last: usize) -> Server {
    let content = content(100);
    let server = Server::start(move |request, _| match request.path[1..].parse::<usize>() {
        Ok(step) if step < last => Reply::new(302).with("location", format!("/{}", step + 1)),
        _ => good(request, &content, Some("\"1\"")),
    });
    server.await
}

fn mount_at(server: &Server, path: &str) -> HttpMount {
    quick(HttpBuilder::http()).build().at(&format!("//{}{path}", server.address)).unwrap()
}

#[tokio::test]
async fn three_are_followed_and_no_more() {
    let server = chain(3).await;
    let mount = mount_at(&server, "/0");
    let stat = mount.stat().await.unwrap();
    assert_eq!(mount.read(10, 5, &stat).await.unwrap(), content(15).slice(10..));
    assert_eq!(stream(&mount, 0, None).await.unwrap(), content(100));
    let before = server.requests().len();
    let server = chain(4).await;
    let far = mount_at(&server, "/0").stat().await;
    assert!(matches!(&far, Err(Error::BadAnswer { why, .. }) if why.contains("more than 3")), "{far:?}");
    assert_eq!((before % 4, server.requests().len()), (0, 4));
}

#[tokio::test]
async fn nowhere_and_to_what_is_no_place() {
    for reply in [
        Reply::new(302),
        Reply::new(302).with("location", "http://"),
        Reply::new(304).with("location", "/x"),
        Reply::new(300).with("location", "/x"),
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let sent = server.mount().stat().await;
        assert!(matches!(sent, Err(Error::BadAnswer { .. })), "{sent:?}");
    }
}

#[tokio::test]
async fn every_hop_is_checked() {
    for (location, why) in [
        ("http://other.example/x", "isn't one of those"),
        ("ftp://127.0.0.1/x", "scheme ftp"),
        ("file:///etc/passwd", "scheme file"),
        ("http://user:password@127.0.0.1/x", "user information"),
    ] {
        let server = Server::start(move |_, _| Reply::new(307).with("location", location)).await;
        let builder = quick(HttpBuilder::http()).allow_hosts(["127.0.0.1"]);
        let sent = builder.build().at(&location_of(&server)).unwrap().stat().await;
        assert!(matches!(&sent, Err(Error::Refused { why: said, .. }) if said.contains(why)), "{location}: {sent:?}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_credential_goes_to_its_origin_only() {
    let content = content(100);
    let other = Server::good(&content).await;
    let elsewhere = format!("http://{}/there", other.address);
    let first = Server::start(move |request, _| match &*request.path {
        "/a" => Reply::new(307).with("location", "/b"),
        _ => Reply::new(307).with("location", elsewhere.clone()),
    });
    let first = first.await;
    let credential = Credential::bearer("TOKEN", &format!("http://{}", first.address)).unwrap();
    let builder = quick(HttpBuilder::http()).credential(credential).secrets(|name| Some(format!("value of {name}")));
    let mount = builder.build().at(&format!("//{}/a", first.address)).unwrap();
    assert_eq!(stream(&mount, 0, None).await.unwrap(), content);
    let sent =
        |server: &Server| server.requests().iter().map(|r| r.header("authorization").map(str::to_owned)).collect();
    let (to_first, to_other): (Vec<_>, Vec<_>) = (sent(&first), sent(&other));
    assert_eq!(to_first, [Some("Bearer value of TOKEN".to_owned()), Some("Bearer value of TOKEN".to_owned())]);
    assert_eq!(to_other, [None]);
}

#[tokio::test]
async fn a_credential_that_is_missing_is_named() {
    let server = Server::good(&content(1)).await;
    let credential = Credential::header("KEY", "x-key", &format!("http://{}", server.address)).unwrap();
    let with = |value: Option<&'static str>| {
        let builder = quick(HttpBuilder::http()).credential(credential.clone());
        builder.secrets(move |_| value.map(str::to_owned)).build().at(&location_of(&server)).unwrap()
    };
    let missing = with(None).stat().await;
    assert!(matches!(&missing, Err(Error::NoCredential { name, .. }) if name == "KEY"), "{missing:?}");
    let unfit = with(Some("canary\n")).stat().await;
    assert!(matches!(&unfit, Err(Error::NoCredential { .. })), "{unfit:?}");
    assert!(!format!("{unfit:?}").contains("canary"));
    assert!(server.requests().is_empty());
    with(Some("value")).stat().await.unwrap();
    assert_eq!(server.requests()[0].header("x-key"), Some("value"));
}
