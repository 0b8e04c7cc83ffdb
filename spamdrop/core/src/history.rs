//! The history: the events of a source, for questions that come a day later.
//!
//! Events of the same kind about the same addresses are one event with a count,
//! so that neither a renewed block nor a stranger that tries again fills it.

mod block_end;
mod refusals;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use refusals::SOURCES;

pub use block_end::{BlockEnd, EndedBlock};
pub use refusals::RefusalSums;

use crate::dnsbl::key::mask;
use crate::escape::escape;
use crate::target::Target;
use crate::time::UnixSeconds;

/// How long events are kept unless the configuration says otherwise.
pub const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// The most events that are kept: half are refusals at the gate, so that forged
/// SYNs push out no other event. The oldest are deleted. An event takes about 300
/// bytes.
pub const MOST: u32 = 100_000;
/// The reason of a block by the FIFO, in place of a log line.
pub const FIFO_REASON: &str = "fifo";
/// The longest text of an event in bytes, before it is escaped; `spamdrop show`
/// has the same limit.
const TEXT: usize = 200;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HistoryKind {
    /// A source was blocked because of the log or the FIFO; the count is the
    /// number of its offences.
    Blocked,
    /// A block of the log or the FIFO ended by itself.
    Ended,
    /// Connections of a blocked source were ended.
    Released,
    /// The gate refused new connections of a source in one wave.
    Refused,
    /// As `Refused`, but the gate only observed, and admitted the connections.
    Observed,
    /// A source became a known sender.
    Promoted,
    /// A source lost its place among the known senders.
    Demoted,
    /// A command of the administrator or of the FIFO.
    Command,
}

impl HistoryKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Ended,
        Self::Released,
        Self::Refused,
        Self::Observed,
        Self::Promoted,
        Self::Demoted,
        Self::Command,
    ];

    /// Its name, in the database and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ended => "ended",
            Self::Released => "released",
            Self::Refused => "refused",
            Self::Observed => "observed",
            Self::Promoted => "promoted",
            Self::Demoted => "demoted",
            Self::Command => "command",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the gate recorded the event. The source of such an event may be
    /// forged.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::Observed)
    }

    /// Whether each event of this kind has a row of its own. An event of another kind
    /// is added to the last row of its addresses.
    const fn is_single(self) -> bool {
        matches!(
            self,
            Self::Ended | Self::Promoted | Self::Demoted | Self::Command
        )
    }
}

/// An event, or several of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// Its kind.
    pub kind: HistoryKind,
    /// The addresses; `None`: all, or too many to name.
    pub net: Option<IpNet>,
    /// When the first happened.
    pub first: UnixSeconds,
    /// When the last happened.
    pub last: UnixSeconds,
    /// How many there were.
    pub count: u64,
    /// Whether it continues the last event of its kind, addresses and wave,
    /// rather than being a new one.
    pub continues: bool,
    /// If `continues`: the event that this one continues ended at this time or
    /// later.
    pub since: UnixSeconds,
    /// The start of the wave; 0: the event belongs to none.
    pub wave: UnixSeconds,
    /// The user who gave the command, or `fifo`; empty: the daemon.
    pub by: String,
    /// The log line, or the command. Bytes other than printable ASCII are
    /// escaped, and keys of zones are masked.
    pub text: String,
}

impl HistoryEvent {
    /// One event about these addresses; `None`: about all, or too many to name.
    #[must_use]
    pub fn new(kind: HistoryKind, net: Option<IpNet>, at: UnixSeconds) -> Self {
        Self {
            kind,
            net,
            first: at,
            last: at,
            count: 1,
            continues: false,
            since: UnixSeconds::default(),
            wave: UnixSeconds::default(),
            by: String::new(),
            text: String::new(),
        }
    }

    /// The event of a block whose reason is this line or text.
    #[must_use]
    pub fn blocked(note: &BlockNote, reason: &[u8]) -> Self {
        Self {
            last: note.last,
            count: note.count.into(),
            continues: note.since().is_some(),
            since: note.since().unwrap_or_default(),
            text: shortened(reason),
            ..Self::new(HistoryKind::Blocked, Some(note.target().net()), note.first)
        }
    }

    /// A command by hand about these addresses; `None`: about `count` addresses
    /// that are not named.
    #[must_use]
    pub fn command(
        net: Option<IpNet>,
        count: u64,
        at: UnixSeconds,
        by: String,
        words: &[u8],
    ) -> Self {
        Self {
            count,
            by,
            text: shortened(words),
            ..Self::new(HistoryKind::Command, net, at)
        }
    }

    /// Adds a later event to this one, if both belong in one row; otherwise
    /// returns the later event as the error.
    fn add(&mut self, later: Self) -> Result<(), Self> {
        let key = |event: &Self| (event.kind, event.net, event.wave);
        let is_release = self.kind == HistoryKind::Released;
        if self.kind.is_single() || key(self) != key(&later) || !(later.continues || is_release) {
            return Err(later);
        }
        self.last = self.last.max(later.last);
        self.count = self.count.saturating_add(later.count);
        self.text = later.text;
        Ok(())
    }
}

