//! Licences, sources and bans of `deny.toml`, checked over what cargo resolved, without a tool that must be installed.
//!
//! It reads the parts of the file that need no network; `cargo deny check licenses bans sources` reads the same file.

use cargo_metadata::semver::{Version, VersionReq};
use cargo_metadata::{Metadata, Package};
use serde::Deserialize;

use super::Problem;
use super::licence;

/// The parts of `deny.toml` that are checked here; its other parts are cargo-deny's.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Policy {
    licenses: Licences,
    bans: Bans,
}

#[derive(Debug, Clone, Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<LicenceException>,
}

/// Licences that one package may have besides.
#[derive(Debug, Clone, Deserialize)]
struct LicenceException {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

impl Licences {
    fn allowed_for(&self, package: &str) -> Vec<String> {
        let exceptions = self.exceptions.iter().filter(|exception| exception.package == package);
        self.allow.iter().chain(exceptions.flat_map(|exception| &exception.allow)).cloned().collect()
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
    #[serde(default)]
    features: Vec<FeatureBan>,
}

/// A package that must not be there, `name` or `name:version requirement`.
#[derive(Debug, Clone, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    package: String,
    reason: Option<String>,
}

/// Features of a package that must not be on.
#[derive(Debug, Clone, Deserialize)]
struct FeatureBan {
    #[serde(rename = "crate")]
    package: String,
    deny: Vec<String>,
}

/// Reports packages with other licences, from other places than the registry, and banned ones.
pub(crate) fn check(metadata: &Metadata, policy: &Policy) -> Vec<Problem> {
    let nodes = metadata.resolve.as_ref().map_or(&[][..], |resolve| &resolve.nodes[..]);
    let mut problems = Vec::new();
    for node in nodes {
        let Some(package) = metadata.packages.iter().find(|package| package.id == node.id) else { continue };
        let is_member = metadata.workspace_members.contains(&package.id);
        let features = node.features.iter().map(ToString::to_string).collect();
        problems.extend(check_one(&Resolved::of(package, is_member, features), policy));
    }
    problems
}

/// What the rules need to know of a package.
#[derive(Debug, Clone)]
struct Resolved {
    name: String,
    version: Version,
    licence: Option<String>,
    /// Where it comes from; a folder of this machine has no source.
    source: Option<String>,
    /// Whether it is a crate of this workspace.
    is_member: bool,
    features: Vec<String>,
}

impl Resolved {
    fn of(package: &Package, is_member: bool, features: Vec<String>) -> Self {
        Self {
            name: package.name.to_string(),
            version: package.version.clone(),
            licence: package.license.clone(),
            source: package.source.as_ref().map(|source| source.repr.clone()),
            is_member,
            features,
        }
    }
}

/// How cargo names the only registry that is allowed.
const REGISTRIES: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

fn check_one(package: &Resolved, policy: &Policy) -> Vec<Problem> {
    let mut texts = Vec::new();
    match &package.licence {
        None => texts.push("names no licence".to_owned()),
        Some(licence) if !licence::is_allowed(licence, &policy.licenses.allowed_for(&package.name)) => {
            texts.push(format!("has the licence {licence}, which deny.toml does not allow"));
        }
        Some(_) => {}
    }
    let source = package.source.as_deref().unwrap_or("a folder outside of this workspace");
    if !package.is_member && !REGISTRIES.contains(&source) {
        texts.push(format!("comes from {source}, not from the registry"));
    }
    for ban in policy.bans.deny.iter().filter(|ban| is_banned(package, &ban.package)) {
        texts.push(format!("is banned: {}", ban.reason.as_deref().unwrap_or("see deny.toml")));
    }
    for ban in policy.bans.features.iter().filter(|ban| is_banned(package, &ban.package)) {
        let on = ban.deny.iter().filter(|feature| package.features.contains(feature));
        texts.extend(on.map(|feature| format!("has the feature {feature}, which is banned")));
    }
    let place = format!("{} {}", package.name, package.version);
    texts.into_iter().map(|text| Problem::of(&place, text)).collect()
}

/// Whether a package is meant; a requirement that can't be read means every version.
fn is_banned(package: &Resolved, ban: &str) -> bool {
    let (name, requirement) = ban.split_once(':').unwrap_or((ban, "*"));
    package.name == name && VersionReq::parse(requirement).map_or(true, |wanted| wanted.matches(&package.version))
}

#[cfg(test)]
mod tests {
    use super::{Policy, Resolved, check_one};

    fn policy() -> Policy {
        toml::from_str(
            "[licenses]\nallow = ['MIT']\nexceptions = [{ crate = 'weak', allow = ['MPL-2.0'] }]\n[bans]\n\
             deny = [{ crate = 'sled', reason = 'unmaintained' }, { crate = 'late:>=0.15' }]\n\
             features = [{ crate = 'rocksdb', deny = ['jemalloc'] }]\n",
        )
        .unwrap()
    }

    fn good() -> Resolved {
        Resolved {
            name: "good".to_owned(),
            version: "1.0.0".parse().unwrap(),
            licence: Some("MIT".to_owned()),
            source: Some("registry+https://github.com/rust-lang/crates.io-index".to_owned()),
            is_member: false,
            features: Vec::new(),
        }
    }

    fn texts(package: &Resolved) -> Vec<String> {
        check_one(package, &policy()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_package_within_the_rules_is_fine() {
        assert_eq!(texts(&good()), [""; 0]);
        assert_eq!(texts(&Resolved { source: None, is_member: true, ..good() }), [""; 0]);
    }

    #[test]
    fn a_licence_that_is_not_allowed_or_not_named_is_reported() {
        assert_eq!(texts(&Resolved { licence: Some("GPL-3.0".to_owned()), ..good() }).len(), 1);
        assert_eq!(texts(&Resolved { licence: None, ..good() }), ["good 1.0.0: names no licence"]);
    }

    #[test]
    fn an_exception_is_for_one_package() {
        let package = |name: &str| Resolved { name: name.to_owned(), licence: Some("MPL-2.0".to_owned()), ..good() };
        assert_eq!(texts(&package("weak")), [""; 0]);
        assert_eq!(texts(&package("other")).len(), 1);
    }

    #[test]
    fn another_source_is_reported() {
        let source = Some("git+https://example.org/good".to_owned());
        assert_eq!(texts(&Resolved { source, ..good() }).len(), 1);
        assert_eq!(texts(&Resolved { source: None, ..good() }).len(), 1);
    }

    #[test]
    fn bans_hold_for_the_versions_they_name() {
        let package =
            |name: &str, version: &str| Resolved { name: name.to_owned(), version: version.parse().unwrap(), ..good() };
        assert_eq!(texts(&package("sled", "0.34.0")), ["sled 0.34.0: is banned: unmaintained"]);
        assert_eq!(texts(&package("late", "0.15.1")).len(), 1);
        assert_eq!(texts(&package("late", "0.14.9")), [""; 0]);
    }

    #[test]
    fn a_banned_feature_is_reported() {
        let package = Resolved { name: "rocksdb".to_owned(), features: vec!["lz4".to_owned()], ..good() };
        assert_eq!(texts(&package), [""; 0]);
        assert_eq!(texts(&Resolved { features: vec!["jemalloc".to_owned()], ..package }).len(), 1);
    }
}
