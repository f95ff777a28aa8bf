//! Crates use each other only where `layers.toml` has the arrow, and RocksDB is reached only from where it may be.

use std::path::Path;

use anyhow::Result;
use cargo_metadata::{DependencyKind, Metadata};

use super::Problem;
use super::rules::Rules;
use crate::cargo::Cargo;
use crate::selection::{ROCKSDB_FEATURE, ROCKSDB_SYS, members_reaching};

/// A crate of the workspace and which others of it its manifest names, optional ones included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CrateUses {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, from the root of the workspace.
    pub(crate) folder: String,
    /// For the product and its build.
    pub(crate) normal: Vec<String>,
    /// For its tests.
    pub(crate) dev: Vec<String>,
}

/// Reads the workspace's own arrows out of its manifests.
pub(crate) fn crates_of(metadata: &Metadata, root: &Path) -> Vec<CrateUses> {
    let members = metadata.workspace_packages();
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let uses = |dev: bool, member: &cargo_metadata::Package| {
        let dependencies = member.dependencies.iter().filter(|used| names.contains(&used.name.as_str()));
        let of_kind = dependencies.filter(|used| (used.kind == DependencyKind::Development) == dev);
        of_kind.map(|used| used.name.clone()).collect()
    };
    let folder = |member: &cargo_metadata::Package| {
        let folder = member.manifest_path.parent().map(cargo_metadata::camino::Utf8Path::as_std_path);
        let folder = folder.and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(Path::new(""));
        folder.to_string_lossy().into_owned()
    };
    let crate_of = |member: &&cargo_metadata::Package| CrateUses {
        name: member.name.to_string(),
        folder: folder(member),
        normal: uses(false, member),
        dev: uses(true, member),
    };
    members.iter().map(crate_of).collect()
}

/// Reports arrows that are not allowed, crates without a rule and rules without a crate.
pub(crate) fn check(crates: &[CrateUses], rules: &Rules) -> Vec<Problem> {
    let mut problems = Vec::new();
    for krate in crates.iter().filter(|krate| !is_free(krate, rules)) {
        let Some(allowed) = rules.may_use.get(&krate.name) else {
            problems.push(Problem::of(&krate.name, "has no line in xtask/layers.toml, may_use"));
            continue;
        };
        for used in krate.normal.iter().filter(|used| !allowed.contains(used)) {
            problems.push(Problem::of(&krate.name, format!("may not use {used}")));
        }
        for used in krate.dev.iter().filter(|used| !allowed.contains(used)) {
            if rules.dev_only.get(used).is_none_or(|except| except.contains(&krate.name)) {
                problems.push(Problem::of(&krate.name, format!("may not use {used}, in tests neither")));
            }
        }
    }
    let known = |name: &String| crates.iter().any(|krate| krate.name == *name);
    let named = rules.may_use.iter().flat_map(|(name, used)| used.iter().chain([name])).chain(rules.dev_only.keys());
    for name in named.filter(|name| !known(name)) {
        problems.push(Problem::of("xtask/layers.toml", format!("{name} is no crate of this workspace")));
    }
    for dev_only in rules.dev_only.keys() {
        let is_product = |name: &String| !rules.dev_only.contains_key(name);
        let users = rules.may_use.iter().filter(|(name, used)| is_product(name) && used.contains(dev_only));
        for (name, _) in users {
            problems
                .push(Problem::of("xtask/layers.toml", format!("{name} may use {dev_only}, which is for tests only")));
        }
    }
    problems
}

fn is_free(krate: &CrateUses, rules: &Rules) -> bool {
    rules.free_folders.iter().any(|folder| Path::new(&krate.folder).starts_with(folder))
}

/// Reports crates that reach RocksDB and may not; cargo itself is asked what a build of each would contain.
///
/// # Errors
///
/// When cargo can't tell.
pub(crate) fn check_rocksdb(
    metadata: &Metadata,
    crates: &[CrateUses],
    rules: &Rules,
    cargo: &Cargo,
) -> Result<Vec<Problem>> {
    let mut reaches = Vec::new();
    // The resolved graph is that of the whole workspace with all features: what does not reach it there never does.
    for name in members_reaching(metadata, ROCKSDB_SYS) {
        let contains = |names: Vec<String>| names.iter().any(|name| name == ROCKSDB_SYS);
        reaches.push(Reach {
            by_default: contains(cargo.tree(&name, &[])?),
            with_features: contains(cargo.tree(&name, &["--all-features"])?),
            name,
        });
    }
    let direct = metadata.workspace_packages();
    let direct = direct.iter().filter(|member| member.dependencies.iter().any(|used| used.name == "rocksdb"));
    let direct: Vec<String> = direct.map(|member| member.name.to_string()).collect();
    Ok(compare_rocksdb(&reaches, &direct, crates, rules))
}

