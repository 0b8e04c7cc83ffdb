//! `spamdrop run` on a real interface, with a server that answers and logs as
//! Courier does, and real TCP clients.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

mod addresses;
mod allow;
mod containers;
mod dry_run;
mod faults;
mod gate;
mod health;
mod interface_changes;
mod interfaces;
mod known;
mod lookups;
mod messages;
mod nat64;
mod operation;
mod pause;
mod pools;
mod privileges;
mod reboot;
mod release;
mod reload;
mod restart;
mod server_settings;
mod service_manager;
mod trust;
mod waves;
mod why;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use spamdrop_lab::dns::{DnsStub, Reply, Rtype};
use spamdrop_lab::host::Host;
use spamdrop_lab::site::SERVER4;
use spamdrop_lab::smtpd::Options;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, Daemon, Signal, Site};

const ZOMBIE: &str = "100.64.0.66";
const ZOMBIE6: &str = "2001:db8:64:1::66";
const MATE6: &str = "2001:db8:64:1::77";
const CLEAN: &str = "100.64.0.1";
/// A SYN without an answer for this long was dropped. The time includes a
/// retransmission.
const SILENCE: Duration = Duration::from_millis(1500);
const SOON: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(3);

fn site(change: impl FnOnce(&mut Options)) -> Site {
    let site = Site::new(Path::new(env!("CARGO_BIN_EXE_spamdrop")), change).unwrap();
    site.blacklist("100.64.0.64/26").unwrap();
    site.blacklist(ZOMBIE6).unwrap();
    site
}

/// Returns the first entry that `show --json` prints for an address, if it is
/// blocked.
fn entry<S>(site: &Site<S>, addr: &str) -> Option<Value> {
    let output = site.output(&["show", addr, "--json"], b"").unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).ok()?;
    json["entries"].get(0).cloned()
}

fn wait_for_state(site: &Site, addr: &str, state: &str, within: Duration) {
    until(&format!("{addr} to be {state}"), within, || {
        let found = entry(site, addr).is_some_and(|entry| entry["state"] == state);
        Ok(found.then_some(()))
    })
    .unwrap();
}

fn wait_for_sessions(site: &Site, number: usize, within: Duration) {
    until(&format!("{number} sessions"), within, || {
        Ok((site.smtpd.sessions()? == number).then_some(()))
    })
    .unwrap();
}

/// Runs a listed sender's session up to the 511, and checks its text.
fn refused(site: &Site, source: &str) -> Client {
    let mut client = site.connect(source).unwrap();
    let reply = client.reject_session().unwrap();
    assert_eq!(
        (reply.code, reply.text.as_str()),
        (511, "Blacklisted by zone.example")
    );
    client
}

/// Runs a session in which a message is accepted.
fn delivers(site: &Site, source: &str) {
    let mut client = site.connect(source).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    assert_eq!(client.command("EHLO friend.example").unwrap().code, 250);
    assert_eq!(client.mail("a@friend.example").unwrap().code, 250);
    assert_eq!(client.rcpt("b@here.example").unwrap().code, 250);
    assert_eq!(client.data("hello").unwrap().code, 250);
    assert_eq!(client.quit().unwrap().code, 221);
}

fn is_dropped(site: &Site, source: &str) -> bool {
    site.dropped(source, SILENCE).unwrap()
}

/// Formats a rejection as Courier logs it, with the current time.
fn rejection(source: &str) -> String {
    rejection_at(jiff::Timestamp::now(), source)
}

fn rejection_at(stamp: jiff::Timestamp, source: &str) -> String {
    let mapped = if source.contains(':') { "" } else { "::ffff:" };
    format!(
        "{stamp} mx courieresmtpd: error,relay={mapped}{source},port=4,\
         from=<a@b.example>,to=<c@here.example>: 511 Blacklisted by zone.example"
    )
}

fn stopped_cleanly(daemon: &mut Daemon) -> ExitStatus {
    daemon.signal(Signal::SIGTERM).unwrap();
    daemon.exit_status(SOON).unwrap()
}

/// Waits until the number at `pointer` is `wanted`, and returns the output of
/// `status --json`.
fn until_status(site: &Site, pointer: &str, wanted: impl Into<Value>) -> String {
    let wanted = wanted.into();
    until(pointer, Duration::from_secs(3), || {
        let text = site.status(&["--json"])?;
        let json: Value = serde_json::from_str(&text)?;
        Ok((json.pointer(pointer) == Some(&wanted)).then_some(text))
    })
    .unwrap()
}

/// A name server whose answers the test gives, and the settings for the zone
/// `b.example` in it.
fn blocklist(
    site: &Site,
    answers: impl Fn(&str, Rtype) -> Reply + Send + Sync + 'static,
) -> (DnsStub, String) {
    let any = "127.0.0.53:0".parse().unwrap();
    let stub = DnsStub::start(&site.server, any, answers).unwrap();
    let resolv_conf = site.path("resolv.conf");
    std::fs::write(&resolv_conf, format!("nameserver {}\n", stub.addr())).unwrap();
    let settings = format!("zones = [\"b.example\"]\nresolv_conf = {resolv_conf:?}");
    (stub, settings)
}
