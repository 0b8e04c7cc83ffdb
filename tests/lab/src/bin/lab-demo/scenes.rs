//! The steps of the demo.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use spamdrop_lab::Client;
use spamdrop_lab::wait::until;

use crate::stage::{SILENCE, SLOTS, SOON, Stage, expect};
use crate::story::{Story, human};

const FRIEND: &str = "100.64.0.1";
const POLITE: &str = "100.64.0.66";
const RUDE: [&str; SLOTS] = ["100.64.0.71", "100.64.0.72", "100.64.0.73", "100.64.0.74"];
const KNOCKER: &str = "100.64.0.9";
const GRACE: Duration = Duration::from_secs(3);
const TTL: Duration = Duration::from_secs(4);
const DUMP: [&str; 5] = [
    "bpftool",
    "map",
    "dump",
    "pinned",
    "/sys/fs/bpf/spamdrop/v4/blocked4",
];
/// The key of [`POLITE`] in the map, in bpftool's notation.
const POLITE_KEY: &str = "100,64,0,66";
/// A block may end by this much earlier than one ttl after the last packet: the
/// filter does not store a new expiry that is later by less than this.
const SLACK: Duration = Duration::from_secs(1);
/// Tolerance for times of different clocks and processes: when one measures 3 s,
/// another may measure 2.99 s.
const TOLERANCE: Duration = Duration::from_millis(200);

/// Runs all steps.
///
/// # Errors
///
/// Names the step whose result was unexpected.
pub fn play(story: &mut Story, stage: &Stage) -> Result<()> {
    before(story, stage)?;
    polite(story, stage)?;
    rude(story, stage)?;
    knocking(story, stage)?;
    instruments(story, stage)
}

fn before(story: &mut Story, stage: &Stage) -> Result<()> {
    story.scene("A mail server with 4 slots and a blocklist, and `spamdrop run` before it")?;
    story.step("the filter is on the server's interface", || {
        let status = stage.json("status")?;
        let interface = &status["interfaces"][0];
        let (name, state) = (&interface["name"], &interface["state"]);
        ensure!(name == "eth0" && state == "native", "{interface}");
        Ok(format!(
            "eth0, native; ready after {}",
            human(stage.ready_after)
        ))
    })?;
    story.step(&format!("{FRIEND}, a friend, is served"), || {
        stage.deliver(FRIEND)
    })
}

fn polite(story: &mut Story, stage: &Stage) -> Result<()> {
    story.scene(&format!(
        "{POLITE} is on the blocklist; it quits when it is refused"
    ))?;
    let mut client = stage.site.connect(POLITE)?;
    story.step("it is told why", || refused(&mut client))?;
    story.step("it is blocked, but may finish what it began", || {
        stage.await_state(POLITE, "open")?;
        Ok("open: only new connections are dropped".into())
    })?;
    story.step("a second connection is dropped: first SYN", || {
        let seen = unanswered(stage)?;
        Ok(format!("{seen}; the server has not seen it"))
    })?;
    story.step("its QUIT is answered", || {
        let seen = expect(&client.quit()?, 221)?;
        client.expect_close(SOON)?;
        Ok(format!("{seen}, and the connection is closed"))
    })?;
    drop(client);
    story.step("after that, all that it sends is dropped", || {
        stage.await_state(POLITE, "sealed")?;
        Ok("sealed: every packet is dropped".into())
    })?;
    story.step("it comes again: its first SYN is dropped", || {
        let before = stage.packets_dropped()?;
        let seen = unanswered(stage)?;
        let dropped = stage.packets_dropped()? - before;
        ensure!(dropped > 0, "the filter has not dropped it");
        Ok(format!("{seen}; packets dropped: {dropped}"))
    })?;
    story.step(&format!("{FRIEND} is served meanwhile"), || {
        stage.deliver(FRIEND)
    })
}

fn refused(client: &mut Client) -> Result<String> {
    let reply = client.reject_session()?;
    let seen = expect(&reply, 511)?;
    ensure!(reply.text == "Blacklisted by zone.example", "{seen}");
    Ok(seen)
}

/// Sends a SYN of the polite sender and checks that the server does not see it.
fn unanswered(stage: &Stage) -> Result<String> {
    let accepted = stage.accepted(POLITE)?;
    ensure!(stage.site.dropped(POLITE, SILENCE)?, "it is answered");
    let reached = stage.accepted(POLITE)? > accepted;
    ensure!(!reached, "the server has seen it");
    Ok(format!("no answer in {}", human(SILENCE)))
}

