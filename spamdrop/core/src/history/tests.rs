#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn target(n: u8) -> Target {
    Target::V4([192, 0, 2, n])
}

fn blocked(n: u8, at: u64, is_renewed: bool) -> BlockNote {
    let (target, at) = (target(n), UnixSeconds::new(at));
    let addr = target.net().addr();
    match is_renewed {
        true => BlockNote::renewed(addr, target, at, 3, 5),
        false => BlockNote::new(addr, target, at),
    }
}

#[test]
fn a_renewed_block_is_counted_and_a_new_one_is_a_row() {
    let mut buffer = HistoryBuffer::default();
    for block in [
        blocked(1, 10, false),
        blocked(2, 11, false),
        blocked(1, 12, true),
        blocked(1, 13, true),
        blocked(1, 14, false),
        // More than 5 s after the offence before, so the live block is one of a command.
        blocked(1, 20, true),
    ] {
        buffer.block(block);
    }
    assert!(!buffer.is_empty());
    let (blocks, _) = buffer.take();
    let rows = blocks.iter().map(|block| {
        let row = HistoryEvent::blocked(block, b"511");
        (
            (row.first.get(), row.last.get()),
            row.count,
            (row.continues, row.since.get()),
        )
    });
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            ((10, 13), 3, (false, 0)),
            ((11, 11), 1, (false, 0)),
            ((14, 14), 1, (false, 0)),
            ((20, 20), 1, (true, 15)),
        ]
    );
    assert!(buffer.is_empty());
}

#[test]
fn an_ipv6_address_is_blocked_alone_or_with_its_64() {
    let addr: IpAddr = "2001:db8::1".parse().unwrap();
    for target in [Target::from(addr), Target::alone(addr)] {
        let block = BlockNote::new(addr, target, UnixSeconds::new(1));
        assert_eq!(block.target(), target);
    }
}

#[test]
fn releases_and_refusals_of_one_source_are_one_row() {
    let mut buffer = HistoryBuffer::default();
    let event = |kind, wave, at| HistoryEvent {
        continues: kind == HistoryKind::Refused,
        wave: UnixSeconds::new(wave),
        ..HistoryEvent::new(kind, Some(target(1).net()), UnixSeconds::new(at))
    };
    for (kind, wave) in [
        (HistoryKind::Released, 0),
        (HistoryKind::Refused, 5),
        (HistoryKind::Refused, 5),
        (HistoryKind::Released, 0),
        (HistoryKind::Refused, 6),
    ] {
        buffer.add(event(kind, wave, 9));
    }
    assert!(!buffer.is_empty());
    let (_, events) = buffer.take();
    let counts: Vec<u64> = events.iter().map(|event| event.count).collect();
    assert_eq!(counts, [2, 2, 1]);
}

#[test]
fn each_command_is_a_row_of_its_own() {
    let mut buffer = HistoryBuffer::default();
    let net = target(1).net();
    for at in [1, 2] {
        let at = UnixSeconds::new(at);
        let by = "anna".to_owned();
        buffer.add(HistoryEvent::command(
            Some(net),
            7,
            at,
            by,
            b"add 192.0.2.1",
        ));
    }
    let (_, events) = buffer.take();
    let rows = events
        .iter()
        .map(|it| (it.first.get(), it.count, it.by.as_str(), &*it.text));
    assert!(rows.eq([1, 2].map(|at| (at, 7, "anna", "add 192.0.2.1"))));
}

#[test]
fn events_beyond_the_room_are_counted_and_lost() {
    let mut buffer = HistoryBuffer::default();
    let number = BLOCKS.max(EVENTS) + 3;
    for n in 0..number {
        let [.., a, b] = u32::try_from(n).unwrap().to_be_bytes();
        let (target, at) = (Target::V4([10, 0, a, b]), UnixSeconds::new(1));
        let block = BlockNote::new(target.net().addr(), target, at);
        buffer.block(block);
        buffer.add(HistoryEvent::new(
            HistoryKind::Promoted,
            Some(target.net()),
            at,
        ));
    }
    let lost = u64::try_from(number - BLOCKS + number - EVENTS).unwrap();
    assert_eq!((buffer.take_lost(), buffer.take_lost()), (lost, 0));
    let (blocks, events) = buffer.take();
    assert_eq!((blocks.len(), events.len()), (BLOCKS, EVENTS));
}

#[test]
fn all_refusals_of_a_wave_and_1024_other_events_have_room() {
    let at = UnixSeconds::new(1);
    let mut sums = RefusalSums::default();
    for n in 0..SOURCES {
        let source = std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap());
        for is_refused in [false, true] {
            sums.add(source.into(), at, at, is_refused);
        }
    }
    let mut buffer = HistoryBuffer::default();
    let promoted = |_| HistoryEvent::new(HistoryKind::Promoted, None, at);
    let others = (0..1_024).map(promoted);
    for event in sums.take(usize::MAX).into_iter().chain(others) {
        buffer.add(event);
    }
    assert_eq!(buffer.take_lost(), 0);
    buffer.add(promoted(0));
    assert_eq!(buffer.take_lost(), 1);
}

#[test]
fn events_are_kept_for_30_days() {
    assert_eq!(crate::duration::human(KEPT).to_string(), "30d");
}

#[test]
fn events_that_could_not_be_written_come_before_newer_ones() {
    let mut buffer = HistoryBuffer::default();
    buffer.block(blocked(1, 10, false));
    buffer.add(released(1));
    let (blocks, events) = buffer.take();
    buffer.block(blocked(1, 12, true));
    buffer.block(blocked(2, 13, false));
    buffer.add(released(2));
    buffer.put_back(blocks, events);
    let (blocks, events) = buffer.take();
    let blocks = blocks.iter().map(|it| (it.first.get(), it.count));
    assert!(blocks.eq([(10, 2), (13, 1)]));
    let addrs = events.iter().filter_map(|event| event.net);
    assert!(addrs.eq([target(1).net(), target(2).net()]));
}

fn released(n: u8) -> HistoryEvent {
    let at = UnixSeconds::new(9);
    HistoryEvent::new(HistoryKind::Released, Some(target(n).net()), at)
}

#[test]
fn a_text_is_cut_and_escaped() {
    let line = [b"\x1b[2J".as_slice(), &[b'x'; 300]].concat();
    let event = HistoryEvent::blocked(&blocked(1, 1, false), &line);
    assert_eq!(event.text, format!(r"\x1b[2J{}", "x".repeat(196)));
}

#[test]
fn names_are_read_back() {
    for kind in HistoryKind::ALL {
        assert_eq!(HistoryKind::of_name(kind.name()), Some(kind));
    }
    assert_eq!(HistoryKind::of_name("hit"), None);
}
