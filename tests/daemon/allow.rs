//! Entries of the allowlist that end.

use std::fs;

use super::*;

fn allowed(site: &Site, addr: &str) -> (i32, String) {
    let output = site.output(&["allow", "check", addr], b"").unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

/// The prefixes of the administrator that the filter lets pass.
fn in_filter(site: &Site) -> Vec<String> {
    site.server.run(|| {
        let pins = Path::new("/sys/fs/bpf/spamdrop");
        let blocklist = spamdrop::kernel::blocklist::Blocklist::open(pins).unwrap();
        let own = blocklist.allowed().unwrap().into_iter();
        let own = own.filter(|(_, automatic)| !automatic);
        own.map(|(net, _)| net.to_string()).collect()
    })
}

/// No command and no signal tells the daemon that the time is over.
#[test]
fn the_daemon_takes_off_an_entry_when_its_time_is_over() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let add = ["allow", "add", "--for", "6s", "--comment", "guest", ZOMBIE];
    let said = site.spamdrop(&add).unwrap();
    assert!(said.starts_with("allowed 1 prefix for 6s\n"), "{said}");
    let names = format!("{CLEAN}\n# of the provider\n{CLEAN}\n");
    let add = ["allow", "add", "--for", "7d", "-"];
    let output = site.output(&add, names.as_bytes()).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("allowed 1 prefix for 7d\n"), "{said}");
    let (code, said) = allowed(&site, ZOMBIE);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("on the allowlist for another ") && said.ends_with(": guest\n"),
        "{said}"
    );
    until("both to be in the filter", SOON, || {
        Ok((in_filter(&site).len() == 2).then_some(()))
    })
    .unwrap();
    let why = site.spamdrop(&["why", "--no-lookup", ZOMBIE]).unwrap();
    assert!(why.contains("(guest) until "), "{why}");

    until("the entry to end", Duration::from_secs(15), || {
        Ok((in_filter(&site) == [format!("{CLEAN}/32")]).then_some(()))
    })
    .unwrap();
    assert_eq!(
        allowed(&site, ZOMBIE),
        (1, format!("spamdrop: {ZOMBIE} is not allowed\n"))
    );
    // The address can be blocked again.
    site.log(&rejection(ZOMBIE)).unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", GRACE + SOON);
    assert!(is_dropped(&site, ZOMBIE));
    // Its line leaves the file a day later, or by `allow remove`.
    let file = || fs::read_to_string(site.path("allow")).unwrap();
    site.spamdrop(&["allow", "remove", "100.64.0.2"]).unwrap();
    assert_eq!(file().lines().count(), 2);
    site.spamdrop(&["allow", "remove", ZOMBIE]).unwrap();
    assert_eq!(file().lines().count(), 1);

    // The daemon warns of an end that it cannot read, and allows the entry.
    fs::write(site.path("allow"), format!("{CLEAN} # until=friday\n")).unwrap();
    daemon.signal(Signal::SIGUSR1).unwrap();
    let text = format!("so {CLEAN} is allowed without an end");
    daemon.wait_for(|line| line.contains(&text), SOON).unwrap();
    assert_eq!(in_filter(&site), [format!("{CLEAN}/32")]);
    assert_eq!(
        site.status(&[])
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .split(':')
            .next(),
        Some("protecting eth0, port 25")
    );
    let output = site.output(&["config", "check"], b"").unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains(&text), "{said}");
}
