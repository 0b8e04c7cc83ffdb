//! How many new sources are asked about.

use std::time::{Duration, Instant};

/// So many a second in the long run.
const RATE: u32 = 50;
/// So many at once, after a quiet second.
const BURST: u32 = 50;

/// A bucket of tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// When the bucket was empty, as far as is known.
    empty: Option<Instant>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self { empty: None }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        const TOKEN: Duration = Duration::from_nanos(1_000_000_000 / RATE as u64);
        let full = now.checked_sub(TOKEN * BURST).unwrap_or(now);
        let empty = self.empty.map_or(full, |empty| empty.max(full));
        let taken = empty + TOKEN;
        if taken > now {
            return false;
        }
        self.empty = Some(taken);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_at_once_and_then_fifty_a_second() {
        let start = Instant::now() + Duration::from_secs(1000);
        let mut pace = Pace::new();
        let mut taken = |ms| {
            let now = start + Duration::from_millis(ms);
            (0..1000).filter(|_| pace.take(now)).count()
        };
        assert_eq!(taken(0), 50);
        assert_eq!(taken(19), 0);
        assert_eq!(taken(20), 1);
        assert_eq!(taken(520), 25);
        assert_eq!(taken(60_000), 50);
    }
}
