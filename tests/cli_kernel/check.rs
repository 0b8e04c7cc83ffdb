//! `config check`: whether `run` would start, and what is unwise.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Instant;

use spamdrop_lab::dns::{DnsStub, Reply, Rtype};

use super::*;

const CALM: &str = "interfaces = [\"eth0\"]\nlogs = [\"-\"]\nslots = 40\n";
const ESMTPD: &str = "TARPIT=0\nMAXDAEMONS=40\nBLACKLISTS=\"-block=zen.example,BLOCK,*\"\n";

/// A site with exactly this configuration, and paths of its own.
fn configured(text: &str) -> Site {
    let site = site("");
    let key = |key: &str| format!("{key} = {:?}\n", site.path(key));
    let places = ["allow_file", "run_dir", "state_dir", "courier_dir"];
    let text = places.map(key).concat() + text;
    fs::write(site.path("spamdrop.toml"), text).unwrap();
    fs::create_dir(site.path("courier_dir")).unwrap();
    fs::write(site.path("courier_dir/esmtpd"), ESMTPD).unwrap();
    site
}

fn check(site: &Site, more: &[&str]) -> (i32, String, String) {
    let args = [&["config", "check", "--offline"], more].concat();
    let output = site.output(&args, b"").unwrap();
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code().unwrap(), stdout, stderr(&output))
}

/// Asserts that `config check` and `run` fail alike.
fn neither_starts(site: &Site, code: i32, reason: &str) {
    let (found, _, error) = check(site, &[]);
    assert_eq!(found, code, "{reason}: {error}");
    assert!(error.contains(reason), "{error}");
    let run = fails(site, &["run"], code);
    assert!(run.contains(reason), "{run}");
}

#[test]
fn a_wise_configuration_has_no_warning() {
    let site = configured(&format!("user = \"nobody\"\n{CALM}"));
    let (code, text, error) = check(&site, &["--strict"]);
    let config = site.path("spamdrop.toml");
    assert_eq!(text, format!("{}: valid\n", config.display()), "{error}");
    assert_eq!(code, 0);
}

