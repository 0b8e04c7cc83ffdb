//! Commands that need no daemon.

use std::fs;
use std::process::Output;

use super::card::Card;
use super::link;
use super::mail::Mail;

fn spamdrop(mail: &Mail, args: &[&str], code: i32) -> String {
    let output: Output = mail.site.output(args, b"").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let said = text(output.stdout) + &text(output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

#[test]
fn attach_and_detach_by_hand() {
    let mail = Mail::over(link::card(Card::E1000e, 1500));
    let said = spamdrop(&mail, &["attach", "eth0"], 0);
    for words in [
        "eth0: filter attached, generic: slower than native",
        "eth0 refuses native XDP (Operation not supported (os error 95)",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(mail.links().contains(" xdpgeneric "));
    let said = spamdrop(&mail, &["status"], 1);
    assert!(
        said.starts_with("DEGRADED: the daemon is not running"),
        "{said}"
    );
    spamdrop(&mail, &["detach"], 0);
    assert!(!mail.links().contains("xdp"));
    let said = spamdrop(&mail, &["status"], 3);
    assert!(said.starts_with("NOT PROTECTING: "), "{said}");
}

#[test]
fn a_bond_and_its_card_are_refused_together() {
    let mail = Mail::over(link::bond(Card::Virtio, "bond0"));
    ensure_refused_together(&mail, "eth0", "bond0");
}

#[test]
fn a_vlan_and_its_card_are_refused_together() {
    let mail = Mail::over(link::vlan(Card::Virtio, "eth0.7"));
    ensure_refused_together(&mail, "eth0", "eth0.7");
}

/// Checks that the two interfaces are refused together. `upper` alone is accepted.
fn ensure_refused_together(mail: &Mail, lower: &str, upper: &str) {
    let path = mail.site.path("spamdrop.toml");
    let config = fs::read_to_string(&path).unwrap();
    let alone = format!("interfaces = [{upper:?}]\n");
    assert!(config.contains(&alone), "{config}");
    spamdrop(mail, &["config", "check"], 0);
    let both = format!("interfaces = [{lower:?}, {upper:?}]\n");
    fs::write(&path, config.replace(&alone, &both)).unwrap();
    let reason = format!("{lower} and {upper} carry the same packets");
    for (verb, code) in [
        (&["config", "check"][..], 78),
        (&["run"], 78),
        (&["attach", lower, upper], 1),
    ] {
        let said = spamdrop(mail, verb, code);
        assert!(said.contains(&reason), "{said}");
    }
}
