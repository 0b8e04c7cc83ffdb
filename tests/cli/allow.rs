//! `allow` without a filter: which end an entry has.

use jiff::{Timestamp, ToSpan as _};

use super::*;

fn file(home: &Home) -> String {
    fs::read_to_string(home.path("allow_file")).unwrap()
}

/// A timer of the guide adds addresses for some days. The administrator may have allowed
/// some of them for longer.
#[test]
fn allowing_for_a_time_shortens_nothing_without_force() {
    let home = Home::new("");
    home.run(&["allow", "add", "--comment", "customer", "192.0.2.1"]);
    home.run(&["allow", "add", "--for", "9d", "192.0.2.2"]);
    let timer = ["allow", "add", "--for", "2d", "--comment", "provider"];
    let names = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let before = file(&home);
    let output = home.run(&[&timer[..], &names].concat());
    assert_eq!(
        stdout(&output),
        "allowed 1 prefix for 2d\n\
         kept 2 prefixes, already allowed for longer (`--force` sets the shorter time)\n"
    );
    assert!(!stderr(&output).contains("192.0.2"), "{}", stderr(&output));
    // The warning uses the words of `--help`.
    let warned = "until the next `allow add`, `allow remove`, `attach` or `run`\n";
    assert!(stderr(&output).contains(warned), "{}", stderr(&output));
    assert!(file(&home).starts_with(&before), "{}", file(&home));

    let output = home.run(&[&timer[..], &["--force"], &names[..2]].concat());
    assert_eq!(
        stdout(&output),
        "allowed 0 prefixes for 2d\nchanged 2 prefixes, allowed for 2d now\n"
    );
    let warned = "192.0.2.1 was allowed without an end, and is allowed for 2d now\n";
    assert!(stderr(&output).contains(warned), "{}", stderr(&output));
    let lines = file(&home);
    assert!(lines.lines().all(|line| line.ends_with("Z provider")));
}

/// So a clock that is ahead for a while does not remove lines too early.
#[test]
fn the_line_of_an_entry_stays_for_a_day_after_its_end() {
    let home = Home::new("");
    let line = |addr: &str, hours: i64| {
        let end = Timestamp::now() - hours.hours();
        format!("{addr} # until={}\n", end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    };
    let earlier = line("192.0.2.2", 23);
    let recent = line("192.0.2.1", 1) + &earlier;
    home.write(
        "allow_file",
        (recent.clone() + &line("192.0.2.3", 25)).as_bytes(),
    );
    let output = home.run(&["allow", "add", "192.0.2.9"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(file(&home), recent.clone() + "192.0.2.9\n");
    let output = home.run(&["allow", "remove", "192.0.2.9"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(file(&home), recent);
    // The line of an ended entry can be removed, although the address is not allowed.
    let output = home.run(&["allow", "remove", "192.0.2.1"]);
    assert_eq!(stdout(&output), "removed 0 prefixes from the allowlist\n");
    assert_eq!(file(&home), earlier);
}

#[test]
fn why_names_the_entry_that_ends_last() {
    let home = Home::new("");
    let why = || {
        let output = home.run(&["why", "--no-lookup", "192.0.2.5"]);
        stdout(&output).to_owned()
    };
    home.run(&["allow", "add", "--for", "2h", "192.0.2.5"]);
    home.run(&["allow", "add", "--for", "9h", "192.0.2.0/28"]);
    assert!(why().contains("The allowlist has 192.0.2.0/28 until "));
    home.run(&["allow", "add", "192.0.2.0/24"]);
    let said = why();
    let expected = "The allowlist has 192.0.2.0/24, so it is never dropped.";
    assert!(said.contains(expected), "{said}");
    // Of two entries without an end, `why` names the longer prefix.
    home.run(&["allow", "add", "192.0.2.5"]);
    let said = why();
    let expected = "The allowlist has 192.0.2.5, so it is never dropped.";
    assert!(said.contains(expected), "{said}");
}
