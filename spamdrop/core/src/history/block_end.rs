//! The end of the last block of an address, as its history tells it.

use std::time::Duration;

use super::{FIFO_REASON, HistoryEvent, HistoryKind};
use crate::owners::EntryOwner;
use crate::target::Target;
use crate::time::UnixSeconds;

/// The last block of an address that is no longer blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedBlock {
    /// The time of its last offence.
    pub last: UnixSeconds,
    /// The end.
    pub end: BlockEnd,
}

/// The end of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockEnd {
    /// Its term ended at this time.
    ByItself(UnixSeconds),
    /// A command of this user ended it.
    Command {
        /// When.
        at: UnixSeconds,
        /// The user.
        by: String,
        /// The command.
        text: String,
    },
    /// The end is not known: the daemon did not run, the kernel evicted the entry, or the
    /// history does not name the addresses of the command. The block of the log ended at
    /// this time at the latest.
    AtLatest(UnixSeconds),
}

impl EndedBlock {
    /// Finds how the last block ended of an address that is no longer blocked. `events`:
    /// those of the address, and the commands that name no address, such as `flush`.
    /// `None`: there was no block, or nothing is known of its end. A block of the log
    /// without a recorded end ended at most `hard_limit` after its last offence; zero: no
    /// limit. `hard_limit` is the present setting: the history stores no earlier one.
    #[must_use]
    pub fn find(events: &[HistoryEvent], hard_limit: Duration, now: UnixSeconds) -> Option<Self> {
        let blocks = events.iter().filter(|it| it.kind == HistoryKind::Blocked);
        let block = blocks.max_by_key(|it| it.last)?;
        let is_limited = block.text != FIFO_REASON && !hard_limit.is_zero();
        let limit = is_limited.then(|| block.last.plus(hard_limit));
        let is_in_time = |it: &&HistoryEvent| {
            it.first >= block.last && limit.is_none_or(|limit| it.first <= limit)
        };
        let ends = events.iter().filter(is_in_time);
        let ends = ends.filter_map(|it| Some((it.first, end(it, block)?)));
        let seen = ends.min_by_key(|(at, _)| *at).map(|(_, end)| end);
        let at_latest = || limit.map(|limit| BlockEnd::AtLatest(now.min(limit)));
        Some(Self {
            last: block.last,
            end: seen.or_else(at_latest)?,
        })
    }
}

/// The end of `block`, if `event` is its end.
fn end(event: &HistoryEvent, block: &HistoryEvent) -> Option<BlockEnd> {
    let at = event.first;
    match event.kind {
        // An IPv6 address alone is another entry than its /64.
        HistoryKind::Ended if event.net == block.net => Some(BlockEnd::ByItself(at)),
        HistoryKind::Command if is_ending(event, block) => Some(BlockEnd::Command {
            at,
            by: event.by.clone(),
            text: event.text.clone(),
        }),
        _ => None,
    }
}

/// Whether a command that concerns the address certainly ends this block.
fn is_ending(command: &HistoryEvent, block: &HistoryEvent) -> bool {
    let mut words = command
        .text
        .split(' ')
        .filter(|word| !word.starts_with('-'));
    match words.next().unwrap_or_default() {
        "allow" | "allowlist" | "whitelist" => command.net.is_some() && words.next() == Some("add"),
        "remove" | "unblock" | "unban" | "rm" | "del" => {
            // A command about a prefix keeps the blocks inside it.
            let target = command.net.map(Target::from);
            target.is_some_and(|it| !matches!(it, Target::Net(_))) && is_of_owner(command, block)
        }
        "flush" => is_of_owner(command, block),
        // With an interface, `detach` keeps the entries.
        "detach" => words.next().is_none(),
        _ => false,
    }
}

