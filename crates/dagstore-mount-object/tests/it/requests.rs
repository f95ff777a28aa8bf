//! What requests carry: signatures and tokens of what the environment has at that moment.

use std::sync::Arc;

use dagstore_mount::{Error, Mount, Result, Stat};
use dagstore_mount_object::{Access, ObjectBuilder};
use parking_lot::Mutex;

use crate::support::{LOCATION, Request, Server, content, quick};

/// A stat on behalf of `A`, with these variables.
async fn asked(builder: ObjectBuilder, variables: &'static [(&str, &str)]) -> (Result<Stat>, Vec<Request>) {
    let server = Server::good(&content(10)).await;
    let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let template = quick(builder).endpoint(server.endpoint()).allow_http().secrets(find).build().unwrap();
    let told = template.at(LOCATION).unwrap().stat().await;
    (told, server.requests())
}

#[tokio::test]
async fn who_asks_for_nobody_signs_nothing() {
    for builder in [
        ObjectBuilder::s3(Access::Unsigned),
        ObjectBuilder::google(Access::Unsigned),
        ObjectBuilder::azure("account", Access::Unsigned),
    ] {
        let (told, requests) = asked(builder, &[("A_ACCESS_KEY_ID", "id"), ("_TOKEN", "x")]).await;
        told.unwrap();
        assert!(requests.iter().all(|request| request.header("authorization").is_none()), "{requests:?}");
    }
}

#[tokio::test]
async fn each_store_has_its_own_kind_of_credential() {
    let s3 = || ObjectBuilder::s3(Access::named("A")).region("eu-central-1");
    let azure = || ObjectBuilder::azure("account", Access::named("A"));
    let keys: &[_] = &[("A_ACCESS_KEY_ID", "id"), ("A_SECRET_ACCESS_KEY", "secret"), ("A_SESSION_TOKEN", "session")];
    let (told, requests) = asked(s3(), keys).await;
    told.unwrap();
    let authorization = requests[0].header("authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=id/"), "{authorization}");
    assert!(authorization.contains("/eu-central-1/s3/aws4_request"), "{authorization}");
    assert_eq!(requests[0].header("x-amz-security-token"), Some("session"));

    let (told, requests) = asked(ObjectBuilder::google(Access::named("A")), &[("A_TOKEN", "oauth")]).await;
    told.unwrap();
    assert_eq!(requests[0].header("authorization"), Some("Bearer oauth"));

    let (told, requests) = asked(azure(), &[("A_ACCESS_KEY", "c2VjcmV0")]).await;
    told.unwrap();
    assert!(requests[0].header("authorization").unwrap().starts_with("SharedKey account:"));
    let (told, requests) = asked(azure(), &[("A_SAS_TOKEN", "?sv=1&sig=a%2Fb")]).await;
    told.unwrap();
    assert_eq!(requests[0].path, "/cars/a/b.car?sv=1&sig=a%2Fb");
    let (told, requests) = asked(azure(), &[("A_TOKEN", "oauth")]).await;
    told.unwrap();
    assert_eq!(requests[0].header("authorization"), Some("Bearer oauth"));
}

#[tokio::test]
async fn what_is_missing_is_told_and_nothing_is_asked() {
    let s3 = || ObjectBuilder::s3(Access::named("A"));
    let azure = || ObjectBuilder::azure("account", Access::named("A"));
    for (builder, variables, wanted) in [
        (s3(), &[("A_SECRET_ACCESS_KEY", "canary")][..], "A_ACCESS_KEY_ID isn't set"),
        (s3(), &[("A_ACCESS_KEY_ID", "canary")], "A_SECRET_ACCESS_KEY isn't set"),
        (s3(), &[("A_ACCESS_KEY_ID", "canary\n"), ("A_SECRET_ACCESS_KEY", "canary")], "line break"),
        (s3(), &[("A_ACCESS_KEY_ID", "canary"), ("A_SECRET_ACCESS_KEY", "")], "A_SECRET_ACCESS_KEY"),
        (ObjectBuilder::google(Access::named("A")), &[], "A_TOKEN isn't set"),
        (azure(), &[], "none of its variables"),
        (azure(), &[("A_ACCESS_KEY", "canary!")], "Base64"),
        (azure(), &[("A_SAS_TOKEN", "canary")], "SAS"),
    ] {
        let (told, requests) = asked(builder, variables).await;
        let is_told = matches!(&told, Err(Error::NoCredential { place, name, why })
            if place.starts_with(LOCATION) && name == "A" && why.contains(wanted));
        assert!(is_told && requests.is_empty(), "{wanted}: {told:?}, {requests:?}");
        assert!(!format!("{told:?} {}", told.as_ref().unwrap_err()).contains("canary"), "{told:?}");
    }
}

#[tokio::test]
async fn a_credential_that_changes_is_the_new_one_at_once() {
    let server = Server::good(&content(10)).await;
    let token = Arc::new(Mutex::new("first"));
    let shared = token.clone();
    let builder = quick(ObjectBuilder::google(Access::named("A"))).endpoint(server.endpoint()).allow_http();
    let mount = builder.secrets(move |_| Some(shared.lock().to_string())).build().unwrap().at(LOCATION).unwrap();
    mount.stat().await.unwrap();
    *token.lock() = "second";
    mount.stat().await.unwrap();
    let sent: Vec<_> =
        server.requests().iter().map(|request| request.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, [Some("Bearer first".to_owned()), Some("Bearer second".to_owned())]);
}
