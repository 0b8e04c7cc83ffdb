//! The number of connections that the mail server holds, as far as its log tells
//! it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::log::{SlotChange, SlotLine};

/// How long a connection counts whose end the server does not log, unless the
/// log shows its outcome before.
pub const ASSUMED: Duration = Duration::from_secs(30);
/// The longest time that a connection counts whose end should have been logged: a
/// process that was killed logs no end.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// The most connections that count at a time; about 30 MiB. The oldest gives way
/// to a new one.
const MOST: usize = 262_144;

/// How the log tells when connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionEnds {
    /// The server logs each end (Postfix).
    Logged,
    /// The server logs its own count with each beginning (Exim).
    Counted,
    /// The server logs no end (Courier): a connection counts until its
    /// rejection or accepted message, otherwise for [`ASSUMED`].
    Assumed,
}

/// The connections that are open according to the log.
#[derive(Debug, Default)]
pub struct LoggedConnections {
    /// The open connections of each peer, the oldest first.
    peers: HashMap<IpAddr, VecDeque<OpenConnection>>,
    /// The peer of each open connection, by its deadline.
    deadlines: BTreeMap<Deadline, IpAddr>,
    number: u64,
    ends: Option<ConnectionEnds>,
    has_postscreen: bool,
}

/// The time from which a connection no longer counts, and the connection's number.
type Deadline = (Duration, u64);

#[derive(Debug)]
struct OpenConnection {
    port: Option<u16>,
    deadline: Deadline,
}

impl LoggedConnections {
    /// How the log tells when connections end; `None`: it shows no connection.
    #[must_use]
    pub fn ends(&self) -> Option<ConnectionEnds> {
        self.ends
    }

    /// Takes a line at `now`, which is monotonic. If a connection began, returns
    /// how many connections were open before.
    pub fn take(&mut self, line: &SlotLine, now: Duration) -> Option<u32> {
        if line.is_postscreen && !self.has_postscreen {
            *self = Self {
                has_postscreen: true,
                ..Self::default()
            };
        }
        if !self.is_of_listener(line) {
            return None;
        }
        self.forget(now);
        match line.change {
            SlotChange::Opened => Some(self.open(line, ConnectionEnds::Logged, now)),
            SlotChange::OpenedWithoutEnd => Some(self.open(line, ConnectionEnds::Assumed, now)),
            SlotChange::Counted(count) => {
                self.ends = Some(ConnectionEnds::Counted);
                Some(count.saturating_sub(1))
            }
            SlotChange::Closed => {
                self.close(line.addr, line.port);
                None
            }
        }
    }

    /// Takes the outcome of a connection, which ends the connection if the server
    /// logs no end.
    pub fn take_outcome(&mut self, addr: IpAddr, port: Option<u16>) {
        if self.ends == Some(ConnectionEnds::Assumed) {
            self.close(addr, port);
        }
    }

    /// Whether the process that listens has logged the line. Only the connections
    /// of this process take slots.
    #[must_use]
    pub fn is_of_listener(&self, line: &SlotLine) -> bool {
        line.is_postscreen == self.has_postscreen
    }

    fn open(&mut self, line: &SlotLine, ends: ConnectionEnds, now: Duration) -> u32 {
        if self.deadlines.len() >= MOST {
            self.forget_first();
        }
        let before = u32::try_from(self.deadlines.len()).unwrap_or(u32::MAX);
        self.ends = Some(ends);
        self.number += 1;
        let longest = match ends {
            ConnectionEnds::Assumed => ASSUMED,
            ConnectionEnds::Logged | ConnectionEnds::Counted => LONGEST,
        };
        let deadline = (now + longest, self.number);
        self.deadlines.insert(deadline, line.addr);
        let connection = OpenConnection {
            port: line.port,
            deadline,
        };
        self.peers
            .entry(line.addr)
            .or_default()
            .push_back(connection);
        before
    }

    /// Ends the connection of this port or, without one, the oldest of the
    /// peer.
    fn close(&mut self, addr: IpAddr, port: Option<u16>) {
        let Some(open) = self.peers.get_mut(&addr) else {
            return;
        };
        let is_it = |it: &OpenConnection| port.is_none() || it.port.is_none() || it.port == port;
        if let Some(index) = open.iter().position(is_it)
            && let Some(ended) = open.remove(index)
        {
            self.deadlines.remove(&ended.deadline);
        }
        if open.is_empty() {
            self.peers.remove(&addr);
        }
    }

    fn forget(&mut self, now: Duration) {
        while let Some((first, _)) = self.deadlines.first_key_value()
            && first.0 <= now
        {
            self.forget_first();
        }
    }

