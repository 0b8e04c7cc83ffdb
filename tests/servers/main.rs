//! spamdrop in front of Debian's Postfix, with and without postscreen, and of
//! Debian's Exim, with rbldnsd as the blocklist and rsyslog as the writer of
//! the log.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

mod checks;
mod learning;
mod postscreen;
mod wave;

use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use spamdrop_lab::debian::Options;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, Packaged, Reply, Site, Software};

const ZOMBIE: &str = "100.64.66.1";
const ZOMBIE6: &str = "2001:db8:64:66::1";
const CLEAN: &str = "100.64.1.1";
const CLEAN6: &str = "2001:db8:64:1::1";
const SPAMMER: &str = "spam@zombie.example";
const RECIPIENT: &str = "postbox@here.example";
const GRACE: Duration = Duration::from_secs(3);
/// A SYN without an answer for this long was dropped. The time includes a
/// retransmission.
const SILENCE: Duration = Duration::from_millis(1500);
const SOON: Duration = Duration::from_secs(2);

const ALL: [Software; 3] = [Software::Postfix, Software::Postscreen, Software::Exim];

type RealSite = Site<Packaged>;

/// The options of a server with a correct blocklist.
fn sane() -> Options {
    Options {
        listed4: vec!["100.64.66.0/24".into()],
        listed6: vec!["2001:db8:64:66::/63".into()],
        ..Options::default()
    }
}

fn site(software: Software, change: impl FnOnce(&mut Options)) -> RealSite {
    let mut options = sane();
    change(&mut options);
    let spamdrop = Path::new(env!("CARGO_BIN_EXE_spamdrop"));
    Site::with_packaged(spamdrop, software, &options).unwrap()
}

/// Settings by which spamdrop asks the blocklist itself.
fn with_zone(site: &RealSite) -> String {
    let path = site.path("resolv.conf");
    std::fs::write(&path, "nameserver 127.0.0.1\n").unwrap();
    format!("zones = [\"zone.example\"]\nresolv_conf = {path:?}")
}

/// Runs a check with each server, at the same time.
fn with_each(check: impl Fn(Software) + Sync) {
    with_all(&ALL, check);
}

/// Runs a check with each of some things, at the same time.
fn with_all<T: Copy + Debug + Send>(all: &[T], check: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        let check = &check;
        let run = |thing: &T| {
            let thing = *thing;
            (thing, scope.spawn(move || check(thing)))
        };
        let runs: Vec<_> = all.iter().map(run).collect();
        let failed = runs
            .into_iter()
            .filter_map(|(thing, run)| run.join().is_err().then_some(thing));
        let failed: Vec<_> = failed.collect();
        assert!(failed.is_empty(), "failed with {failed:?}");
    });
}

/// Runs a session up to MAIL.
fn greeted(site: &RealSite, source: &str, sender: &str) -> Client {
    let mut client = site.connect(source).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    assert_eq!(client.command("EHLO some.example").unwrap().code, 250);
    assert_eq!(client.mail(sender).unwrap().code, 250);
    client
}

/// Runs a session up to the complete rejection.
fn refused(site: &RealSite, software: Software, source: &str) -> Client {
    let mut client = greeted(site, source, SPAMMER);
    let reply = client.rcpt(RECIPIENT).unwrap();
    assert_eq!(reply, rejection(software, source));
    client
}

/// The server's whole reply to a listed client.
fn rejection(software: Software, source: &str) -> Reply {
    let (code, text) = match software {
        Software::Postfix => (
            554,
            format!(
                "5.7.1 Service unavailable; Client host [{source}] blocked using zone.example; \
                 Listed, see https://zone.example/{source}"
            ),
        ),
        Software::Postscreen => (
            550,
            format!("5.7.1 Service unavailable; client [{source}] blocked using zone.example"),
        ),
        Software::Exim => (
            550,
            format!(
                "rejected because {source} is in a black list at zone.example\n\
                 Listed, see https://zone.example/{source}"
            ),
        ),
    };
    Reply { code, text }
}

fn sends(site: &RealSite, source: &str, sender: &str, recipient: &str) {
    let mut client = greeted(site, source, sender);
    assert_eq!(client.rcpt(recipient).unwrap().code, 250);
    assert_eq!(client.data("Subject: x\r\n\r\nhello").unwrap().code, 250);
    assert_eq!(client.quit().unwrap().code, 221);
}

fn delivers(site: &RealSite, source: &str) {
    sends(site, source, "a@friend.example", RECIPIENT);
}

fn entries(site: &RealSite) -> Vec<Value> {
    serde_json::from_str(&site.spamdrop(&["list", "--json"]).unwrap()).unwrap()
}

/// The gate's part of the status.
fn gate(site: &RealSite) -> anyhow::Result<Value> {
    let status: Value = serde_json::from_str(&site.status(&["--json"])?)?;
    Ok(status["daemon"]["state"]["gate"].clone())
}

fn wait_for_state(site: &RealSite, addr: &str, state: &str) {
    until(&format!("{addr} to be {state}"), SOON, || {
        let output = site.output(&["show", addr, "--json"], b"")?;
        let Ok(json) = serde_json::from_slice::<Value>(&output.stdout) else {
            return Ok(None);
        };
        Ok((json["entries"][0]["state"] == state).then_some(()))
    })
    .unwrap();
}

fn wait_for_sessions(site: &RealSite, number: usize, within: Duration) {
    until(&format!("{number} sessions"), within, || {
        Ok((site.smtpd.sessions()? == number).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}; {}", site.smtpd.sessions().unwrap()));
}