/// How a crate reaches RocksDB.
struct Reach {
    name: String,
    by_default: bool,
    with_features: bool,
}

fn compare_rocksdb(reaches: &[Reach], direct: &[String], crates: &[CrateUses], rules: &Rules) -> Vec<Problem> {
    let mut problems = Vec::new();
    let free = |name: &str| crates.iter().any(|krate| krate.name == name && is_free(krate, rules));
    let listed = |list: &[String], name: &str| list.iter().any(|listed| listed == name);
    for reach in reaches.iter().filter(|reach| !free(&reach.name) && !listed(&rules.rocksdb.always, &reach.name)) {
        if reach.by_default {
            problems.push(Problem::of(&reach.name, "brings RocksDB without being asked"));
        } else if reach.with_features && !listed(&rules.rocksdb.with_feature, &reach.name) {
            let text = format!("has a feature that brings RocksDB; only {} may", rules.rocksdb.with_feature.join(", "));
            problems.push(Problem::of(&reach.name, text));
        }
    }
    for name in direct.iter().filter(|name| !listed(&rules.rocksdb.always, name)) {
        problems.push(Problem::of(name, format!("depends on the package `{ROCKSDB_FEATURE}` itself")));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{CrateUses, Reach, check, compare_rocksdb};
    use crate::tidy::rules::Rules;

    fn rules() -> Rules {
        toml::from_str(
            "free_folders = ['benches']\nunsafe_code = []\n\
             [may_use]\nwords = []\nseam = ['words']\nkit = ['words']\napp = ['seam']\n\
             [dev_only]\nkit = ['app']\n\
             [rocksdb]\nalways = ['seam-rocksdb']\nwith_feature = ['app']\n\
             [lean]\ncrates = []\nwithout_default_features = []\ncpp = []\nhttp = []\n",
        )
        .unwrap()
    }

    fn uses(name: &str, normal: &[&str], dev: &[&str]) -> CrateUses {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        CrateUses { name: name.to_owned(), folder: format!("crates/{name}"), normal: owned(normal), dev: owned(dev) }
    }

    fn good() -> Vec<CrateUses> {
        vec![
            uses("words", &[], &["kit"]),
            uses("seam", &["words"], &["words", "kit"]),
            uses("kit", &["words"], &[]),
            uses("app", &["seam"], &[]),
        ]
    }

    fn texts(crates: &[CrateUses]) -> Vec<String> {
        check(crates, &rules()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn allowed_arrows_are_fine() {
        assert_eq!(texts(&good()), [""; 0]);
    }

    #[test]
    fn an_arrow_upwards_is_reported() {
        let mut crates = good();
        crates[0].normal.push("seam".to_owned());
        assert_eq!(texts(&crates), ["words: may not use seam"]);
    }

    #[test]
    fn the_kit_is_for_tests_and_not_for_all() {
        let mut crates = good();
        crates[1].normal.push("kit".to_owned());
        crates[3].dev.push("kit".to_owned());
        assert_eq!(texts(&crates), ["seam: may not use kit", "app: may not use kit, in tests neither"]);
    }

    #[test]
    fn tests_need_an_arrow_too() {
        let mut crates = good();
        crates[0].dev.push("app".to_owned());
        assert_eq!(texts(&crates), ["words: may not use app, in tests neither"]);
    }

    #[test]
    fn a_crate_without_rule_and_a_rule_without_crate_are_reported() {
        let mut crates = good();
        crates[3].name = "new".to_owned();
        let expected =
            ["new: has no line in xtask/layers.toml, may_use", "xtask/layers.toml: app is no crate of this workspace"];
        assert_eq!(texts(&crates), expected);
    }

    #[test]
    fn a_bench_may_use_anything() {
        let mut crates = good();
        crates.push(CrateUses { folder: "benches/all".to_owned(), ..uses("all", &["app", "kit"], &[]) });
        assert_eq!(texts(&crates), [""; 0]);
    }

    #[test]
    fn rocksdb_is_reached_only_from_where_it_may_be() {
        let reach = |name: &str, by_default, with_features| Reach { name: name.to_owned(), by_default, with_features };
        let problems = |reaches: &[Reach], direct: &[String]| compare_rocksdb(reaches, direct, &good(), &rules()).len();
        assert_eq!(problems(&[reach("seam-rocksdb", true, true), reach("app", false, true)], &[]), 0);
        assert_eq!(problems(&[reach("app", true, true)], &[]), 1);
        assert_eq!(problems(&[reach("seam", false, true)], &[]), 1);
        assert_eq!(problems(&[], &["app".to_owned()]), 1);
        assert_eq!(problems(&[], &["seam-rocksdb".to_owned()]), 0);
    }
}
