//! Which names are being built.

use std::collections::BTreeSet;
use std::sync::Arc;

use dagstore_fs::OwnName;
use parking_lot::Mutex;

use crate::{Error, Result};

/// The names whose builders live.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<BTreeSet<OwnName>>>);

impl Claims {
    /// Claims a name for a builder, until the claim is dropped.
    pub(crate) fn claim(&self, name: OwnName) -> Result<Claim> {
        if !self.0.lock().insert(name) {
            return Err(Error::BeingBuilt { name });
        }
        Ok(Claim { name, claims: self.clone() })
    }

    /// The names that are claimed now. Held while the answer is used: no name is claimed meanwhile.
    pub(crate) fn hold(&self) -> impl std::ops::Deref<Target = BTreeSet<OwnName>> {
        self.0.lock()
    }
}

/// The sole right to build one name.
#[derive(Debug)]
pub(crate) struct Claim {
    name: OwnName,
    claims: Claims,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().remove(&self.name);
    }
}
