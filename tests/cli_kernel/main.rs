//! The binary on a real kernel: every verb that needs the filter.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod account;
mod allow;
mod attach;
mod block;
mod bulk;
mod check;
mod import;
mod lists;
mod messages;
mod owners;
mod pools;
mod refusal;
mod top;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use spamdrop::clock;
use spamdrop::kernel::blocklist::Blocklist;
use spamdrop::lock::{DaemonMark, WriteLock};
use spamdrop_lab::{Signal, Site, wait};

const WAIT: Duration = Duration::from_millis(300);
const RUN_DIR: &str = "/run/spamdrop";

fn site(config: &str) -> Site {
    let site = Site::new(Path::new(env!("CARGO_BIN_EXE_spamdrop")), |_| {}).unwrap();
    site.configure(config).unwrap();
    site
}

fn attached(config: &str) -> Site {
    let site = site(config);
    let said = site.spamdrop(&["attach", "eth0"]).unwrap();
    assert!(
        said.starts_with("eth0: filter attached, native (program "),
        "{said}"
    );
    site
}

fn json(site: &Site, args: &[&str]) -> Value {
    serde_json::from_str(&site.spamdrop(args).unwrap()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn fails(site: &Site, args: &[&str], code: i32) -> String {
    let output = site.output(args, b"").unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{args:?}: {}",
        stderr(&output)
    );
    stderr(&output)
}

/// Counts the origins in the kernel, and the blocked prefixes in the settings.
fn traces(site: &Site) -> (usize, u32) {
    site.server.run(|| {
        let blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        let mut origins = 0;
        blocklist.for_each_origin(|_, _| origins += 1).unwrap();
        let settings = blocklist.settings().unwrap();
        (origins, settings.cidrs4 + settings.cidrs6)
    })
}

/// Generates `count` different addresses, one on each line.
fn lines(count: u32) -> String {
    let mut text = String::new();
    for index in 0..count {
        let addr = Ipv4Addr::from(0x1000_0000 + index * 3);
        writeln!(text, "{addr}").unwrap();
    }
    text
}
