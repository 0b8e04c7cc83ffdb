//! The filter stays small: the kernel refuses a program that is too long for its
//! verifier or needs too much stack.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use aya::programs::ProgramInfo;
use spamdrop::kernel::attach::{self, AttachMode, Plan};
use spamdrop::kernel::blocklist::pins::{self, Capacity};
use spamdrop_lab::Host;
use spamdrop_lab::program::{RECORDED, Size, stack};

const PLAN: Plan = Plan {
    capacity: Capacity {
        v4: 16_384,
        v6: 4_096,
        known: 1_024,
    },
    mode: AttachMode::Auto,
    log_level: 0,
};

#[test]
fn the_filter_is_at_most_a_fifth_larger_than_recorded() {
    let host = Host::new("size").unwrap();
    let mut loaded = host.run(|| {
        let dir = Path::new("/sys/fs/bpf/spamdrop");
        pins::make_dirs(dir).unwrap();
        attach::load(dir, PLAN).unwrap()
    });
    let found = size(&loaded.program().unwrap().info().unwrap());
    let most = RECORDED.most();
    assert!(
        found.instructions <= most.instructions && found.stack <= most.stack,
        "{found:?} is too large for {RECORDED:?}, in spamdrop_lab::program"
    );
    // A value below half of the recorded one means that the measurement failed,
    // not that the program shrank.
    assert!(found.instructions * 2 > RECORDED.instructions && found.stack * 2 > RECORDED.stack);
    // The program for links without a link-layer header parses less.
    let ip = size(&loaded.ip_program().unwrap().info().unwrap());
    assert!(
        ip.instructions <= found.instructions && ip.stack <= most.stack,
        "{ip:?} is too large beside {found:?}"
    );
}

fn size(program: &ProgramInfo) -> Size {
    Size {
        instructions: program.verified_instruction_count().unwrap(),
        stack: stack(program.id()).unwrap(),
    }
}