fn rude(story: &mut Story, stage: &Stage) -> Result<()> {
    story.scene(&format!(
        "{SLOTS} listed senders take all {SLOTS} slots and never quit; Courier would wait 10 minutes"
    ))?;
    let connect = |source| stage.site.connect(source);
    let mut clients = RUDE.into_iter().map(connect).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    story.step("each is told why", || {
        for client in &mut clients {
            refused(client)?;
        }
        slots_taken(stage, SLOTS)
    })?;
    let expected = format!("{FRIEND} is served after the grace, {} s", GRACE.as_secs());
    story.step(&expected, || {
        let seen = stage.deliver(FRIEND)?;
        let waited = start.elapsed();
        ensure!(waited + TOLERANCE > GRACE, "after {}", human(waited));
        Ok(seen)
    })?;
    story.step("the connections of the four were ended", || {
        for client in &mut clients {
            client.expect_reset(SOON)?;
        }
        slots_taken(stage, 0)
    })?;
    story.step("after that, all that they send is dropped", || {
        for source in RUDE {
            stage.await_state(source, "sealed")?;
        }
        Ok(format!("sealed: {SLOTS} of {SLOTS}"))
    })
}

fn slots_taken(stage: &Stage, wanted: usize) -> Result<String> {
    until(&format!("{wanted} slots to be taken"), SOON, || {
        Ok((stage.site.smtpd.sessions()? == wanted).then_some(()))
    })?;
    Ok(format!("slots in use: {wanted} of {SLOTS}"))
}

fn knocking(story: &mut Story, stage: &Stage) -> Result<()> {
    let ttl = format!("{}s", TTL.as_secs());
    let add = ["add", KNOCKER, "--for", &ttl];
    let command = add.join(" ");
    story.scene(&format!(
        "`spamdrop {command}`: knocking extends it, silence ends it"
    ))?;
    stage.site.spamdrop(&add)?;
    let mut last_knock = Instant::now();
    story.step(
        "it knocks for twice as long as a silent block lasts, in vain",
        || knock(stage, &mut last_knock),
    )?;
    story.step("it keeps silent; the block ends in 3 to 4 s", || {
        let gone = || Ok(stage.entry(KNOCKER)?.is_none().then_some(()));
        until("the block to end", TTL + SOON, gone)?;
        let silent = last_knock.elapsed();
        // The filter's clock may be a tick behind. A SYN that is sent at once could
        // still match the entry, and would extend it.
        std::thread::sleep(Duration::from_millis(20));
        ensure!(silent + SLACK + TOLERANCE > TTL, "after {}", human(silent));
        Ok(format!("{} after its last knock", human(silent)))
    })?;
    story.step("it is served", || stage.deliver(KNOCKER))
}

fn knock(stage: &Stage, last: &mut Instant) -> Result<String> {
    let (start, mut knocks) = (Instant::now(), 0);
    while start.elapsed() < 2 * TTL {
        *last = Instant::now();
        let dropped = stage.site.dropped(KNOCKER, SILENCE)?;
        ensure!(dropped, "answered after {knocks} knocks");
        knocks += 1;
    }
    let entry = stage.entry(KNOCKER)?.context("the block has ended")?;
    let extended = &entry["refreshes"];
    Ok(format!(
        "{knocks} of {knocks} dropped; extended {extended} times"
    ))
}

fn instruments(story: &mut Story, stage: &Stage) -> Result<()> {
    story.scene("What the administrator sees")?;
    let spamdrop = |verb| stage.site.spamdrop(&[verb]);
    story.shows("spamdrop list", spamdrop("list")?.lines())?;
    story.shows("spamdrop status", spamdrop("status")?.lines())?;
    let stats = spamdrop("stats")?;
    let is_zero = |line: &&str| line.trim_start().starts_with("0 ");
    let counted = stats.lines().filter(|line| !is_zero(line));
    story.shows("spamdrop stats | grep -v '^ *0 '", counted)?;
    let dump = stage.site.server.exec(DUMP)?;
    let command = format!("{} | grep -A 12 '{POLITE_KEY}'", DUMP.join(" "));
    let entry = dump.lines().skip_while(|line| !line.contains(POLITE_KEY));
    story.shows(&command, entry.take(13))?;
    story.step("bpftool reads what `spamdrop list` says", || {
        same_entries(stage, &dump)
    })?;
    story.step(&format!("{FRIEND} is served to the end"), || {
        stage.deliver(FRIEND)
    })
}

/// Checks that the dump has every entry of `spamdrop list`, with the same hits. The
/// dump may also have expired entries.
fn same_entries(stage: &Stage, dump: &str) -> Result<String> {
    let dump: Value = serde_json::from_str(dump).context("no type information in the map")?;
    let list = stage.json("list")?;
    let listed: Vec<_> = list.as_array().into_iter().flatten().collect();
    for entry in &listed {
        let addr: Ipv4Addr = serde_json::from_value(entry["addr"].clone())?;
        let mut dumped = dump.as_array().into_iter().flatten();
        let found = dumped.find(|dumped| dumped["key"] == json!(addr.octets()));
        let found = found.with_context(|| format!("bpftool shows no {addr}"))?;
        let agree = found["value"]["hits"] == entry["hits"];
        ensure!(agree, "bpftool: {found}, spamdrop: {entry}");
    }
    Ok(format!("{} entries, with the same hits", listed.len()))
}
