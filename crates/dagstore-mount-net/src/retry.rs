//! Trying again, with pauses, and not for ever.

use std::time::Duration;

use dagstore_mount::Result;
use tokio::time::Instant;

use crate::{Again, Failure, Limits};

/// What one call has used up of its time and tries.
#[derive(Debug)]
pub struct Tries {
    limits: Limits,
    used: u32,
    /// How long was waited for the server, pauses included.
    waited: Duration,
}

impl Tries {
    /// Nothing yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), used: 0, waited: Duration::ZERO }
    }

    /// The limits of the call.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Waits for the server, as long as `longest` and the rest of the call's time allow; what is waited for is `what`.
    ///
    /// # Errors
    /// Either of the two has passed.
    pub async fn wait<T>(
        &mut self,
        place: &str,
        what: &str,
        longest: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let rest = self.limits.deadline.saturating_sub(self.waited);
        let begun = Instant::now();
        let done = tokio::time::timeout(longest.min(rest), work).await;
        self.waited += begun.elapsed();
        done.map_err(|_| {
            if longest <= rest {
                return Failure::timed_out(place, what, longest);
            }
            Failure { again: Again::Never, ..Failure::timed_out(place, "all of it", self.limits.deadline) }
        })
    }

    /// Pauses before the next try.
    ///
    /// # Errors
    /// The failure's own, where there is to be no other try.
    pub(crate) async fn pause(&mut self, place: &str, failure: Failure) -> Result<()> {
        let pause = match failure.again {
            Again::Never => return Err(failure.error),
            Again::Soon => by_chance(self.next_pause()),
            // A server that wants to be left alone for long is left alone.
            Again::After(asked) if asked > self.limits.longest_pause => return Err(failure.error),
            Again::After(asked) => asked.max(by_chance(self.next_pause())),
        };
        if self.used >= self.limits.retries || self.waited + pause >= self.limits.deadline {
            return Err(failure.error);
        }
        tracing::debug!(place, ?pause, error = %failure.error, "a request to a source is tried again");
        self.used += 1;
        self.waited += pause;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// It came on well: what went wrong before is forgotten.
    pub(crate) fn forget(&mut self) {
        self.used = 0;
    }

    fn next_pause(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.used).unwrap_or(u32::MAX);
        self.limits.first_pause.saturating_mul(factor).min(self.limits.longest_pause)
    }
}

/// Between half of a pause and all of it, so that many who failed together don't come back together.
fn by_chance(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without chance it is the whole pause.
    let part = getrandom::fill(&mut byte).map_or(255, |()| byte[0]);
    pause / 2 + pause / 2 * u32::from(part) / 255
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failure(again: Again) -> Failure {
        Failure::unavailable("a", io::Error::other("b"), again)
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end() {
        let limits = Limits { retries: 3, ..Limits::default() };
        let mut tries = Tries::new(&limits);
        for longest in [500, 1000, 2000] {
            let begun = Instant::now();
            tries.pause("a", failure(Again::Soon)).await.unwrap();
            let pause = begun.elapsed().as_millis();
            assert!((longest / 2..=longest + 1).contains(&pause), "{pause} of {longest}");
        }
        tries.pause("a", failure(Again::Soon)).await.unwrap_err();
        tries.forget();
        tries.pause("a", failure(Again::Soon)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_may_ask_for_a_pause_but_not_for_any() {
        let mut tries = Tries::new(&Limits::default());
        let begun = Instant::now();
        tries.pause("a", failure(Again::After(Duration::from_secs(20)))).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 20);
        tries.pause("a", failure(Again::After(Duration::from_secs(31)))).await.unwrap_err();
        tries.pause("a", failure(Again::Never)).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_has_an_end() {
        let limits = Limits { deadline: Duration::from_secs(5), ..Limits::default() };
        let mut tries = Tries::new(&limits);
        let day = Duration::from_hours(24);
        tries.wait("a", "b", day, tokio::time::sleep(Duration::from_secs(4))).await.unwrap();
        let late = tries.wait("a", "b", day, tokio::time::sleep(day)).await.unwrap_err();
        assert_eq!(late.again, Again::Never);
        tries.pause("a", failure(Again::Soon)).await.unwrap_err();
    }
}
