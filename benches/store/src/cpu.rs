//! How much of the processors this process has used: what stays comparable while others use them, too.

use std::fs;

use anyhow::Result;

/// Seconds on a processor, all living threads together. From `/proc/self/task/*/schedstat`.
pub(crate) fn seconds() -> Result<f64> {
    let mut nanoseconds = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end meanwhile.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += running(&text).unwrap_or_default();
    }
    Ok(nanoseconds / 1e9)
}

/// The first number: nanoseconds on a processor. The others tell of waiting.
fn running(text: &str) -> Option<f64> {
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::{running, seconds};

    #[test]
    fn work_is_counted() {
        assert_eq!(running("1500000000 20 30\n"), Some(1.5e9));
        let before = seconds().unwrap();
        let mut sum = 0_u64;
        for number in 0..20_000_000_u64 {
            sum = black_box(sum.wrapping_add(number));
        }
        assert!(seconds().unwrap() > before, "{sum}");
    }
}
