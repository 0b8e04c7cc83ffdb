//! Cache of look-up results.

use std::net::IpAddr;
use std::time::Instant;

use hashlink::LruCache;

use super::lookup_answer::LookupAnswer;

/// Maximum number of cached sources; the least recently used one is evicted.
/// With texts of the maximum length, the cache takes about 30 MB.
const MAX: usize = 65_536;

/// The answers by their source.
pub(super) struct Cache {
    answers: LruCache<IpAddr, (LookupAnswer, Instant)>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            answers: LruCache::new(MAX),
        }
    }

    pub(super) fn insert(&mut self, answer: LookupAnswer, now: Instant) {
        let until = now + answer.ttl;
        self.answers.insert(answer.addr, (answer, until));
    }

    /// The valid answer for a source, with its remaining lifetime.
    pub(super) fn get(&mut self, addr: IpAddr, now: Instant) -> Option<LookupAnswer> {
        let (answer, until) = self.answers.get(&addr)?;
        let ttl = until.checked_duration_since(now)?;
        (!ttl.is_zero()).then(|| LookupAnswer {
            ttl,
            ..answer.clone()
        })
    }

    /// The last answer for a source, even if it has expired.
    pub(super) fn last(&self, addr: IpAddr) -> Option<&LookupAnswer> {
        self.answers.peek(&addr).map(|(answer, _)| answer)
    }

    pub(super) fn clear(&mut self) {
        self.answers.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(number: u32) -> LookupAnswer {
        LookupAnswer {
            addr: IpAddr::V4(number.into()),
            standing: None,
            zone: 0,
            text: None,
            ttl: Duration::from_secs(60),
        }
    }

    #[test]
    fn an_answer_holds_for_its_time() {
        let (start, mut cache) = (Instant::now(), Cache::new());
        let one = answer(1);
        cache.insert(one.clone(), start);
        let after = |s| start + Duration::from_secs(s);
        let left = |answer: Option<LookupAnswer>| answer.map(|answer| answer.ttl.as_secs());
        assert_eq!(left(cache.get(one.addr, after(1))), Some(59));
        assert_eq!(left(cache.get(one.addr, after(60))), None);
        assert_eq!(cache.last(one.addr), Some(&one));
        cache.clear();
        assert_eq!(cache.last(one.addr), None);
    }

    #[test]
    fn the_least_recently_asked_for_is_forgotten() {
        let (now, mut cache) = (Instant::now(), Cache::new());
        let many = u32::try_from(MAX).unwrap_or_default();
        for number in 0..many {
            cache.insert(answer(number), now);
        }
        assert!(cache.get(answer(0).addr, now).is_some());
        cache.insert(answer(many), now);
        assert_eq!(cache.answers.len(), MAX);
        assert!(cache.get(answer(0).addr, now).is_some());
        assert_eq!(cache.get(answer(1).addr, now), None);
    }
}
