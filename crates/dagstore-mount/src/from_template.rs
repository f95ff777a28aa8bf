//! Instances that remember their template.

use std::any::TypeId;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::mount::Origin;
use crate::{Capabilities, Mount, Opened, Result, Stat, Streamed};

/// A copy of a template, which remembers the scheme of the template, so that
/// [`Registry::represent`](crate::Registry::represent) finds it again among others of its type.
/// [`Registry::template`](crate::Registry::template) makes it. It is as independent of the template as the type's `Clone`
/// makes it.
#[derive(Debug, Clone)]
pub struct FromTemplate<T> {
    scheme: Arc<str>,
    mount: T,
}

impl<T: Mount> FromTemplate<T> {
    pub(crate) fn new(scheme: &str, mount: T) -> Self {
        Self { scheme: scheme.into(), mount }
    }

    /// Makes an instance of the copy, with `make`.
    ///
    /// # Errors
    /// What `make` says.
    pub fn try_map<E>(self, make: impl FnOnce(T) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self { scheme: self.scheme, mount: make(self.mount)? })
    }

    /// The scheme of the template.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }
}

impl<T> Deref for FromTemplate<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.mount
    }
}

impl<T> DerefMut for FromTemplate<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.mount
    }
}

#[async_trait]
impl<T: Mount> Mount for FromTemplate<T> {
    fn capabilities(&self) -> Capabilities {
        self.mount.capabilities()
    }

    fn location(&self) -> String {
        self.mount.location()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        self.mount.instantiate(location)
    }

    async fn stat(&self) -> Result<Stat> {
        self.mount.stat().await
    }

    async fn open(&self) -> Result<Opened> {
        self.mount.open().await
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        self.mount.stream(from, of).await
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        self.mount.read(at, len, of).await
    }

    fn origin(&self) -> Option<Origin<'_>> {
        Some(Origin { scheme: &self.scheme, template: TypeId::of::<T>() })
    }
}

/// What a registry makes of a URL: the same for a type that isn't known here.
#[derive(Debug)]
pub(crate) struct Revived {
    pub(crate) scheme: Arc<str>,
    pub(crate) template: TypeId,
    pub(crate) mount: Arc<dyn Mount>,
}

#[async_trait]
impl Mount for Revived {
    fn capabilities(&self) -> Capabilities {
        self.mount.capabilities()
    }

    fn location(&self) -> String {
        self.mount.location()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        self.mount.instantiate(location)
    }

    async fn stat(&self) -> Result<Stat> {
        self.mount.stat().await
    }

    async fn open(&self) -> Result<Opened> {
        self.mount.open().await
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        self.mount.stream(from, of).await
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        self.mount.read(at, len, of).await
    }

    fn origin(&self) -> Option<Origin<'_>> {
        Some(Origin { scheme: &self.scheme, template: self.template })
    }
}
