//! The target `mount-url`: any bytes as a mount's URL, as a path, and as the data of a mount.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dagstore_mount::{BytesMount, Error, FileMount, MAX_BYTES, MAX_URL_BYTES, Mount, MountUrl, Registry};
use futures_util::FutureExt;

/// An input is a URL. One that is taken is kept byte for byte, and its mount has a URL that makes the same mount again. The bytes
/// come back as a path and as data, too.
pub fn mount_url(input: &[u8]) {
    let registry = Registry::with_defaults();
    if let Ok(text) = std::str::from_utf8(input) {
        url(&registry, text);
    }
    path(&registry, input);
    data(&registry, input);
}

fn url(registry: &Registry, text: &str) {
    let url = match MountUrl::parse(text) {
        Ok(url) => url,
        Err(error) => {
            assert!(error.to_string().len() < 2_000, "an error repeats a long URL");
            return;
        }
    };
    assert_eq!(url.as_str(), text);
    assert_eq!(format!("{}:{}", url.scheme(), url.location()), text);
    assert_eq!(MountUrl::new(url.scheme(), url.location()).ok().as_ref(), Some(&url));
    let made = registry.instantiate(&url);
    assert_eq!(registry.check(text).is_err(), matches!(made, Err(Error::UnknownScheme { .. })));
    if let Ok(mount) = made {
        let own = comes_back(registry, &*mount);
        assert!(own.is_none_or(|own| own.scheme() == url.scheme()));
    }
}

/// The URL of a mount makes the same mount again; `None` where the URL would be too long.
fn comes_back(registry: &Registry, mount: &dyn Mount) -> Option<MountUrl> {
    let location = mount.location();
    let url = match registry.represent(mount) {
        Ok(url) => url,
        Err(Error::BadUrl { .. }) if location.len() > MAX_URL_BYTES - "bytes:".len() => return None,
        Err(error) => panic!("a mount without a URL: {error:?}"),
    };
    assert_eq!(url.location(), location);
    let again = registry.instantiate(&url).expect("it is a mount's own URL");
    assert_eq!(again.location(), location);
    assert_eq!(registry.represent(&*again).ok().as_ref(), Some(&url));
    Some(url)
}

fn path(registry: &Registry, input: &[u8]) {
    let Ok(mount) = FileMount::new(Path::new("/").join(OsStr::from_bytes(input))) else { return };
    if !mount.path().as_os_str().as_bytes().contains(&0) {
        comes_back(registry, &mount);
    }
}

fn data(registry: &Registry, input: &[u8]) {
    let Ok(mount) = BytesMount::new(input.to_vec()) else {
        assert!(input.len() > MAX_BYTES);
        return;
    };
    let url = comes_back(registry, &mount).expect("as much fits into a URL");
    let again = registry.instantiate(&url).expect("it is a mount's own URL");
    let opened = again.open().now_or_never().expect("nothing to wait for").expect("it is in memory");
    assert_eq!(opened.reader.bytes().map(|bytes| &bytes[..]), Some(input));
}
