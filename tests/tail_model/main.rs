//! Random histories of log files, against a model that lists the lines which
//! must arrive: none lost, none twice, in the order of their file.
//!
//! The histories leave out what a reader cannot know: lines that are deleted or
//! truncated away before it reads them, a file that comes and goes without a
//! rotated name, and renaming mixed with copytruncate between two reads.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;

use world::{Action, Cut, Format, Names, World};

const CASES: u32 = 600;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn write() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1..4_u8).prop_map(Action::Append),
        2 => Just(Action::Unfinished),
        1 => any::<bool>().prop_map(Action::Overlong),
        2 => any::<bool>().prop_map(Action::Late),
    ]
}

fn rotate() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Rotate),
        1 => Just(Action::Rename),
        2 => Just(Action::Create),
        2 => Just(Action::CopyTruncate),
        1 => Just(Action::Truncate),
        1 => Just(Action::Delete),
        1 => Just(Action::Copy),
        1 => (cut(), 1..6_usize).prop_map(|(cut, count)| Action::Edit(cut, count)),
        2 => format().prop_map(Action::Compress),
    ]
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![Just(Cut::First), Just(Cut::Middle), Just(Cut::Last)]
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Gzip), Just(Format::Xz), Just(Format::Zstd)]
}

fn names() -> impl Strategy<Value = Names> {
    prop_oneof![
        3 => Just(Names::Numbers(1)),
        1 => Just(Names::Numbers(0)),
        1 => Just(Names::Padded),
        1 => Just(Names::Dates),
        1 => Just(Names::DashedDates),
    ]
}

fn look() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => (1..400_usize).prop_map(Action::Poll),
        2 => Just(Action::Poll(1 << 20)),
        2 => (0..8_u8).prop_map(Action::Pass),
    ]
}

fn restart(meanwhile: impl Strategy<Value = Action>) -> impl Strategy<Value = Action> {
    (any::<bool>(), vec(meanwhile, 0..6)).prop_map(|(read, actions)| Action::Restart(read, actions))
}

fn swap() -> impl Strategy<Value = Action> {
    (0..4_u8).prop_map(Action::Swap)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rotations_lose_and_repeat_nothing(
        exists: bool,
        on_disk in weighted(0.1),
        names in names(),
        history in vec(prop_oneof![
            5 => write(),
            4 => rotate(),
            4 => look(),
            1 => restart(prop_oneof![write(), rotate()]),
        ], 1..80),
    ) {
        World::new(exists, on_disk, names).run(&history)?;
    }

    #[test]
    fn symlinks_lose_and_repeat_nothing(
        history in vec(prop_oneof![
            5 => write(),
            3 => swap(),
            4 => look(),
            1 => restart(prop_oneof![write(), swap()]),
        ], 1..80),
    ) {
        World::linked().run(&history)?;
    }
}
