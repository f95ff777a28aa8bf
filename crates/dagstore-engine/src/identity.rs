//! Which store this is, and of which format.

use dagstore_datastore::{Batch, Datastore, Durability};

use crate::rows::{FORMAT, IDENTITY, META};
use crate::{Error, Result};

/// The newest format of a store that this program knows, and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;

/// Stands in the place of the format's version while the rows of another datastore are being copied: no program, of whichever
/// version, takes half of them for a store.
pub const UNFINISHED_COPY: u32 = u32::MAX;

/// What a store is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The store's name, random.
    pub id: [u8; 16],
    /// The key of its fingerprints, random: without it nobody can grind two multihashes of the same fingerprint.
    pub fingerprint_key: [u8; 16],
}

impl Identity {
    /// Reads the identity of the store in `datastore`; `None` where there is no store yet.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::UnfinishedCopy`], [`Error::DamagedIdentity`], [`Error::Datastore`].
    pub async fn read(datastore: &dyn Datastore) -> Result<Option<Self>> {
        let Some(format) = datastore.get(META, FORMAT.as_bytes()).await? else { return Ok(None) };
        let format = format[..].try_into().map_err(|_| Error::DamagedIdentity { row: FORMAT })?;
        let found = u32::from_be_bytes(format);
        if found == UNFINISHED_COPY {
            return Err(Error::UnfinishedCopy);
        }
        if found > FORMAT_VERSION {
            return Err(Error::NewerFormat { found, known: FORMAT_VERSION });
        }
        let row = datastore.get(META, IDENTITY.as_bytes()).await?.unwrap_or_default();
        let damaged = || Error::DamagedIdentity { row: IDENTITY };
        let (id, fingerprint_key) = row.split_at_checked(16).ok_or_else(damaged)?;
        Ok(Some(Self {
            id: id.try_into().map_err(|_| damaged())?,
            fingerprint_key: fingerprint_key.try_into().map_err(|_| damaged())?,
        }))
    }

    /// Reads the identity of the store in `datastore`, and makes one, durably, where there is no store yet.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_or_create(datastore: &dyn Datastore) -> Result<Self> {
        if let Some(identity) = Self::read(datastore).await? {
            return Ok(identity);
        }
        let identity = Self::random()?;
        let mut batch = Batch::new();
        batch.put(META, FORMAT.as_bytes(), &FORMAT_VERSION.to_be_bytes());
        batch.put(META, IDENTITY.as_bytes(), &[identity.id, identity.fingerprint_key].concat());
        datastore.write(batch, Durability::Synced).await?;
        Ok(identity)
    }

    /// A new identity, not written anywhere.
    ///
    /// # Errors
    /// [`Error::Datastore`] when the system has no random numbers.
    pub fn random() -> Result<Self> {
        let mut identity = Self { id: [0; 16], fingerprint_key: [0; 16] };
        for bytes in [&mut identity.id, &mut identity.fingerprint_key] {
            getrandom::fill(bytes).map_err(|error| {
                let class = dagstore_datastore::ErrorClass::Permanent;
                dagstore_datastore::Error::failed("system", "drawing random numbers", class, error.to_string())
            })?;
        }
        Ok(identity)
    }
}
