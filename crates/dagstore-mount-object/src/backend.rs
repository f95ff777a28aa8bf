//! The stores behind a template: one for each bucket, made when it is first used.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use dagstore_mount::Error;
use dagstore_mount_net::{Failure, Secrets};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::azure::{AzureCredential, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{ObjectStore, RetryConfig};
use parking_lot::Mutex;
use reqwest::Url;

use crate::access::{Access, Provider};
use crate::ambient;
use crate::service::Service;

/// How many stores are kept. They are cheap to make, but for the credentials that they have been given.
const KEPT: usize = 256;

/// Which stores.
#[derive(Clone)]
pub(crate) enum Kind {
    S3 {
        region: String,
        /// The bucket is a part of the host's name.
        is_virtual_hosted: bool,
    },
    Google,
    Azure {
        account: String,
    },
    /// Somebody's, by their buckets.
    Given(BTreeMap<String, Arc<dyn ObjectStore>>),
}

impl fmt::Debug for Kind {
    /// What a given store would say of itself isn't known to be fit to be printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { region, is_virtual_hosted } => {
                f.debug_struct("S3").field("region", region).field("is_virtual_hosted", is_virtual_hosted).finish()
            }
            Self::Google => f.write_str("Google"),
            Self::Azure { account } => f.debug_struct("Azure").field("account", account).finish(),
            Self::Given(stores) => f.debug_list().entries(stores.keys()).finish(),
        }
    }
}

/// All that is needed to make a bucket's store.
pub(crate) struct Backend {
    kind: Kind,
    endpoint: Option<Url>,
    access: Access,
    secrets: Secrets,
    service: Service,
    made: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, endpoint, access, .. } = self;
        let endpoint = endpoint.as_ref().map(Url::as_str);
        let mut shown = f.debug_struct("Backend");
        shown.field("kind", kind).field("endpoint", &endpoint).field("access", access).finish_non_exhaustive()
    }
}

impl Backend {
    pub(crate) fn new(kind: Kind, endpoint: Option<Url>, access: Access, secrets: Secrets, service: Service) -> Self {
        Self { kind, endpoint, access, secrets, service, made: Mutex::default() }
    }

    /// Whether answers are checked where they arrive.
    pub(crate) fn is_checked(&self) -> bool {
        !matches!(self.kind, Kind::Given(_))
    }

    /// What is printed behind a location, to tell two stores from each other.
    pub(crate) fn suffix(&self) -> String {
        self.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default()
    }

    pub(crate) fn store(&self, bucket: &str, place: &str) -> Result<Arc<dyn ObjectStore>, Failure> {
        if let Kind::Given(stores) = &self.kind {
            // Other buckets are not allowed.
            return stores.get(bucket).cloned().ok_or_else(|| Error::NotFound { place: place.to_owned() }.into());
        }
        if let Some(store) = self.made.lock().get(bucket) {
            return Ok(store.clone());
        }
        // Made without the lock: credentials of a machine can be read from files. Two that come at the same time both make one.
        let store = self.make(bucket).map_err(|_| unusable(place, &self.access))?;
        let mut made = self.made.lock();
        if made.len() >= KEPT {
            made.clear();
        }
        Ok(made.entry(bucket.to_owned()).or_insert(store).clone())
    }

    fn make(&self, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        Ok(match &self.kind {
            Kind::S3 { region, is_virtual_hosted } => self.s3(bucket, region, *is_virtual_hosted)?,
            Kind::Google => self.google(bucket)?,
            Kind::Azure { account } => self.azure(bucket, account)?,
            Kind::Given(_) => {
                return Err(object_store::Error::NotImplemented {
                    operation: "make".to_owned(),
                    implementer: "a given store".to_owned(),
                });
            }
        })
    }

    fn s3(&self, bucket: &str, region: &str, is_virtual_hosted: bool) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(self.service.clone())
            .with_retry(never_again())
            .with_bucket_name(bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(is_virtual_hosted)
            .with_skip_signature(self.access == Access::Unsigned);
        if let Some(endpoint) = &self.endpoint {
            let mut endpoint = endpoint.clone();
            let host = endpoint.host_str().unwrap_or_default().to_owned();
            if is_virtual_hosted && endpoint.set_host(Some(&format!("{bucket}.{host}"))).is_err() {
                return Err(object_store::Error::NotSupported { source: "the bucket makes no name of a host".into() });
            }
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        builder = match &self.access {
            Access::Ambient => ambient::options(ambient::AWS)
                .into_iter()
                .fold(builder, |builder, (key, value)| builder.with_config(key, value)),
            access => builder.with_credentials(Provider::<AwsCredential>::new(access, &self.secrets)),
        };
        Ok(Arc::new(builder.build()?))
    }

    fn google(&self, bucket: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let endpoint = self.endpoint.as_ref().map_or("https://storage.googleapis.com", Url::as_str);
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_http_connector(self.service.clone())
            .with_retry(never_again())
            .with_bucket_name(bucket)
            // Said in any case: a key of a service account can name another.
            .with_base_url(endpoint.trim_end_matches('/'))
            .with_skip_signature(self.access == Access::Unsigned);
        builder = match &self.access {
            Access::Ambient => ambient::options(ambient::GOOGLE)
                .into_iter()
                .fold(builder, |builder, (key, value)| builder.with_config(key, value)),
            access => builder.with_credentials(Provider::<GcpCredential>::new(access, &self.secrets)),
        };
        Ok(Arc::new(builder.build()?))
    }

    fn azure(&self, container: &str, account: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_http_connector(self.service.clone())
            .with_retry(never_again())
            .with_account(account)
            .with_container_name(container)
            .with_skip_signature(self.access == Access::Unsigned);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
        }
        builder = match &self.access {
            Access::Ambient => ambient::options(ambient::AZURE)
                .into_iter()
                .fold(builder, |builder, (key, value)| builder.with_config(key, value)),
            access => builder.with_credentials(Provider::<AzureCredential>::new(access, &self.secrets)),
        };
        Ok(Arc::new(builder.build()?))
    }
}

/// Why there is no store. All options but the credential have been checked, and what the error says isn't fit to be printed.
fn unusable(place: &str, access: &Access) -> Failure {
    let place = place.to_owned();
    let error = match access {
        Access::Ambient => {
            let why = "what the environment and its files say of it can't be used".to_owned();
            Error::NoCredential { place, name: "of this machine".to_owned(), why }
        }
        _ => Error::Refused { place, why: "its bucket makes no name of a host".to_owned() },
    };
    error.into()
}

/// Trying again is [`dagstore_mount_net::Tries`]': `object_store` would end it three minutes after a stream has begun, and would not heed
/// what a server says of when.
fn never_again() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}
