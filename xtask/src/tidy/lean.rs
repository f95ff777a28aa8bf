//! Crates that are promised to be lean bring no C++ and no HTTP client.

use anyhow::Result;

use super::Problem;
use super::rules::LeanRules;
use crate::cargo::Cargo;

/// Asks cargo what each lean crate needs, and reports what it must not.
///
/// # Errors
///
/// When cargo can't tell, as for a crate that does not exist.
pub(crate) fn check(rules: &LeanRules, cargo: &Cargo) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for name in &rules.crates {
        problems.extend(compare(name, &cargo.tree(name, &[])?, rules));
    }
    for name in &rules.without_default_features {
        let place = format!("{name} without default features");
        problems.extend(compare(&place, &cargo.tree(name, &["--no-default-features"])?, rules));
    }
    Ok(problems)
}

fn compare(place: &str, needed: &[String], rules: &LeanRules) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (denied, what) in [(&rules.cpp, "C++"), (&rules.http, "an HTTP client")] {
        let mut found: Vec<&String> = denied.iter().filter(|name| needed.contains(name)).collect();
        found.dedup();
        problems.extend(found.into_iter().map(|name| Problem::of(place, format!("needs {name}, which is {what}"))));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::tidy::rules::LeanRules;

    #[test]
    fn a_heavy_dependency_is_reported() {
        let owned = |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let rules = LeanRules {
            crates: Vec::new(),
            without_default_features: Vec::new(),
            cpp: owned(&["cxx"]),
            http: owned(&["hyper"]),
        };
        assert_eq!(compare("a", &owned(&["a", "bytes", "cxx-like"]), &rules), []);
        let texts: Vec<String> =
            compare("a", &owned(&["a", "hyper", "cxx", "cxx"]), &rules).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a: needs cxx, which is C++", "a: needs hyper, which is an HTTP client"]);
    }
}
