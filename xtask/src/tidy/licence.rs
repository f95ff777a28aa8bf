//! Licence expressions of packages (SPDX): whether an allowed choice is among what they offer.

use std::iter::Peekable;

/// Whether an expression can be met with `allowed` licences alone; an expression that can't be read is not.
pub(crate) fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // Older manifests write a choice as `MIT/Apache-2.0`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let answer = any_of(&mut words, allowed);
    answer == Some(true) && words.next().is_none()
}

fn any_of<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[String]) -> Option<bool> {
    let mut answer = all_of(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        answer |= all_of(words, allowed)?;
    }
    Some(answer)
}

fn all_of<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[String]) -> Option<bool> {
    let mut answer = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        answer &= one(words, allowed)?;
    }
    Some(answer)
}

fn one<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[String]) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let answer = any_of(words, allowed)?;
        return words.next_if_eq(&")").map(|_| answer);
    }
    if ["OR", "AND", "WITH", ")"].contains(&word) {
        return None;
    }
    let mut name = word.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next()?);
    }
    Some(allowed.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    fn allowed(expression: &str) -> bool {
        is_allowed(expression, &["MIT", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned))
    }

    #[test]
    fn one_choice_of_several_is_enough() {
        for expression in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "Apache-2.0 WITH LLVM-exception OR GPL-2.0"] {
            assert!(allowed(expression), "{expression}");
        }
    }

    #[test]
    fn every_part_of_a_sum_is_needed() {
        assert!(allowed("MIT AND BSD-3-Clause"));
        assert!(allowed("(GPL-3.0 OR MIT) AND BSD-3-Clause"));
        assert!(!allowed("MIT AND GPL-3.0"));
        assert!(!allowed("(MIT OR BSD-3-Clause) AND GPL-3.0"));
    }

    #[test]
    fn what_is_unknown_or_unreadable_is_refused() {
        for expression in ["", "GPL-3.0", "Apache-2.0", "MIT OR", "(MIT", "MIT)", "MIT MIT", "OR MIT", "MIT WITH"] {
            assert!(!allowed(expression), "{expression:?}");
        }
    }
}
