//! The end of the last block of an address, as its history tells it.

use std::time::Duration;

use super::{FIFO_REASON, HistoryEvent, HistoryKind};
use crate::time::UnixSeconds;

/// The last block of an address that is not blocked any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedBlock {
    /// When it was blocked last.
    pub last: UnixSeconds,
    /// The end.
    pub end: BlockEnd,
}

/// The end of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockEnd {
    /// Its time was over then.
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
    /// The end was not seen: the daemon did not run, the kernel evicted the entry, or
    /// everything was unblocked. The block of the log ended at this time at the latest.
    AtLatest(UnixSeconds),
}

impl EndedBlock {
    /// The last block among the events of an address that is not blocked `now`. `None` if there is none, or if nothing is known of its end. A block of the log
    /// lasts at most `hard_limit` after its last offence; zero: there is no limit.
    #[must_use]
    pub fn find(events: &[HistoryEvent], hard_limit: Duration, now: UnixSeconds) -> Option<Self> {
        let blocks = events.iter().filter(|it| it.kind == HistoryKind::Blocked);
        let block = blocks.max_by_key(|it| it.last)?;
        let later = events.iter().filter(|it| it.first >= block.last);
        let ends = later.filter_map(|it| Some((it.first, end(it)?)));
        let seen = ends.min_by_key(|(at, _)| *at).map(|(_, end)| end);
        let is_limited = block.text != FIFO_REASON && !hard_limit.is_zero();
        let limit = || is_limited.then(|| BlockEnd::AtLatest(now.min(block.last.plus(hard_limit))));
        Some(Self {
            last: block.last,
            end: seen.or_else(limit)?,
        })
    }
}

/// The end of a block that an event is.
fn end(event: &HistoryEvent) -> Option<BlockEnd> {
    let at = event.first;
    match event.kind {
        HistoryKind::Ended => Some(BlockEnd::ByItself(at)),
        HistoryKind::Command if is_ending(&event.text) => Some(BlockEnd::Command {
            at,
            by: event.by.clone(),
            text: event.text.clone(),
        }),
        _ => None,
    }
}

/// Whether this command ends blocks, whoever owns them.
fn is_ending(command: &str) -> bool {
    let mut words = command.split(' ').filter(|word| !word.starts_with('-'));
    match words.next().unwrap_or_default() {
        "allow" | "allowlist" | "whitelist" => words.next() == Some("add"),
        "remove" | "unblock" | "unban" | "rm" | "del" | "flush" => !command.contains(" --owner"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(seconds: u64) -> UnixSeconds {
        UnixSeconds::new(seconds)
    }

    fn event(kind: HistoryKind, first: u64, last: u64) -> HistoryEvent {
        HistoryEvent {
            last: at(last),
            ..HistoryEvent::new(kind, None, at(first))
        }
    }

    fn command(first: u64, text: &str) -> HistoryEvent {
        HistoryEvent::command(None, 1, at(first), "anna".into(), text.as_bytes())
    }

    fn found(events: &[HistoryEvent]) -> Option<BlockEnd> {
        EndedBlock::find(events, HOUR, at(9_000)).map(|it| it.end)
    }

    #[test]
    fn an_end_that_was_seen_is_told_as_it_was() {
        let block = event(HistoryKind::Blocked, 100, 200);
        let ended = event(HistoryKind::Ended, 800, 800);
        let by_itself = Some(BlockEnd::ByItself(at(800)));
        assert_eq!(found(&[block.clone(), ended.clone()]), by_itself);
        let removed = command(300, "remove 192.0.2.1");
        let by_command = Some(BlockEnd::Command {
            at: at(300),
            by: "anna".into(),
            text: "remove 192.0.2.1".into(),
        });
        assert_eq!(
            found(&[block.clone(), removed.clone(), ended.clone()]),
            by_command
        );
        // Only what came later ends it.
        let again = event(HistoryKind::Blocked, 400, 400);
        let all = [block, removed, again, command(500, "add 192.0.2.1"), ended];
        assert_eq!(found(&all), by_itself);
    }

    #[test]
    fn an_end_that_was_not_seen_is_told_as_the_latest() {
        let block = event(HistoryKind::Blocked, 100, 200);
        assert_eq!(
            found(std::slice::from_ref(&block)),
            Some(BlockEnd::AtLatest(at(3_800)))
        );
        assert_eq!(
            EndedBlock::find(std::slice::from_ref(&block), Duration::ZERO, at(9_000)),
            None
        );
        // It may have been earlier, for it is over now.
        let now = at(1_000);
        let found_now = EndedBlock::find(std::slice::from_ref(&block), HOUR, now);
        assert_eq!(found_now.map(|it| it.end), Some(BlockEnd::AtLatest(now)));
        // The time of a command of the FIFO is not in the history.
        let of_fifo = HistoryEvent {
            text: FIFO_REASON.into(),
            ..block
        };
        assert_eq!(found(&[of_fifo]), None);
        assert_eq!(found(&[command(100, "remove 192.0.2.1")]), None);
    }

    #[test]
    fn only_a_command_that_ends_every_block_ends_one() {
        for ending in [
            "remove 192.0.2.1",
            "-v unban 192.0.2.1",
            "allow add 192.0.2.1 --comment office",
            "flush",
        ] {
            assert!(is_ending(ending), "{ending}");
        }
        for other in [
            "add 192.0.2.1",
            "remove --owner drop 192.0.2.1",
            "remove 192.0.2.1 --owner=drop",
            "allow remove 192.0.2.1",
            "known remove 192.0.2.1",
            "import remove",
            "",
        ] {
            assert!(!is_ending(other), "{other}");
        }
    }
}
