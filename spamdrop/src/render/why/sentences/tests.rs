#![expect(clippy::unwrap_used, reason = "a test may panic")]

use spamdrop_core::history::{BlockEnd, EndedBlock, HistoryEvent, HistoryKind};
use spamdrop_core::next_syn::StrangerClass;

use super::*;
use crate::render::entries::tests::entry;
use crate::render::history::HistoryRow;
use crate::render::json;
use crate::render::show::AddressDetail;
use crate::render::why::{AllowedBy, NextConnection, Unread};

fn one(next: Option<NextConnection>) -> Explanation<'static> {
    Explanation {
        addr: "192.0.2.1".parse().unwrap(),
        filter: FilterPresence::Attached,
        next,
        changes: Vec::new(),
        block: None,
        allowed: None,
        known: None,
        gate: None,
        lookup: None,
        history: Vec::new(),
        unknown: Vec::new(),
        unread: Unread::default(),
        refresh: Refresh::Packet,
        ended: None,
    }
}

fn next(fate: Fate, reason: Reason) -> Option<NextConnection> {
    Some(NextConnection {
        fate,
        reason: Some(reason),
        fate_of_windows: fate,
    })
}

fn gate(mode: &'static str) -> GatePlace {
    GatePlace {
        mode,
        held: 30,
        slots: 40,
        passes: false,
        class: StrangerClass {
            class: 1,
            waits_from: 28,
        },
        waits_from_of_windows: 24,
        has_verdict: false,
        refused: 2,
        refused_without_source: 0,
    }
}

