//! The schemes of the URLs that the program knows.

use dagstore::mount::{Registry, Result};

/// Files, bytes, and what features add. What comes over a network is asked for at public addresses only: whoever gives the
/// program a URL may not be allowed to reach what this machine can.
#[cfg_attr(
    not(any(feature = "http", feature = "object")),
    expect(clippy::unnecessary_wraps, reason = "nothing is registered then")
)]
pub(crate) fn registry() -> Result<Registry> {
    #[cfg_attr(not(any(feature = "http", feature = "object")), expect(unused_mut, reason = "nothing is added then"))]
    let mut registry = Registry::with_defaults();
    #[cfg(feature = "http")]
    {
        registry.register("http", dagstore::http::HttpBuilder::http().build())?;
        registry.register("https", dagstore::http::HttpBuilder::https().build())?;
    }
    #[cfg(feature = "object")]
    object::register(&mut registry, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    Ok(registry)
}

/// Object stores. What a URL doesn't say is in variables of the environment that begin with `DAGSTORE_S3_`, `DAGSTORE_GS_` and
/// `DAGSTORE_AZ_`. The keys of the machine's owner, as the vendors' tools find them, are not used: whoever gives the program a
/// URL would read what they open.
#[cfg(feature = "object")]
mod object {
    use dagstore::mount::{Registry, Result};
    use dagstore::object::{Access, ObjectBuilder};

    pub(super) fn register(registry: &mut Registry, find: impl Fn(&str) -> Option<String>) -> Result<()> {
        let access = |name: &str, endings: &[&str]| {
            let is_there = endings.iter().any(|ending| find(&format!("{name}_{ending}")).is_some());
            if is_there { Access::named(name) } else { Access::Unsigned }
        };
        let s3 = ObjectBuilder::s3(access("DAGSTORE_S3", &["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"]));
        let s3 = match find("DAGSTORE_S3_REGION") {
            Some(region) => s3.region(region),
            None => s3,
        };
        registry.register("s3", placed(s3, "DAGSTORE_S3", &find).build()?)?;
        let google = ObjectBuilder::google(access("DAGSTORE_GS", &["TOKEN"]));
        registry.register("gs", placed(google, "DAGSTORE_GS", &find).build()?)?;
        // Its URLs don't say of which account they are.
        if let Some(account) = find("DAGSTORE_AZ_ACCOUNT") {
            let azure = ObjectBuilder::azure(account, access("DAGSTORE_AZ", &["ACCESS_KEY", "SAS_TOKEN", "TOKEN"]));
            registry.register("az", placed(azure, "DAGSTORE_AZ", &find).build()?)?;
        }
        Ok(())
    }

    fn placed(mut builder: ObjectBuilder, name: &str, find: impl Fn(&str) -> Option<String>) -> ObjectBuilder {
        if let Some(endpoint) = find(&format!("{name}_ENDPOINT")) {
            builder = builder.endpoint(endpoint);
        }
        if find(&format!("{name}_ALLOW_HTTP")).is_some_and(|value| value == "1" || value == "true") {
            builder = builder.allow_http();
        }
        match find(&format!("{name}_BUCKETS")) {
            Some(buckets) => builder.allow_buckets(buckets.split(',').map(str::trim).map(str::to_owned)),
            None => builder,
        }
    }

    #[cfg(test)]
    mod tests {
        use dagstore::mount::MountUrl;

        use super::*;

        fn registry(variables: &[(&str, &str)]) -> Result<Registry> {
            let mut registry = Registry::new();
            let find =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            register(&mut registry, find).map(|()| registry)
        }

        fn shown(registry: &Registry, url: &str) -> String {
            format!("{:?}", registry.instantiate(&MountUrl::parse(url).unwrap()))
        }

        #[test]
        fn without_variables_requests_are_unsigned_and_go_to_the_vendors() {
            let registry = registry(&[]).unwrap();
            assert_eq!(registry.schemes().collect::<Vec<_>>(), ["gs", "s3"]);
            for url in ["s3://b/k", "gs://b/k"] {
                let shown = shown(&registry, url);
                assert!(shown.contains("access: Unsigned") && shown.contains("endpoint: None"), "{shown}");
            }
        }

        #[test]
        fn variables_say_who_asks_and_where() {
            let registry = registry(&[
                ("DAGSTORE_S3_ACCESS_KEY_ID", "canary"),
                ("DAGSTORE_S3_REGION", "eu-central-1"),
                ("DAGSTORE_S3_ENDPOINT", "http://10.0.0.1:9000"),
                ("DAGSTORE_S3_ALLOW_HTTP", "1"),
                ("DAGSTORE_S3_BUCKETS", "one, two"),
                ("DAGSTORE_AZ_ACCOUNT", "archive"),
                ("DAGSTORE_AZ_SAS_TOKEN", "canary"),
            ])
            .unwrap();
            assert_eq!(registry.schemes().collect::<Vec<_>>(), ["az", "gs", "s3"]);
            let s3 = shown(&registry, "s3://two/k");
            for part in ["Named(\"DAGSTORE_S3\")", "eu-central-1", "http://10.0.0.1:9000/"] {
                assert!(s3.contains(part) && !s3.contains("canary"), "{s3}");
            }
            assert!(shown(&registry, "s3://three/k").contains("Refused"));
            assert!(shown(&registry, "az://c/k").contains("Named(\"DAGSTORE_AZ\")"));
            assert!(shown(&registry, "gs://c/k").contains("Unsigned"));
        }

        #[test]
        fn plain_http_has_to_be_allowed() {
            assert!(registry(&[("DAGSTORE_S3_ENDPOINT", "http://10.0.0.1:9000")]).is_err());
        }
    }
}
