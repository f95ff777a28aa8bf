//! The mount against a real store: `SeaweedFS`, where it is installed.

use dagstore_mount::conformance::{self, Source};
use dagstore_mount::{Error, Mount, MountUrl};
use dagstore_mount_object::Access;

use crate::support::weed::Weed;
use crate::support::{LOCATION, content, stream};

#[tokio::test]
async fn seaweedfs_is_a_good_store() {
    let Some(weed) = Weed::start().await else {
        let why = "there is no SeaweedFS; cargo xtask setup fetches it";
        return dagstore_testkit::skipped("seaweedfs_is_a_good_store", why);
    };
    let template = weed.builder(true).build().unwrap();
    for size in [0, 1, 1_000_000] {
        let content = content(size);
        weed.serve(Some(content.clone())).await;
        let mount = template.at(LOCATION).unwrap();
        assert!(!mount.stat().await.unwrap().sequential_only);
        conformance::check(&template, &mount, &content).await;
    }
    conformance::check_source(&weed).await;

    // Its own idea of what is signed and encoded.
    for (number, (key, encoded)) in KEYS.into_iter().enumerate() {
        let content = content(100 + number);
        weed.put(key, content.clone()).await;
        let url = MountUrl::new("s3", &format!("//cars/{encoded}")).unwrap();
        let read = stream(&template.at(url.location()).unwrap(), 0, None).await;
        assert!(read.as_ref().is_ok_and(|read| *read == content), "{key}: {:?}", read.map(|read| read.len()));
    }

    weed.serve(Some(content(10))).await;
    let missing = template.at("//cars/no/such.car").unwrap().stat().await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    let missing = stream(&template.at("//nobodys/a.car").unwrap(), 0, None).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    let wrong = weed.builder(false).build().unwrap();
    let unsigned = weed.builder(true).access(Access::Unsigned).build().unwrap();
    for (template, told) in [(wrong, "SignatureDoesNotMatch"), (unsigned, "AccessDenied")] {
        let refused = stream(&template.at(LOCATION).unwrap(), 0, None).await;
        let is_told = matches!(&refused, Err(Error::Refused { why, .. }) if why.contains(told));
        assert!(is_told, "{told}: {refused:?}");
    }
}

/// Keys, and how they stand in a URL.
const KEYS: [(&str, &str); 6] = [
    ("with space", "with%20space"),
    ("\u{fc}/\u{6587}", "%C3%BC/%E6%96%87"),
    ("question?mark#hash", "question%3Fmark%23hash"),
    ("100%", "100%25"),
    ("%2F", "%252F"),
    ("a+b=c&d@e:f~g(h)'i!", "a+b=c&d@e:f~g(h)'i!"),
];