/// Whether a command concerns every owner, or the owner of this block. The history does
/// not tell a block of the FIFO from that of a jail.
fn is_of_owner(command: &HistoryEvent, block: &HistoryEvent) -> bool {
    let owner = command.text.split_once("--owner");
    owner.is_none_or(|(_, owner)| {
        let owner = owner.split([' ', '=']).nth(1);
        let owner = owner.and_then(|owner| owner.parse().ok());
        owner == Some(EntryOwner::Log) && block.text != FIFO_REASON
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::target::parse_net;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn second(seconds: u64) -> UnixSeconds {
        UnixSeconds::new(seconds)
    }

    fn event(kind: HistoryKind, first: u64, last: u64) -> HistoryEvent {
        HistoryEvent {
            last: second(last),
            ..HistoryEvent::new(kind, None, second(first))
        }
    }

    fn command(first: u64, text: &str) -> HistoryEvent {
        let net = text.split(' ').find_map(parse_net);
        HistoryEvent::command(net, 1, second(first), "anna".into(), text.as_bytes())
    }

    fn of_net(net: &str, event: HistoryEvent) -> HistoryEvent {
        HistoryEvent {
            net: Some(net.parse().unwrap()),
            ..event
        }
    }

    fn found(events: &[HistoryEvent]) -> Option<BlockEnd> {
        EndedBlock::find(events, HOUR, second(9_000)).map(|it| it.end)
    }

    #[test]
    fn an_end_that_was_seen_is_told_as_it_was() {
        let block = event(HistoryKind::Blocked, 100, 200);
        let ended = event(HistoryKind::Ended, 800, 800);
        let by_itself = Some(BlockEnd::ByItself(second(800)));
        assert_eq!(found(&[block.clone(), ended.clone()]), by_itself);
        let removed = command(300, "remove 192.0.2.1");
        let by_command = Some(BlockEnd::Command {
            at: second(300),
            by: "anna".into(),
            text: "remove 192.0.2.1".into(),
        });
        assert_eq!(
            found(&[block.clone(), removed.clone(), ended.clone()]),
            by_command
        );
        // Only an event after the last offence ends the block.
        let again = event(HistoryKind::Blocked, 400, 400);
        let all = [block, removed, again, command(500, "add 192.0.2.1"), ended];
        assert_eq!(found(&all), by_itself);
    }

    #[test]
    fn a_command_after_the_latest_end_ended_nothing() {
        let block = event(HistoryKind::Blocked, 100, 200);
        let at_latest = Some(BlockEnd::AtLatest(second(3_800)));
        for late in ["allow add 192.0.2.1", "remove 192.0.2.1", "flush"] {
            let all = [block.clone(), command(3_801, late)];
            assert_eq!(found(&all), at_latest, "{late}");
            let in_time = [block.clone(), command(3_800, late)];
            let by = found(&in_time);
            assert!(matches!(by, Some(BlockEnd::Command { .. })), "{by:?}");
            // Without a hard limit, the block may have lasted until the command.
            let by = EndedBlock::find(&all, Duration::ZERO, second(9_000)).map(|it| it.end);
            assert!(matches!(by, Some(BlockEnd::Command { .. })), "{by:?}");
        }
    }

    #[test]
    fn the_end_of_an_address_alone_is_not_that_of_its_network() {
        let block = of_net("2001:db8::/64", event(HistoryKind::Blocked, 100, 200));
        let alone = of_net("2001:db8::1/128", event(HistoryKind::Ended, 300, 300));
        let all = [block.clone(), alone];
        assert_eq!(found(&all), Some(BlockEnd::AtLatest(second(3_800))));
        let whole = of_net("2001:db8::/64", event(HistoryKind::Ended, 800, 800));
        assert_eq!(
            found(&[block, whole]),
            Some(BlockEnd::ByItself(second(800)))
        );
    }

    #[test]
    fn an_end_that_is_not_known_is_told_as_the_latest() {
        let block = event(HistoryKind::Blocked, 100, 200);
        assert_eq!(
            found(std::slice::from_ref(&block)),
            Some(BlockEnd::AtLatest(second(3_800)))
        );
        assert_eq!(
            EndedBlock::find(std::slice::from_ref(&block), Duration::ZERO, second(9_000)),
            None
        );
        // The block is over now, so it ended at `now` at the latest.
        let now = second(1_000);
        let found_now = EndedBlock::find(std::slice::from_ref(&block), HOUR, now);
        assert_eq!(found_now.map(|it| it.end), Some(BlockEnd::AtLatest(now)));
        // The history does not tell how long a block of the FIFO was to last.
        let of_fifo = HistoryEvent {
            text: FIFO_REASON.into(),
            ..block
        };
        assert_eq!(found(&[of_fifo]), None);
        assert_eq!(found(&[command(100, "remove 192.0.2.1")]), None);
    }

    #[test]
    fn only_a_command_that_certainly_ends_the_block_ends_it() {
        let block = event(HistoryKind::Blocked, 100, 200);
        let of_fifo = HistoryEvent {
            text: FIFO_REASON.into(),
            ..block.clone()
        };
        for ending in [
            "remove 192.0.2.1",
            "-v unban 192.0.2.1",
            "remove 2001:db8::/64",
            "allow add 192.0.2.1 --comment office",
            "allow add 192.0.2.0/24",
            "flush",
            "detach --force",
        ] {
            assert!(is_ending(&command(300, ending), &block), "{ending}");
            assert!(is_ending(&command(300, ending), &of_fifo), "{ending}");
        }
        for of_log in [
            "remove --owner log 192.0.2.1",
            "unban 192.0.2.1 --owner=log",
            "flush --owner log",
        ] {
            assert!(is_ending(&command(300, of_log), &block), "{of_log}");
            assert!(!is_ending(&command(300, of_log), &of_fifo), "{of_log}");
        }
        for other in [
            "add 192.0.2.1",
            "remove --owner drop 192.0.2.1",
            "remove 192.0.2.1 --owner=drop",
            "flush --owner drop",
            "allow remove 192.0.2.1",
            "known remove 192.0.2.1",
            "import remove",
            // The history names no address of a command with many.
            "remove",
            "allow add",
            "remove 192.0.2.0/24",
            "detach eth1",
            "",
        ] {
            assert!(!is_ending(&command(300, other), &block), "{other}");
        }
    }
}
