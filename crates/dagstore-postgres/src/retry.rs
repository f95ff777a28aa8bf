//! Pauses between tries.

use std::time::Duration;

/// The first pause, doubled each time up to the last; each is shortened at random by up to a half.
const FIRST: Duration = Duration::from_millis(5);
const LAST: Duration = Duration::from_millis(500);

/// Tries that are bounded in number.
#[derive(Debug)]
pub(crate) struct Tries {
    left: u32,
    pause: Duration,
}

impl Tries {
    /// So many more tries after the first.
    pub(crate) fn more(left: u32) -> Self {
        Self { left, pause: FIRST }
    }

    /// Waits before the next try; `false` where there is to be none.
    pub(crate) async fn again(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        tokio::time::sleep(shortened(self.pause)).await;
        self.pause = (self.pause * 2).min(LAST);
        true
    }
}

/// The pause, less up to a half of it: so that two who met once don't meet again and again.
fn shortened(pause: Duration) -> Duration {
    // Without randomness the pause stays whole.
    let random = getrandom::u32().unwrap_or(0);
    let kept = (1 << 17) - (random >> 16);
    pause * kept / (1 << 17)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tries_end_and_pauses_grow() {
        let begin = tokio::time::Instant::now();
        let mut tries = Tries::more(10);
        let mut count = 0;
        while tries.again().await {
            count += 1;
        }
        assert_eq!(count, 10);
        // 5 + 10 + .. + 320 + 500 * 3 = 2135 ms, less at most a half.
        let took = begin.elapsed();
        assert!(took > Duration::from_millis(1_060) && took < Duration::from_millis(2_160), "{took:?}");
    }

    #[test]
    fn a_pause_is_shortened_by_a_half_at_most() {
        for _ in 0..1_000 {
            let pause = shortened(Duration::from_secs(1));
            assert!(pause > Duration::from_millis(499) && pause <= Duration::from_secs(1), "{pause:?}");
        }
    }
}
