//! The credentials of the machine, as the vendors' tools find them.
//!
//! `object_store` can take all of its options from the environment. Endpoints and such are the template's here, so that two
//! templates can't be turned to one place by a variable: only what makes a credential is taken.

use std::str::FromStr;

/// Of S3.
pub(crate) const AWS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
];

/// Of Google Cloud Storage.
pub(crate) const GOOGLE: &[&str] = &[
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

/// Of Azure Blob Storage.
pub(crate) const AZURE: &[&str] = &[
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_MSI_ENDPOINT",
];

/// What of `names` the environment has, as options of a store.
pub(crate) fn options<K: FromStr>(names: &[&str]) -> Vec<(K, String)> {
    let option = |name: &&str| Some((name.to_lowercase().parse().ok()?, std::env::var(name).ok()?));
    names.iter().filter_map(option).collect()
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;
    use object_store::azure::AzureConfigKey;
    use object_store::gcp::GoogleConfigKey;

    use super::*;

    fn are_known<K: FromStr>(names: &[&str]) {
        for name in names {
            assert!(name.to_lowercase().parse::<K>().is_ok(), "object_store knows no {name}");
        }
    }

    #[test]
    fn object_store_knows_all_of_them() {
        are_known::<AmazonS3ConfigKey>(AWS);
        are_known::<GoogleConfigKey>(GOOGLE);
        are_known::<AzureConfigKey>(AZURE);
    }
}
