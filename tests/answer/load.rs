//! The responder with 10,000 simultaneous sessions.

use spamdrop::responder::make_room;

use super::*;

const SENDERS: u32 = 10_000;
const MOST_KIB: u64 = 64 * 1024;

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let mut words = line.unwrap().split_ascii_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_idle_connections_take_little_memory() {
    assert_eq!(make_room(SENDERS as usize + 500), SENDERS as usize + 500);
    let lab = Lab::new();
    let source = |n: u32| format!("100.64.{}.{}", 100 + n / 256, n % 256);
    for n in 0..SENDERS {
        lab.judge(&source(n), Standing::Listed);
    }
    let pid = lab.daemon.pid();
    let before = resident_kib(pid);
    let mut clients: Vec<Client> = (0..SENDERS)
        .map(|n| lab.site.connect(&source(n)).unwrap())
        .collect();
    lab.until_answers("connections", SENDERS.into());
    lab.until_answers("peak", SENDERS.into());
    let last = clients.last_mut().unwrap();
    assert_eq!(last.reject_session().unwrap().code, 511);
    let more = resident_kib(pid) - before;
    eprintln!(
        "{SENDERS} connections: {more} KiB more, {} bytes each",
        more * 1024 / u64::from(SENDERS)
    );
    assert!(more <= MOST_KIB, "{more} KiB");
    assert_eq!(lab.greets(CLEAN), SERVER);
}
