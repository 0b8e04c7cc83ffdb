//! spamdrop in front of Debian's Postfix, with and without postscreen, and of
//! Debian's Exim, with rbldnsd as the blocklist and rsyslog or journald as the
//! writer of the log. Slots, zones and AUTH come from the servers' settings, by
//! `spamdrop settings --write`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

mod checks;
mod journald;
mod learning;
mod postscreen;
mod responder;
mod setup;
mod wave;

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use spamdrop_lab::debian::Options;
use spamdrop_lab::rejection::*;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, Packaged, Reply, Site, Software};

const ALL: [Software; 3] = [Software::Postfix, Software::Postscreen, Software::Exim];

type RealSite = Site<Packaged>;

fn site(software: Software, change: impl FnOnce(&mut Options)) -> RealSite {
    let mut options = sane();
    change(&mut options);
    let spamdrop = Path::new(env!("CARGO_BIN_EXE_spamdrop"));
    Site::with_packaged(spamdrop, software, &options).unwrap()
}

/// Runs a check with each server, at the same time.
fn with_each(check: impl Fn(Software) + Sync) {
    with_all(&ALL, check);
}

/// Runs a check with each element of `all`, at the same time.
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

/// Runs a listed sender's session up to the rejection, and checks the reply.
fn refused(site: &RealSite, software: Software, source: &str) -> Client {
    let mut client = greeted(site, source, SPAMMER).unwrap();
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

/// The gate's part of the status.
fn gate(site: &RealSite) -> anyhow::Result<Value> {
    let status: Value = serde_json::from_str(&site.status(&["--json"])?)?;
    Ok(status["daemon"]["state"]["gate"].clone())
}
