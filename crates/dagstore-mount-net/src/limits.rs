//! How long things may take, and how often they are tried.

use std::time::Duration;

/// What nobody may take more of, and how often is tried. Time is only counted while somebody waits for the server: one who
/// reads slowly runs into no limit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// How long connecting may take: 10 s.
    pub connect: Duration,
    /// How long a server may take to begin its answer: 60 s. Where a credential has to be got first, that counts, too.
    pub first_byte: Duration,
    /// How long it may pause while it answers: 30 s.
    pub idle: Duration,
    /// The least that it sends, in bytes per second over each [`rate_window`](Self::rate_window): 1024.
    pub least_rate: u64,
    /// 60 s.
    pub rate_window: Duration,
    /// How long one call takes at most, all tries and pauses of it counted: 24 h.
    pub deadline: Duration,
    /// How often a call is tried again after errors that may pass: 5. A stream that came on by a MiB begins to count anew.
    pub retries: u32,
    /// The first pause before trying again, 500 ms; each later one is twice as long, and each is shortened by chance.
    pub first_pause: Duration,
    /// The longest pause, 30 s. A server that asks for a longer one (`Retry-After`) isn't tried again.
    pub longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_mins(1),
            idle: Duration::from_secs(30),
            least_rate: 1024,
            rate_window: Duration::from_mins(1),
            deadline: Duration::from_hours(24),
            retries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}
