//! `run --dry-run` beside a daemon and its filter.

use super::*;

#[test]
fn a_dry_run_disturbs_no_daemon() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    refused(&site, ZOMBIE).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    let files = || {
        let script = "ls -A /run/spamdrop; cat /run/spamdrop/daemon.pid";
        site.server.exec(["sh", "-c", script]).unwrap()
    };
    let before = files();
    let other = "203.0.113.99";
    let lines = format!("{}\n", rejection(other));
    let args = ["run", "--dry-run", "--log", "-"];
    let output = site.output(&args, lines.as_bytes()).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("would block {other}: ")), "{said}");
    assert!(text.contains("     1  blocks\n"), "{text}");
    assert!(
        text.contains("the attached filter's gate meanwhile: "),
        "{text}"
    );
    assert_eq!(files(), before);
    assert!(entry(&site, other).is_none());
    // The daemon goes on.
    site.log(&rejection(other)).unwrap();
    let blocked = format!("blocked {other}:");
    daemon
        .wait_for(|line| line.contains(&blocked), SOON)
        .unwrap();
    assert!(entry(&site, other).is_some());
}