/// A block that is still to be written. Thousands may wait at once, so the reason is
/// read from the filter's map when the block is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockNote {
    /// The offender.
    pub addr: IpAddr,
    /// When it offended first.
    pub first: UnixSeconds,
    /// When it offended last.
    pub last: UnixSeconds,
    /// Number of offences.
    pub count: u32,
    /// Whether an IPv6 address is blocked without its /64.
    pub is_alone: bool,
    /// 0: the block is new. Otherwise the address was blocked already, and the offence
    /// belongs to the same block as an offence of at most this many seconds before.
    pub renews_within_s: u32,
}

impl BlockNote {
    /// One offence of `addr`, whose entry is `target` and is new.
    #[must_use]
    pub fn new(addr: IpAddr, target: Target, at: UnixSeconds) -> Self {
        Self {
            addr,
            first: at,
            last: at,
            count: 1,
            is_alone: matches!(target, Target::V6Address(_)),
            renews_within_s: 0,
        }
    }

    /// As [`BlockNote::new`], but the entry was live already. An earlier offence belongs
    /// to the same block if it was at most the longer of `ttl_s` and `hard_limit_s`
    /// before, so that its entry may still be live. Otherwise the live entry is that of a
    /// command, or of the offence of another address in the /64.
    #[must_use]
    pub fn renewed(
        addr: IpAddr,
        target: Target,
        at: UnixSeconds,
        ttl_s: u32,
        hard_limit_s: u32,
    ) -> Self {
        Self {
            renews_within_s: ttl_s.max(hard_limit_s).max(1),
            ..Self::new(addr, target, at)
        }
    }

    /// The time since which an older offence belongs to the same block; `None`: the
    /// block is new.
    fn since(&self) -> Option<UnixSeconds> {
        let within = Duration::from_secs(self.renews_within_s.into());
        (!within.is_zero()).then(|| self.first.minus(within))
    }

    /// The entry of the block.
    #[must_use]
    pub fn target(&self) -> Target {
        match self.is_alone {
            true => Target::alone(self.addr),
            false => self.addr.into(),
        }
    }
}

/// A text as it is stored: cut, escaped, with masked keys.
fn shortened(text: &[u8]) -> String {
    let cut = text.get(..TEXT).unwrap_or(text);
    mask(&escape(cut)).into_owned()
}

/// Events that are still to be written. Beyond a limit, further events are only
/// counted as lost, so that the history cannot fill the daemon's memory.
#[derive(Debug, Default)]
pub struct HistoryBuffer {
    events: Vec<HistoryEvent>,
    blocks: Vec<BlockNote>,
    lost: u64,
}

/// The most events that wait for the disk, without the blocks. There is room for all
/// refusals of the gate that wait to be taken, and for 1,024 other events.
const EVENTS: usize = 2 * SOURCES + 1_024;
/// The most blocks that wait for the disk: enough for the sources of a wave, and
/// 240 KiB.
const BLOCKS: usize = 5_000;
/// A new event or block is merged into one of this many last ones, if they belong in
/// the same row.
const NEAR: usize = 64;

impl HistoryBuffer {
    /// Adds an event. If one of the last events belongs in the same row, both become
    /// one.
    pub fn add(&mut self, event: HistoryEvent) {
        let mut event = event;
        for near in self.events.iter_mut().rev().take(NEAR) {
            match near.add(event) {
                Ok(()) => return,
                Err(other) => event = other,
            }
        }
        if self.events.len() < EVENTS {
            self.events.push(event);
        } else {
            self.lost += 1;
        }
    }

    /// Adds an offence. If one of the last [`NEAR`] notes has the same address and belongs
    /// to the same block, the offence is added to that note; otherwise it gets a note of
    /// its own.
    pub fn block(&mut self, block: BlockNote) {
        let mut near = self.blocks.iter_mut().rev().take(NEAR);
        let is_same = |old: &&mut BlockNote| {
            let is_recent = |since| old.last >= since;
            old.addr == block.addr && block.since().is_some_and(is_recent)
        };
        if let Some(old) = near.find(is_same) {
            old.last = old.last.max(block.last);
            old.count = old.count.saturating_add(block.count);
        } else if self.blocks.len() < BLOCKS {
            self.blocks.push(block);
        } else {
            self.lost += 1;
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.blocks.is_empty()
    }

    /// Takes the blocks and the events.
    pub fn take(&mut self) -> (Vec<BlockNote>, Vec<HistoryEvent>) {
        let events = std::mem::take(&mut self.events);
        (std::mem::take(&mut self.blocks), events)
    }

    /// Puts back blocks and events that were taken and could not be written, before
    /// those that came since.
    pub fn put_back(&mut self, blocks: Vec<BlockNote>, events: Vec<HistoryEvent>) {
        let (newer_blocks, newer) = self.take();
        for block in blocks.into_iter().chain(newer_blocks) {
            self.block(block);
        }
        for event in events.into_iter().chain(newer) {
            self.add(event);
        }
    }

    /// Takes the number of events that found no room.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests;
