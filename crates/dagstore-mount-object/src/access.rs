//! Credentials: by name, looked up whenever they are used, and kept nowhere.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use dagstore_mount::Error;
use dagstore_mount_net::Secrets;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::azure::{AzureAccessKey, AzureCredential};
use object_store::gcp::GcpCredential;
use percent_encoding::percent_decode_str;

use crate::failure::told;

/// On whose behalf a template asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Nobody's: requests carry no signature. For public data.
    Unsigned,
    /// That of a credential with this name. Its values are the variables of the environment that begin with the name, or
    /// what [`ObjectBuilder::secrets`](crate::ObjectBuilder::secrets) gives for them; for the name `ARCHIVE`:
    ///
    /// | store | variables |
    /// | --- | --- |
    /// | S3 | `ARCHIVE_ACCESS_KEY_ID`, `ARCHIVE_SECRET_ACCESS_KEY`, and `ARCHIVE_SESSION_TOKEN` where there is one |
    /// | Google | `ARCHIVE_TOKEN`, a token of OAuth |
    /// | Azure | `ARCHIVE_ACCESS_KEY`; without it `ARCHIVE_SAS_TOKEN`; without it `ARCHIVE_TOKEN` |
    ///
    /// They are looked up at each request, so they can change while the program runs.
    Named(String),
    /// That of the machine: what the tools of the store's vendor find in the environment (`AWS_ACCESS_KEY_ID`,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_CLIENT_ID` and so on), in their files, and at the servers that give credentials
    /// to virtual machines. Whoever may register URLs then reads what the machine may, unless
    /// [`ObjectBuilder::allow_buckets`](crate::ObjectBuilder::allow_buckets) says less.
    Ambient,
}

impl Access {
    /// [`Access::Named`].
    pub fn named(name: impl Into<String>) -> Self {
        Self::Named(name.into())
    }
}

/// A credential of the type that a store wants, by its name. Without a name there is none, and nobody asks for it.
#[derive(Debug)]
pub(crate) struct Provider<C> {
    name: String,
    secrets: Secrets,
    made: PhantomData<fn() -> C>,
}

impl<C> Provider<C> {
    pub(crate) fn new(access: &Access, secrets: &Secrets) -> Arc<Self> {
        let name = if let Access::Named(name) = access { name.clone() } else { String::new() };
        Arc::new(Self { name, secrets: secrets.clone(), made: PhantomData })
    }

    /// The value of a variable that needn't be there.
    fn find(&self, ending: &str) -> object_store::Result<Option<String>> {
        let variable = format!("{}_{ending}", self.name);
        let Some(value) = self.secrets.get(&variable) else { return Ok(None) };
        // What is wrong with it isn't told, because that would tell of it.
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                self.missing(&format!("{variable} has a space, a line break or another character that can't be sent"))
            );
        }
        Ok(Some(value))
    }

    fn get(&self, ending: &str) -> object_store::Result<String> {
        self.find(ending)?.ok_or_else(|| self.missing(&format!("{}_{ending} isn't set", self.name)))
    }

    fn missing(&self, why: &str) -> object_store::Error {
        // Which source it is for is known to those who ask.
        told(Error::NoCredential { place: String::new(), name: self.name.clone(), why: why.to_owned() })
    }
}

#[async_trait]
impl CredentialProvider for Provider<AwsCredential> {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let (key_id, secret_key) = (self.get("ACCESS_KEY_ID")?, self.get("SECRET_ACCESS_KEY")?);
        Ok(Arc::new(AwsCredential { key_id, secret_key, token: self.find("SESSION_TOKEN")? }))
    }
}

#[async_trait]
impl CredentialProvider for Provider<GcpCredential> {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        Ok(Arc::new(GcpCredential { bearer: self.get("TOKEN")? }))
    }
}

#[async_trait]
impl CredentialProvider for Provider<AzureCredential> {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        if let Some(key) = self.find("ACCESS_KEY")? {
            let key = AzureAccessKey::try_new(&key).map_err(|_| self.missing("its access key isn't Base64"))?;
            return Ok(Arc::new(AzureCredential::AccessKey(key)));
        }
        if let Some(token) = self.find("SAS_TOKEN")? {
            let pairs = sas_pairs(&token).ok_or_else(|| self.missing("its SAS token isn't a list of parameters"))?;
            return Ok(Arc::new(AzureCredential::SASToken(pairs)));
        }
        let missing = || self.missing("none of its variables _ACCESS_KEY, _SAS_TOKEN and _TOKEN is set");
        let token = self.find("TOKEN")?.ok_or_else(missing)?;
        Ok(Arc::new(AzureCredential::BearerToken(token)))
    }
}

fn sas_pairs(token: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let pairs = token.trim_start_matches('?').split('&').map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name)?, decoded(value)?))
    });
    pairs.collect()
}