    /// Forgets the connection with the first deadline. It is usually the oldest of its
    /// peer, with which the search begins.
    fn forget_first(&mut self) {
        let Some((deadline, addr)) = self.deadlines.pop_first() else {
            return;
        };
        let Some(open) = self.peers.get_mut(&addr) else {
            return;
        };
        let is_it = |connection: &OpenConnection| connection.deadline == deadline;
        if let Some(index) = open.iter().position(is_it) {
            open.remove(index);
        }
        if open.is_empty() {
            self.peers.remove(&addr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot_line(addr: u8, port: Option<u16>, change: SlotChange) -> SlotLine {
        SlotLine {
            addr: IpAddr::from([192, 0, 2, addr]),
            port,
            change,
            is_postscreen: false,
        }
    }

    fn counts(lines: &[(u64, SlotLine)]) -> Vec<Option<u32>> {
        let mut connections = LoggedConnections::default();
        let take = |(at, line): &(u64, SlotLine)| connections.take(line, Duration::from_secs(*at));
        lines.iter().map(take).collect()
    }

    #[test]
    fn a_connection_counts_from_its_beginning_to_its_end() {
        use SlotChange::{Closed, Opened};
        let open = |addr| slot_line(addr, None, Opened);
        let close = |addr| slot_line(addr, None, Closed);
        let lines = [
            (0, close(1)),
            (0, open(1)),
            (1, open(1)),
            (2, open(2)),
            (3, close(1)),
            (4, open(3)),
            (5, close(1)),
            (6, close(1)),
            (7, open(4)),
            // The processes of all connections were killed, so their ends are not in the log.
            (1807, open(5)),
        ];
        let (none, some) = (None, Some);
        assert_eq!(
            counts(&lines),
            [
                none,
                some(0),
                some(1),
                some(2),
                none,
                some(2),
                none,
                none,
                some(2),
                some(0)
            ]
        );
    }

    #[test]
    fn without_an_end_the_outcome_ends_it_or_time() {
        let mut connections = LoggedConnections::default();
        let mut open = |at: u64, port: u16, outcome: Option<u16>| {
            let line = slot_line(1, Some(port), SlotChange::OpenedWithoutEnd);
            let before = connections.take(&line, Duration::from_secs(at));
            if let Some(port) = outcome {
                connections.take_outcome(line.addr, (port != 0).then_some(port));
            }
            before
        };
        assert_eq!(open(0, 100, None), Some(0));
        assert_eq!(open(1, 101, Some(101)), Some(1));
        // Another rejection of a connection that has ended.
        assert_eq!(open(2, 102, Some(101)), Some(1));
        // An accepted message has no port.
        assert_eq!(open(3, 103, Some(0)), Some(2));
        assert_eq!(open(31, 104, None), Some(2));
        assert_eq!(open(32, 105, None), Some(2));
        assert_eq!(open(90, 106, None), Some(0));
        assert_eq!(connections.ends(), Some(ConnectionEnds::Assumed));
        assert!(connections.peers.len() == 1 && connections.deadlines.len() == 1);
    }

    #[test]
    fn memory_is_bounded_and_one_peer_costs_no_more_than_many() {
        let mut connections = LoggedConnections::default();
        let line = slot_line(1, None, SlotChange::Opened);
        let most = u32::try_from(MOST).unwrap_or_default();
        let started = std::time::Instant::now();
        for number in 0..=most {
            let before = connections.take(&line, Duration::ZERO);
            assert_eq!(before, Some(number.min(most - 1)));
        }
        assert_eq!(connections.peers[&line.addr].len(), MOST);
        // All of them are forgotten at once.
        assert_eq!(connections.take(&line, LONGEST), Some(0));
        // Quadratic time would be a minute.
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_count_of_the_server_is_believed() {
        let counted = [5, 1, 0].map(|count| (0, slot_line(1, None, SlotChange::Counted(count))));
        assert_eq!(counts(&counted), [Some(4), Some(0), Some(0)]);
    }

    #[test]
    fn where_postscreen_listens_only_its_connections_count() {
        let opened = slot_line(1, None, SlotChange::Opened);
        let screened = SlotLine {
            port: Some(25),
            is_postscreen: true,
            ..opened
        };
        let passed = SlotLine {
            change: SlotChange::Closed,
            ..screened
        };
        let lines = [opened, opened, screened, opened, screened, passed, screened];
        let counted = counts(&lines.map(|line| (0, line)));
        let (first, second) = (Some(0), Some(1));
        assert_eq!(counted, [first, second, first, None, second, None, second]);
    }
}