#[test]
fn what_is_unwise_is_named_and_fails_only_if_strict() {
    let site = configured(
        "interfaces = [\"nope0\"]\nports = [1]\nlogs = [\"/nonexistent/log\", \"/proc/self/mem/x\"]\n",
    );
    let esmtpd = b"BLACKLISTS='-block=zen.example -block=\x1b[2J'\nTCPDOPTS=-haproxy=192.0.2.1\n";
    fs::write(site.path("courier_dir/esmtpd"), esmtpd).unwrap();
    fs::create_dir(site.path("state_dir")).unwrap();
    fs::write(site.path("state_dir/spamdrop.db"), "no database").unwrap();
    let (code, text, error) = check(&site, &["--json"]);
    assert_eq!(code, 0, "{error}");
    let json: Value = serde_json::from_str(&text).unwrap();
    let warnings = json["warnings"].as_array().unwrap();
    let about: Vec<&str> = warnings
        .iter()
        .map(|warning| warning["about"].as_str().unwrap())
        .collect();
    assert_eq!(
        about,
        [
            "interfaces",
            "logs",
            "logs",
            "state_dir",
            "ports",
            "user",
            "logs",
            "TARPIT",
            "BLACKLISTS",
            "BLACKLISTS",
            "TCPDOPTS",
            "zones"
        ]
    );
    let (code, text, _) = check(&site, &["--strict"]);
    assert_eq!(code, 1);
    for part in [
        "nothing listens on port 1 ",
        "no interface \"nope0\"",
        "no file \"/nonexistent/log\"",
        "cannot read \"/proc/self/mem/x\"",
        "the known senders cannot be read: ",
        "that a local user forged",
        "set journal = true",
        r"-block=\x1b[2J never rejects",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_journal_without_an_entry_and_a_file_beside_it_are_unwise() {
    let site = configured(
        "interfaces = [\"eth0\"]\njournal = true\njournal_match = [\"_UID=4294967290\"]\nlogs = [\"/nonexistent/log\"]\n",
    );
    let (code, text, error) = check(&site, &[]);
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("set logs = []"), "{text}");
    let is_named = |text: &str| {
        text.contains("journal_match: matches no entry of the last seven days")
            || text.contains("journal_match: cannot be tried: ")
    };
    assert!(is_named(&text), "{text}");
}

#[test]
fn couriers_settings_are_missed_only_where_courier_is_read() {
    let site = configured(CALM);
    fs::remove_file(site.path("courier_dir/esmtpd")).unwrap();
    let (_, text, _) = check(&site, &[]);
    assert!(
        text.contains("warning: courier_dir: there is no file "),
        "{text}"
    );
    let site = configured(&format!("{CALM}servers = [\"postfix\"]\n"));
    fs::remove_file(site.path("courier_dir/esmtpd")).unwrap();
    let (_, text, _) = check(&site, &[]);
    assert!(!text.contains("courier"), "{text}");
}

#[test]
fn where_run_would_not_start_the_check_fails() {
    for (text, code, reason) in [
        ("logs = [\"-\"]\n", 78, "no interface to protect"),
        (
            "interfaces = [\"eth0\"]\nlogs = []\n",
            78,
            "no log to watch",
        ),
        (
            "interfaces = [\"eth0\"]\nlogs = [\"-\"]\nservers = [\"postfix\"]\nadmit = \"on\"\n",
            78,
            "`admit = \"on\"`, but the number of the mail server's slots is unknown",
        ),
        (
            "interfaces = [\"eth0\"]\njournal = true\njournal_match = [\"_UID=nobody-at-all\"]\n",
            78,
            "there is no user nobody-at-all",
        ),
        (
            &format!("{CALM}pin_dir = \"/tmp/spamdrop\"\n"),
            1,
            "/tmp is not a BPF file system",
        ),
        (
            &format!("{CALM}fifo = \"/etc/passwd\"\n"),
            1,
            "/etc/passwd is not a FIFO of the daemon's account",
        ),
    ] {
        neither_starts(&configured(text), code, reason);
    }
}

#[test]
fn files_and_maps_that_run_cannot_use_are_found() {
    let site = configured(CALM);
    fs::write(site.path("allow_file"), "friend.example\n").unwrap();
    neither_starts(&site, 78, "`friend.example` is not an address or prefix");
    fs::remove_file(site.path("allow_file")).unwrap();
    fs::remove_dir(site.path("state_dir")).unwrap();
    symlink("/etc/passwd", site.path("state_dir")).unwrap();
    let (code, _, error) = check(&site, &[]);
    assert_eq!(code, 78, "{error}");
    fs::remove_file(site.path("state_dir")).unwrap();

    site.spamdrop(&["attach", "eth0"]).unwrap();
    assert_eq!(check(&site, &[]).0, 0);
    let config = site.path("spamdrop.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}capacity4 = 65536\n")).unwrap();
    neither_starts(&site, 1, "a capacity of 262144 instead of 65536 entries");
}

