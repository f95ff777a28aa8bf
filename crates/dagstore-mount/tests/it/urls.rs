//! Whatever can be in a name survives the way into a URL and back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dagstore_mount::{BytesMount, FileMount, FsMount, MAX_BYTES, Mount, MountUrl, Registry};
use proptest::prelude::*;

/// Names with what is hard about names: spaces, letters of all sorts, escapes, delimiters, bytes that are no text, length.
fn names() -> impl Strategy<Value = OsString> {
    let hard =
        prop::sample::select(vec!["%2F", "%", "%00", "?", "#", " ", "ü", "🚢", "..", "a:b", "&", "\\", "@", "+", "\n"]);
    let piece = prop_oneof![
        hard.prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec((1_u8..).prop_filter("a slash ends a name", |byte| *byte != b'/'), 1..20),
        ".{1,10}".prop_map(|text| text.replace(['/', '\0'], "-").into_bytes()),
    ];
    let name = prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat());
    let name = name.prop_filter("these are no names", |name| !matches!(&name[..], b"." | b".."));
    name.prop_map(OsString::from_vec)
}

fn paths() -> impl Strategy<Value = PathBuf> {
    prop_oneof![9 => prop::collection::vec(names(), 1..6), 1 => prop::collection::vec(names(), 30..40)]
        .prop_map(|names| names.into_iter().collect())
}

fn registry() -> Registry {
    let mut registry = Registry::with_defaults();
    registry.register("pieces", FsMount::template("/srv/pieces").unwrap()).unwrap();
    registry
}

/// Through the text, as it is kept, to the mount, and back.
fn comes_back(mount: &dyn Mount) -> String {
    let registry = registry();
    let url = registry.represent(mount).unwrap();
    let text = url.to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    let revived = registry.instantiate(&MountUrl::parse(&text).unwrap()).unwrap();
    assert_eq!(revived.location(), mount.location());
    assert_eq!(registry.represent(&*revived).unwrap(), url);
    text
}

proptest! {
    #[test]
    fn of_files(path in paths()) {
        let path = Path::new("/").join(path);
        let mount = FileMount::new(&path).unwrap();
        comes_back(&mount);
        // The path itself, not only its spelling.
        let template = registry().template::<FileMount>("file").unwrap();
        let location = template.instantiate(&mount.location()).unwrap().location();
        let bytes: Vec<u8> = percent_encoding::percent_decode_str(&location[2..]).collect();
        prop_assert_eq!(OsString::from_vec(bytes), path.into_os_string());
    }

    #[test]
    fn of_files_in_trees(path in paths()) {
        let template = registry().template::<FsMount>("pieces").unwrap();
        let mount = template.try_map(|template| template.at(&path)).unwrap();
        prop_assert_eq!(mount.relative(), &path);
        let text = comes_back(&mount);
        prop_assert!(text.starts_with("pieces:"));
        let bytes: Vec<u8> = percent_encoding::percent_decode_str(&text["pieces:".len()..]).collect();
        prop_assert_eq!(OsString::from_vec(bytes), path.into_os_string());
    }

    #[test]
    fn of_bytes(data in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), prop::collection::vec(any::<u8>(), MAX_BYTES)]) {
        comes_back(&BytesMount::new(data).unwrap());
    }

    /// What is no URL of a mount is an error, and what is one comes back as it is.
    #[test]
    fn of_anything(text in "(file|pieces|bytes|x)?:?(//)?.{0,60}") {
        if let Ok(url) = MountUrl::parse(&text) {
            prop_assert_eq!(url.as_str(), &text);
            if let Ok(mount) = registry().instantiate(&url) {
                comes_back(&*mount);
            }
        }
    }
}
