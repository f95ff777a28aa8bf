//! Which URLs a template takes, and what it asks for then.

use dagstore_mount::{Error, MAX_URL_BYTES, Mount, MountUrl};
use dagstore_mount_object::{Access, ObjectBuilder};

use crate::support::{Server, content, s3};

/// Keys as they stand in URLs, and as S3 is asked for them.
const KEYS: [(&str, &str); 9] = [
    ("a/b.car", "a/b.car"),
    ("a%20b", "a%20b"),
    ("a%2Fb", "a/b"),
    ("%C3%BC/%E6%96%87", "%C3%BC/%E6%96%87"),
    ("a%3Fb%23c", "a%3Fb%23c"),
    ("100%25", "100%25"),
    ("%252F", "%252F"),
    ("a+b=c&d@e:f", "a%2Bb%3Dc%26d%40e%3Af"),
    ("a/.b/...", "a/.b/..."),
];

#[tokio::test]
async fn keys_are_asked_for_as_they_are() {
    let content = content(10);
    let server = Server::good(&content).await;
    let template = s3(&server, Access::Unsigned).build().unwrap();
    for (key, asked) in KEYS {
        let url = MountUrl::new("s3", &format!("//cars/{key}")).unwrap();
        let mount = template.instantiate(url.location()).unwrap();
        assert_eq!(mount.location(), url.location());
        assert_eq!(mount.stat().await.unwrap().size, 10);
        let requests = server.requests();
        assert_eq!(requests.last().unwrap().path, format!("/cars/{asked}"));
    }
}

/// As long as a URL may be, with all of it encoded: what becomes of it is three times as long where it is sent.
#[tokio::test]
async fn the_longest_key() {
    let server = Server::good(&content(10)).await;
    let template = s3(&server, Access::Unsigned).build().unwrap();
    for part in ["x", "~", "%25"] {
        let room = MAX_URL_BYTES - "s3://cars/".len();
        let url = MountUrl::new("s3", &format!("//cars/{}", part.repeat(room / part.len()))).unwrap();
        let mount = template.at(url.location()).unwrap();
        assert_eq!(mount.location(), url.location());
        assert_eq!(mount.stat().await.unwrap().size, 10);
    }
}

#[test]
fn what_is_no_location_is_refused() {
    let template = ObjectBuilder::s3(Access::Unsigned).build().unwrap();
    for bad in [
        "",
        "//",
        "cars/a",
        "/cars/a",
        "//cars",
        "//cars/",
        "///a",
        "//cars//a",
        "//cars/a/",
        "//cars/a//b",
        "//cars/a/../b",
        "//cars/./a",
        "//cars/%2E%2E/a",
        "//cars/a%2F",
        "//cars/a%00b",
        "//cars/a%0Ab",
        "//cars/%FF",
        "//cars/a%",
        "//cars/a%zz",
        "//cars/a?versionId=1",
        "//cars/a#b",
        "//ca:80/a",
        "//c%61rs/a",
        "//../a",
        "//a..b/a",
        "//.cars/a",
        "//host.example@cars/a",
        "//cars\\a/b",
    ] {
        let told = template.instantiate(bad);
        assert!(matches!(told, Err(Error::BadUrl { .. })), "{bad}: {told:?}");
    }
    let long = format!("//{}/a", "x".repeat(300));
    assert!(template.at(&long).is_err());
}

#[test]
fn only_buckets_that_are_allowed() {
    let template = ObjectBuilder::s3(Access::Unsigned).allow_buckets(["cars", "more"]).build().unwrap();
    for good in ["//cars/a", "//more/a"] {
        template.at(good).unwrap();
    }
    for bad in ["//others/a", "//CARS/a", "//cars.more/a"] {
        let told = template.at(bad);
        assert!(matches!(told, Err(Error::Refused { .. })), "{bad}: {told:?}");
    }
}

#[test]
fn endpoints_are_plain_urls_of_https() {
    let build = |endpoint: &str| ObjectBuilder::s3(Access::Unsigned).endpoint(endpoint).build();
    for bad in [
        "http://s3.example",
        "ftp://s3.example",
        "s3.example",
        "https://s3.example/?a",
        "https://s3.example/#a",
        "https://user:secret@s3.example",
        "",
    ] {
        let told = build(bad);
        assert!(matches!(told, Err(Error::BadUrl { .. })), "{bad}: {told:?}");
        assert!(!format!("{told:?}").contains("user:secret"));
    }
    build("https://s3.example/beneath/").unwrap();
    ObjectBuilder::s3(Access::Unsigned).endpoint("http://10.0.0.1:9000").allow_http().build().unwrap();
    assert!(ObjectBuilder::s3(Access::Unsigned).region("a\nb").build().is_err());
    assert!(ObjectBuilder::s3(Access::named("A B")).build().is_err());
    assert!(ObjectBuilder::azure("a.b/c", Access::Unsigned).build().is_err());
}

#[tokio::test]
async fn a_bucket_in_the_name_of_the_host() {
    let server = Server::good(&content(10)).await;
    let endpoint = format!("http://localhost:{}", server.address.port());
    let builder = s3(&server, Access::Unsigned).endpoint(endpoint).virtual_hosted();
    let mount = builder.build().unwrap().at("//cars/a").unwrap();
    // Systems that know no names below localhost don't find it; those that do are asked for nothing else.
    let told = mount.stat().await;
    assert!(matches!(told, Ok(_) | Err(Error::Unavailable { .. })), "{told:?}");
    let requests = server.requests();
    let host = format!("cars.localhost:{}", server.address.port());
    assert!(
        requests.iter().all(|request| request.path == "/a" && request.header("host") == Some(&host)),
        "{requests:?}"
    );
    // An address has no names below it.
    let mount = s3(&server, Access::Unsigned).virtual_hosted().build().unwrap().at("//cars/a").unwrap();
    let told = mount.stat().await;
    assert!(matches!(told, Err(Error::Refused { .. })), "{told:?}");
}
