//! Templates by scheme.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::from_template::Revived;
use crate::url::{is_scheme, shown};
use crate::{BytesMount, Error, FileMount, FromTemplate, Mount, MountUrl, Result};

/// The templates of a store, one per URL scheme. The same Rust type may stand under several schemes.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    templates: BTreeMap<Arc<str>, Arc<dyn Mount>>,
}

impl Registry {
    /// A registry without templates.
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry with the mounts that need no configuration: `file` and `bytes`.
    pub fn with_defaults() -> Self {
        let mut registry = Self::new();
        registry.templates.insert("file".into(), Arc::new(FileMount::template()));
        registry.templates.insert("bytes".into(), Arc::new(BytesMount::template()));
        registry
    }

    /// Registers `template` for the URLs of `scheme`.
    ///
    /// # Errors
    /// [`Error::DuplicateScheme`]; [`Error::BadUrl`] when `scheme` can't be one.
    pub fn register(&mut self, scheme: &str, template: impl Mount) -> Result<()> {
        if self.templates.contains_key(scheme) {
            return Err(Error::DuplicateScheme { scheme: scheme.to_owned() });
        }
        self.replace(scheme, template)
    }

    /// Registers `template` for the URLs of `scheme`, in place of what was registered.
    ///
    /// # Errors
    /// [`Error::BadUrl`] when `scheme` can't be one.
    pub fn replace(&mut self, scheme: &str, template: impl Mount) -> Result<()> {
        if !is_scheme(scheme) {
            return Err(Error::BadUrl { url: shown(scheme), why: "it can't be a scheme".to_owned() });
        }
        self.templates.insert(scheme.into(), Arc::new(template));
        Ok(())
    }

    /// The schemes, in alphabetical order.
    pub fn schemes(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(|scheme| &**scheme)
    }

    /// Checks that there is a template for the scheme of `url`, without a look at the rest: much cheaper than making the mount.
    ///
    /// # Errors
    /// [`Error::UnknownScheme`]; [`Error::BadUrl`] where `url` has no scheme.
    pub fn check(&self, url: &str) -> Result<()> {
        match url.split_once(':') {
            Some((scheme, _)) => self.find(scheme).map(|_| ()),
            // Tells what is wrong with it.
            None => MountUrl::parse(url).map(|_| ()),
        }
    }

    /// A copy of the template of `scheme`, to make an instance of. Changing it changes neither the template nor other
    /// copies, and [`represent`](Self::represent) knows where it is from.
    ///
    /// # Errors
    /// [`Error::UnknownScheme`]; [`Error::OtherType`] when the template is no `T`.
    pub fn template<T: Mount + Clone>(&self, scheme: &str) -> Result<FromTemplate<T>> {
        let (scheme, template) = self.find(scheme)?;
        let template: &dyn Any = &**template;
        let wanted = std::any::type_name::<T>();
        let other_type = || Error::OtherType { scheme: scheme.to_string(), wanted };
        Ok(FromTemplate::new(scheme, template.downcast_ref::<T>().ok_or_else(other_type)?.clone()))
    }

    /// Makes the mount of a URL. It remembers the scheme.
    ///
    /// # Errors
    /// [`Error::UnknownScheme`]; [`Error::BadUrl`] when the scheme's template doesn't understand the location.
    pub fn instantiate(&self, url: &MountUrl) -> Result<Arc<dyn Mount>> {
        let (scheme, template) = self.find(url.scheme())?;
        let mount = template.instantiate(url.location())?;
        Ok(Arc::new(Revived { scheme: scheme.clone(), template: type_of(&**template), mount }))
    }

    fn find(&self, scheme: &str) -> Result<(&Arc<str>, &Arc<dyn Mount>)> {
        self.templates.get_key_value(scheme).ok_or_else(|| Error::UnknownScheme {
            scheme: scheme.to_owned(),
            known: self.schemes().collect::<Vec<_>>().join(", "),
        })
    }

    /// The URL of a mount. One that this registry has made, of a [`template`](Self::template) or of a URL, has the scheme
    /// that it was made for. The type of any other must be registered under exactly one scheme, or nobody could tell which
    /// template revives it. The mount is asked for its location once, and its source isn't touched.
    ///
    /// # Errors
    /// [`Error::UnregisteredType`], [`Error::AmbiguousScheme`], [`Error::BadUrl`].
    pub fn represent(&self, mount: &dyn Mount) -> Result<MountUrl> {
        if let Some(origin) = mount.origin() {
            // It may be from another registry.
            let template = self.templates.get(origin.scheme).ok_or(Error::UnregisteredType)?;
            if type_of(&**template) != origin.template {
                return Err(Error::UnregisteredType);
            }
            return MountUrl::new(origin.scheme, &mount.location());
        }
        let wanted = type_of(mount);
        let same = |(_, template): &(&Arc<str>, &Arc<dyn Mount>)| type_of(&***template) == wanted;
        let schemes: Vec<&str> = self.templates.iter().filter(same).map(|(scheme, _)| &**scheme).collect();
        match schemes[..] {
            [] => Err(Error::UnregisteredType),
            [scheme] => MountUrl::new(scheme, &mount.location()),
            _ => Err(Error::AmbiguousScheme { schemes: schemes.join(", ") }),
        }
    }
}

fn type_of(mount: &dyn Mount) -> TypeId {
    (mount as &dyn Any).type_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_registered_once_and_unknown_ones_named() {
        let mut registry = Registry::with_defaults();
        let error = registry.register("file", BytesMount::template()).unwrap_err();
        assert!(matches!(error, Error::DuplicateScheme { .. }), "{error}");
        let error = registry.instantiate(&MountUrl::parse("quux:x").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the scheme \"quux\" is unknown; known are: bytes, file");
        assert!(matches!(registry.register("a b", BytesMount::template()), Err(Error::BadUrl { .. })));
    }

    #[test]
    fn a_bare_mount_needs_exactly_one_scheme() {
        let mount = BytesMount::new(&b"data"[..]).unwrap();
        let mut registry = Registry::new();
        assert!(matches!(registry.represent(&mount), Err(Error::UnregisteredType)));
        registry.register("one", BytesMount::template()).unwrap();
        let url = registry.represent(&mount).unwrap();
        assert_eq!(url.scheme(), "one");
        assert_eq!(registry.instantiate(&url).unwrap().location(), mount.location());
        registry.register("two", BytesMount::template()).unwrap();
        assert!(matches!(registry.represent(&mount), Err(Error::AmbiguousScheme { .. })));
    }
}
