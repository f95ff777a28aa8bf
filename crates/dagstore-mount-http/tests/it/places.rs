//! Which URLs a template takes, and which addresses it connects to.

use dagstore_mount::{Error, Mount, MountUrl};
use dagstore_mount_http::HttpBuilder;

use crate::support::{Reply, Server, content, location_of};

#[test]
fn locations_are_kept_as_they_are() {
    let template = HttpBuilder::https().build();
    let long = format!("//host.example/{}", "x".repeat(8000));
    for location in
        ["//host.example/a%20b", "//host.example/a%2Fb?c=d&e", "//HOST.example:443/", "//host.example/ü%3F", &long]
    {
        let mount = template.instantiate(location).unwrap();
        assert_eq!(mount.location(), location);
    }
    assert!(MountUrl::new("https", "//host.example/a%2Fb?c=d").is_ok());
}

#[test]
fn what_is_no_location_is_refused() {
    let https = HttpBuilder::https().build();
    for bad in ["", "//", "/a", "a", "host.example/a", "//host.example/a#b", "//ho st/", "//[::1/"] {
        assert!(matches!(https.instantiate(bad), Err(Error::BadUrl { .. })), "{bad}: {:?}", https.instantiate(bad));
    }
    let beneath = HttpBuilder::beneath("https://host.example/v1/").unwrap().build();
    for bad in ["", "/etc", "//evil.example/", "../v2/a", "%2e%2e/v2/a", "a/../../v2", "..\\v2", "a#b", "\\a"] {
        assert!(matches!(beneath.instantiate(bad), Err(Error::BadUrl { .. })), "{bad}: {:?}", beneath.instantiate(bad));
    }
    for good in ["a", "a/b?c", "https://evil.example/", "?a", "@evil.example", "a@b.car", ".a"] {
        beneath.instantiate(good).unwrap();
    }
    for base in [
        "https://host.example/v1",
        "ftp://host.example/",
        "https://host.example/?a=/",
        "x",
        "https://u:p@host.example/",
    ] {
        assert!(HttpBuilder::beneath(base).is_err(), "{base}");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let server = Server::good(&content(10)).await;
    let port = server.address.port();
    let template = HttpBuilder::http().build();
    let literal = template.at(&location_of(&server));
    assert!(matches!(literal, Err(Error::Refused { .. })), "{literal:?}");
    // A name is resolved when it is connected to.
    let named = template.at(&format!("//localhost:{port}/")).unwrap().stat().await;
    assert!(matches!(&named, Err(Error::Refused { why, .. }) if why.contains("public")), "{named:?}");
    assert!(server.requests().is_empty());
    let allowed = HttpBuilder::http().allow_private_addresses().build();
    assert_eq!(allowed.at(&format!("//localhost:{port}/")).unwrap().stat().await.unwrap().size, 10);
}

#[tokio::test]
async fn http_is_not_spoken_for_https() {
    let server = Server::good(&content(10)).await;
    let mount = HttpBuilder::https().allow_private_addresses().build().at(&location_of(&server)).unwrap();
    assert!(mount.stat().await.is_err());
    assert!(server.requests().iter().all(|request| request.method != "HEAD"));
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told() {
    for (status, is_missing) in [(404, true), (410, true), (401, false), (403, false), (204, false), (418, false)] {
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