fn written(one: &Explanation<'_>) -> String {
    let mut out = Vec::new();
    let all = std::slice::from_ref(one);
    write_text(&mut out, Style::Plain, all, &TimeZone::UTC).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_blocked_sender_is_told_everything() {
    let at = UnixSeconds::new(1_795_392_000);
    let net = Some("192.0.2.1/32".parse().unwrap());
    let from_log = LiveEntry {
        origin: EntryOrigin::Log,
        hard_limit_in: Some(Duration::from_secs(3300)),
        ..entry("192.0.2.1")
    };
    let origin = BlockOrigin {
        addr: "192.0.2.1/32".parse().unwrap(),
        first_unix_s: at.get(),
        offences: 2,
        last_offence_ago: Some(Duration::from_secs(130)),
        release_pending: false,
        text: "511 no".into(),
    };
    let blocked = Explanation {
        changes: vec![CommandEffect {
            command: "spamdrop remove 192.0.2.1".into(),
            effect: "unblocks it",
        }],
        block: Some(AddressDetail {
            addr: "192.0.2.1".into(),
            allowed_by: None,
            entries: vec![from_log],
            ends: Vec::new(),
            origins: vec![origin],
        }),
        gate: Some(gate("on")),
        history: vec![HistoryRow::new(HistoryEvent::new(
            HistoryKind::Refused,
            net,
            at,
        ))],
        unknown: vec!["the answers of the zones: no name server".into()],
        ..one(next(Fate::Dropped, Reason::SealedDropped))
    };
    assert_eq!(
        written(&blocked),
        "\
192.0.2.1: its next connection is dropped: it is blocked.
  192.0.2.1 is blocked because of the log; the block is sealed, so every packet is dropped, has 7 hits, and ends in 9m 12s, or 10m after its next packet, at the latest in 55m.
  192.0.2.1 has been blocked since 2026-11-23 00:00:00 +00:00, for 2 offences, the last 2m 10s ago: 511 no
  Nothing allows it.
  It is not a known sender: there is no evidence for it.
  At the gate it is a stranger of class 1 and waits while at least 28 (70 %) of the server's 40 slots are in use, or 24 (60 %) if it runs Windows; 30 are in use now. The gate has refused 2 SYNs from it.
  Unknown: the answers of the zones: no name server.
  `spamdrop remove 192.0.2.1` unblocks it.
History:
FIRST                       LAST  EVENT    ADDRESS    COUNT  BY  TEXT
2026-11-23 00:00:00 +00:00  -     refused  192.0.2.1      1  -
"
    );
}

#[test]
fn a_known_or_allowed_sender_never_waits() {
    let known = SenderRow {
        source: "192.0.2.1".parse().unwrap(),
        state: SenderStanding::Known,
        last_accepted_unix_s: Some(1_795_392_000),
        last_delivered_unix_s: None,
        known_until_unix_s: Some(1_795_478_400),
        last_demoted_unix_s: None,
    };
    let mut friend = Explanation {
        known: Some(known),
        gate: Some(GatePlace {
            passes: true,
            refused: 0,
            ..gate("on")
        }),
        ..one(next(Fate::Accepted, Reason::GateKnownOrAllowed))
    };
    let told = written(&friend);
    let sentences = "\
192.0.2.1: its next connection is accepted: strangers wait, but it is no stranger.
  Nothing allows it.
  192.0.2.1 is a known sender until 2026-11-24 00:00:00 +00:00: its mail was last accepted on 2026-11-23 00:00:00 +00:00.
  The gate never makes it wait.
";
    assert_eq!(told, sentences);
    friend = one(next(Fate::Accepted, Reason::NotBlocked));
    for (by, is_in_effect, expected) in [
        (
            "file",
            true,
            "\n  The allowlist has 192.0.2.0/24, so it is never dropped.\n",
        ),
        (
            "file",
            false,
            "\n  The allowlist has 192.0.2.0/24, but the filter does not have it yet; `spamdrop reload` applies it, or the daemon's next start.\n",
        ),
        (
            "filter",
            true,
            "\n  The filter's allowlist has 192.0.2.0/24, so it is never dropped.\n",
        ),
        (
            "own",
            true,
            " 192.0.2.0/24 is protected automatically (own).\n",
        ),
        (
            "own",
            false,
            "\n  192.0.2.0/24 is protected automatically (own), but the filter does not have it yet; `spamdrop reload` applies it, or the daemon's next start.\n",
        ),
    ] {
        let net = "192.0.2.0/24".parse().unwrap();
        friend.allowed = Some(AllowedBy {
            net,
            by,
            until_unix_s: None,
            comment: None,
            is_in_effect,
        });
        let told = written(&friend);
        assert!(told.contains(expected), "{told}");
    }
    let allowed = friend.allowed.as_mut().unwrap();
    (allowed.by, allowed.is_in_effect) = ("file", true);
    allowed.until_unix_s = Some(1_795_392_000);
    allowed.comment = Some("backup MX".into());
    let told = written(&friend);
    let expected = "\n  The allowlist has 192.0.2.0/24 (backup MX) until 2026-11-23 00:00:00 +00:00; until then it is not dropped.\n";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn the_system_of_a_stranger_may_decide() {
    let mut stranger = one(next(Fate::Accepted, Reason::NotBlocked));
    stranger.next.as_mut().unwrap().fate_of_windows = Fate::Refused;
    stranger.gate = Some(gate("observe"));
    let told = written(&stranger);
    let first = "192.0.2.1: its next connection is accepted: it is not blocked. From Windows it \
                 would be refused at the gate.\n";
    assert!(told.starts_with(first), "{told}");
    assert!(
        told.contains("class 1 and would wait (the gate only observes) while"),
        "{told}"
    );
    stranger.gate = Some(gate("off"));
    assert!(
        written(&stranger).contains("  The gate is off, so no sender has to wait. The gate has")
    );
}

#[test]
fn without_a_filter_nothing_is_dropped_and_without_rights_nothing_is_known() {
    let mut bare = one(Some(NextConnection {
        fate: Fate::Accepted,
        reason: None,
        fate_of_windows: Fate::Accepted,
    }));
    bare.filter = FilterPresence::Absent;
    let told = written(&bare);
    let first = "\
192.0.2.1: its next connection is accepted: no interface has the filter.
  No filter is attached, so no sender is blocked or has to wait.
";
    assert!(told.starts_with(first), "{told}");
    bare.filter = FilterPresence::Unreadable;
    bare.next = None;
    let told = written(&bare);
    let first = "192.0.2.1: the fate of its next connection is unknown.\n  Nothing allows it.\n";
    assert!(told.starts_with(first), "{told}");
}

#[test]
fn nothing_is_said_of_what_could_not_be_read() {
    let mut one = one(next(Fate::Accepted, Reason::NotBlocked));
    let absent = ["  Nothing allows it.\n", "  It is not a known sender"];
    let told = written(&one);
    assert!(absent.iter().all(|text| told.contains(text)), "{told}");
    one.unread = Unread {
        is_allowlist: true,
        is_known: true,
    };
    one.unknown = vec!["the allowlist: denied".into()];
    assert_eq!(
        written(&one),
        "\
192.0.2.1: its next connection is accepted: it is not blocked.
  Unknown: the allowlist: denied.
"
    );
}

#[test]
fn the_end_of_a_block_follows_from_the_packets_that_extend_it() {
    let block = LiveEntry {
        hard_limit_in: Some(Duration::from_secs(3300)),
        ..entry("192.0.2.1")
    };
    for (refresh, end) in [
        (
            Refresh::Packet,
            " and ends in 9m 12s, or 10m after its next packet, at the latest in 55m.",
        ),
        (
            Refresh::Syn,
            " and ends in 9m 12s, or 10m after its next new connection, at the latest in 55m.",
        ),
        (
            Refresh::Never,
            " and ends in 9m 12s, whatever packets arrive.",
        ),
    ] {
        let told = super::entry(&block, refresh);
        assert!(told.ends_with(end), "{told}");
    }
}

#[test]
fn refusals_without_a_source_are_told() {
    let place = GatePlace {
        refused_without_source: 9,
        ..gate("off")
    };
    assert_eq!(
        super::gate(&place),
        "The gate is off, so no sender has to wait. The gate has refused 2 SYNs from it. The gate \
         has refused 9 SYNs from sources that were too many to record; it may be one."
    );
}

#[test]
fn json_has_every_member() {
    let mut out = Vec::new();
    let place = Explanation {
        gate: Some(gate("on")),
        ..one(next(Fate::Refused, Reason::GateRefused))
    };
    json::array(&mut out, [place]).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"[
{"addr":"192.0.2.1","filter":"attached","next":{"fate":"refused","reason":"gate_refused","fate_of_windows":"refused"},"changes":[],"block":null,"allowed":null,"known":null,"gate":{"mode":"on","held":30,"slots":40,"passes":false,"class":1,"waits_from":28,"waits_from_of_windows":24,"has_verdict":false,"refused":2,"refused_without_source":0},"lookup":null,"history":[],"unknown":[]}
]
"#
    );
}