#[test]
fn each_zone_is_asked_for_its_test_entries() {
    let site = configured("");
    let (yes, other) = ([127, 0, 0, 2], [192, 0, 2, 80]);
    let answers = move |name: &str, kind| match (name, kind) {
        ("2.0.0.127.code.example", Rtype::TXT) => Reply::txt("550 No"),
        ("2.0.0.127.good.example", Rtype::TXT) => Reply::txt("511 No"),
        ("2.0.0.127.shut.example", Rtype::A) => Reply::a([127, 255, 255, 254]),
        ("2.0.0.127.sold.example", Rtype::A) => Reply::a(other),
        ("2.0.0.127.down.example", Rtype::A) => Reply::Silence,
        (
            "2.0.0.127.good.example"
            | "2.0.0.127.code.example"
            | "2.0.0.127.all.example"
            | "1.0.0.127.all.example",
            Rtype::A,
        ) => Reply::a(yes),
        _ => Reply::Absent(300),
    };
    let any = "127.0.0.53:0".parse().unwrap();
    let stub = DnsStub::start(&site.server, any, answers).unwrap();
    let resolv_conf = site.path("resolv.conf");
    fs::write(&resolv_conf, format!("nameserver {}\n", stub.addr())).unwrap();
    let config = site.path("spamdrop.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        format!("{text}{CALM}resolv_conf = {resolv_conf:?}\n"),
    )
    .unwrap();
    let zones = ["good", "code", "all", "shut", "sold", "down", "none"];
    let options = zones.map(|zone| format!("-block={zone}.example,BLOCK,*"));
    let esmtpd = format!(
        "TARPIT=0\nBLACKLISTS='{} -allow=w.example'\n",
        options.join(" ")
    );
    fs::write(site.path("courier_dir/esmtpd"), esmtpd).unwrap();
    let began = Instant::now();
    let text = site.spamdrop(&["config", "check"]).unwrap();
    assert!(began.elapsed() < Duration::from_secs(4));
    let warned: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("warning: zones: "))
        .collect();
    assert_eq!(
        warned,
        [
            "code.example begins its text with 550, so Courier sends that code instead of 511, and rejections by this zone block nobody; in BLACKLISTS, replace the * of this zone with a text without a code",
            "all.example lists 127.0.0.1, so it lists every address; remove it",
            "shut.example answered 127.255.255.254: it does not serve public name servers; query it through a resolver of your own, or with a key from the blocklist",
            "sold.example answered 192.0.2.80, which is not a listing; is it still a blocklist?",
            "down.example could not be queried: timed out",
            "none.example does not list 127.0.0.2, as every blocklist does; is its name right?",
        ]
    );
    let asked = stub.questions();
    let (_, text, _) = check(&site, &[]);
    assert!(!text.contains("zones"), "{text}");
    assert_eq!(stub.questions(), asked);
}

#[test]
fn settings_that_contradict_each_other_or_have_no_effect_are_named() {
    let site = configured(&format!(
        "user = \"nobody\"\n{CALM}ports = [25, 22, 25]\nttl = \"10m\"\nhard_limit = \"5m\"\n\
         zones = [\"b.example\", \"allow:w.example\"]\n"
    ));
    let resolv_conf = site.path("resolv.conf");
    fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
    fs::set_permissions(&resolv_conf, fs::Permissions::from_mode(0o600)).unwrap();
    let config = site.path("spamdrop.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}resolv_conf = {resolv_conf:?}\n")).unwrap();
    let (code, text, error) = check(&site, &[]);
    assert_eq!(code, 0, "{error}");
    let warned: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .filter(|line| !line.starts_with("ports: nothing listens on port 22 "))
        .collect();
    let starts = [
        "ports: has 22, the port of SSH: ",
        "ports: names 25 more than once",
        "hard_limit: 5m is less than `ttl` (10m), so ",
        "resolv_conf: the daemon runs as nobody and cannot read ",
        "zones: \"allow:w.example\" is the last one, and has no effect there: ",
    ];
    assert_eq!(warned.len(), starts.len(), "{text}");
    for (line, start) in warned.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn a_relative_fifo_is_named() {
    let site = configured(&format!("{CALM}fifo = \"recent\"\n"));
    let (_, text, error) = check(&site, &[]);
    let expected =
        "fifo: \"recent\" is relative, so its place depends on where the daemon is started";
    assert!(text.contains(expected), "{text}{error}");
}

/// The daemon reads the responder's own lines, whichever the mail server is.
#[test]
fn the_responder_beside_another_server_is_not_unwise() {
    let site = configured(&format!(
        "{CALM}servers = [\"postfix\"]\nadmit = \"observe\"\nanswer = \"on\"\n"
    ));
    let (code, text, error) = check(&site, &[]);
    assert_eq!(code, 0, "{error}");
    assert!(!text.contains("Courier"), "{text}");
}
