//! Addresses that offended within the last second.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use std::collections::HashSet;

/// Offences of an address within this time count as one. A reply of several lines is
/// logged line by line, and a peer can receive several replies within a moment.
const WINDOW: Duration = Duration::from_secs(1);

/// The most addresses that are remembered. An address that is forgotten early only
/// causes a second block.
const CAPACITY: usize = 8192;

/// The offenders of the last second.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    recent: HashSet<IpAddr>,
    order: VecDeque<(Duration, IpAddr)>,
}

impl Repeats {
    /// Records an offence. Returns whether the address had already offended
    /// within the last second.
    pub(super) fn seen(&mut self, addr: IpAddr, now: Duration) -> bool {
        while let Some(&(at, oldest)) = self.order.front() {
            if now.saturating_sub(at) < WINDOW && self.order.len() < CAPACITY {
                break;
            }
            self.order.pop_front();
            self.recent.remove(&oldest);
        }
        if !self.recent.insert(addr) {
            return true;
        }
        self.order.push_back((now, addr));
        false
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.recent.len().max(self.order.len())
    }
}