#[test]
fn the_end_of_the_last_block_is_told_as_far_as_it_is_known() {
    let at = UnixSeconds::new(1_795_392_600);
    let told = |end| {
        let block = AddressDetail {
            addr: "192.0.2.1".into(),
            allowed_by: None,
            entries: Vec::new(),
            origins: Vec::new(),
            ends: Vec::new(),
        };
        let one = Explanation {
            block: Some(block),
            ended: Some(EndedBlock { last: at, end }),
            ..one(next(Fate::Accepted, Reason::NotBlocked))
        };
        let text = written(&one);
        let line = text.lines().find(|line| line.contains("last block"));
        line.unwrap().trim().to_owned()
    };
    let time = "2026-11-23 00:10:00 +00:00";
    assert_eq!(
        told(BlockEnd::ByItself(at)),
        format!("Its last block ended by itself at {time}.")
    );
    let command = BlockEnd::Command {
        at,
        by: "anna".into(),
        text: "remove 192.0.2.1".into(),
    };
    assert_eq!(
        told(command),
        format!("Its last block was ended by anna at {time}: `remove 192.0.2.1`.")
    );
    assert_eq!(
        told(BlockEnd::AtLatest(at)),
        format!(
            "Its last block by the log ended at {time} at the latest, by the present `hard_limit`; its exact end is not known."
        )
    );
}
