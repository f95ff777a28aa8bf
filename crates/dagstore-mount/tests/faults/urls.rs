//! What is kept of a mount, and what it becomes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use dagstore_mount::{BytesMount, Capabilities, Error, FileMount, FsMount, Mount, MountUrl, Registry, Result, Stat};

use crate::whole;

/// A registry as another process makes it, and the mount of a text that was kept.
fn revived(text: &str) -> Result<Arc<dyn Mount>> {
    Registry::with_defaults().instantiate(&MountUrl::parse(text)?)
}

#[tokio::test]
async fn fault_14_a_file_is_found_again_by_its_url() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.car", "with space.car", "%2F.car", "ü?#.car"] {
        let path = directory.path().join(name);
        std::fs::write(&path, name).unwrap();
        let kept = Registry::with_defaults().represent(&FileMount::new(&path).unwrap()).unwrap().to_string();
        assert_eq!(whole(&*revived(&kept).unwrap(), None).await.unwrap(), name.as_bytes(), "{kept}");
    }
}

#[test]
fn fault_15_a_mount_that_could_not_come_back_is_refused() {
    let mut registry = Registry::new();
    let mount = BytesMount::new(&b"data"[..]).unwrap();
    assert!(matches!(registry.represent(&mount), Err(Error::UnregisteredType)));
    registry.register("one", BytesMount::template()).unwrap();
    registry.register("two", BytesMount::template()).unwrap();
    assert!(matches!(registry.represent(&mount), Err(Error::AmbiguousScheme { .. })));

    // An instance from elsewhere: its scheme is unknown here, or means something else.
    let mut other = Registry::new();
    other.register("three", BytesMount::template()).unwrap();
    other.register("one", FileMount::template()).unwrap();
    for url in ["three:data", "one:/data"] {
        let stranger = other.instantiate(&MountUrl::parse(url).unwrap()).unwrap();
        let represented = registry.represent(&*stranger);
        assert!(matches!(represented, Err(Error::UnregisteredType)), "{url}: {represented:?}");
    }
}

/// A mount with much in its template: an endpoint, and a list that is shared by whoever copies it without care.
#[derive(Debug, Clone)]
struct Service {
    endpoint: String,
    tags: Vec<String>,
    piece: String,
}

impl Service {
    fn template(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), tags: vec!["template".to_owned()], piece: String::new() }
    }
}

#[async_trait]
impl Mount for Service {
    fn capabilities(&self) -> Capabilities {
        Capabilities::REMOTE
    }

    fn location(&self) -> String {
        self.piece.clone()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(Self { piece: location.to_owned(), ..self.clone() }))
    }

    /// Tells which endpoint it would ask.
    async fn stat(&self) -> Result<Stat> {
        Ok(Stat::new(0, Some(format!("{} {} {:?}", self.endpoint, self.piece, self.tags))))
    }
}

async fn asks(mount: &dyn Mount) -> String {
    mount.stat().await.unwrap().validator.unwrap()
}

#[tokio::test]
async fn fault_41_instances_share_nothing_with_their_template() {
    let mut registry = Registry::new();
    registry.register("near", Service::template("http://near")).unwrap();
    registry.register("far", Service::template("http://far")).unwrap();

    let mut one = registry.template::<Service>("near").unwrap();
    let sibling = registry.template::<Service>("near").unwrap();
    one.endpoint = "http://changed".to_owned();
    one.tags.push("changed".to_owned());
    one.piece = "p".to_owned();
    assert_eq!((&*sibling.endpoint, sibling.tags.len(), &*sibling.piece), ("http://near", 1, ""));
    let template = registry.template::<Service>("near").unwrap();
    assert_eq!((&*template.endpoint, template.tags.len(), &*template.piece), ("http://near", 1, ""));
    assert_eq!((&*one.endpoint, one.tags.len()), ("http://changed", 2));

    // Two templates of one type keep their own endpoints, through the URL and back.
    for (scheme, wanted) in [("near", "http://near p [\"template\"]"), ("far", "http://far p [\"template\"]")] {
        let mut instance = registry.template::<Service>(scheme).unwrap();
        instance.piece = "p".to_owned();
        let url = registry.represent(&instance).unwrap();
        assert_eq!(url.as_str(), format!("{scheme}:p"));
        let revived = registry.instantiate(&url).unwrap();
        assert_eq!(asks(&*revived).await, wanted);
        assert_eq!(registry.represent(&*revived).unwrap(), url);
    }
    let bare = Service::template("http://near");
    assert!(matches!(registry.represent(&bare), Err(Error::AmbiguousScheme { .. })));
    assert!(matches!(registry.template::<FsMount>("near"), Err(Error::OtherType { .. })));
    assert!(matches!(registry.template::<Service>("nowhere"), Err(Error::UnknownScheme { .. })));
}

/// Counts how often it is asked where it is.
#[derive(Debug, Clone, Default)]
struct Asked(Arc<AtomicU64>);

#[async_trait]
impl Mount for Asked {
    fn capabilities(&self) -> Capabilities {
        Capabilities::REMOTE
    }

    fn location(&self) -> String {
        self.0.fetch_add(1, Ordering::Relaxed);
        "here".to_owned()
    }

    fn instantiate(&self, _location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(self.clone()))
    }

    async fn stat(&self) -> Result<Stat> {
        panic!("the source was touched")
    }
}

#[test]
fn fault_44_a_url_is_a_value_and_asked_for_once() {
    let asked = Asked::default();
    let mut registry = Registry::with_defaults();
    registry.register("asked", asked.clone()).unwrap();
    registry.represent(&asked).unwrap();
    assert_eq!(asked.0.load(Ordering::Relaxed), 1);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.car");
    std::fs::write(&path, "content").unwrap();
    registry.register("tree", FsMount::template(directory.path()).unwrap()).unwrap();
    let file = FileMount::new(&path).unwrap();
    let in_tree = registry.template::<FsMount>("tree").unwrap().try_map(|template| template.at("a.car")).unwrap();
    let before = (registry.represent(&file).unwrap(), registry.represent(&in_tree).unwrap());
    drop(directory);
    assert_eq!((registry.represent(&file).unwrap(), registry.represent(&in_tree).unwrap()), before);
    assert_eq!(before.1.as_str(), "tree:a.car");
}

#[test]
fn fault_38_a_bad_url_is_shown_without_its_secrets() {
    for bad in [
        "https://user:canary@host/a b",
        "https://host/?sig=canary b",
        &format!("https://u:canary{}@h/ ", "x".repeat(99)),
    ] {
        let error = MountUrl::parse(bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}
