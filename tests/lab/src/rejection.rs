//! A real mail server, a blocklist and spamdrop: clients that are rejected, and
//! what each of them must and must not notice.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::client::Client;
use crate::courier::Courier;
use crate::debian::{Options, Packaged};
use crate::host::Host;
use crate::site::Site;
use crate::wait::until;

/// An address that the blocklist of [`sane`] contains.
pub const ZOMBIE: &str = "100.64.66.1";
/// An IPv6 address that the blocklist of [`sane`] contains.
pub const ZOMBIE6: &str = "2001:db8:64:66::1";
/// An address that the blocklist of [`sane`] does not contain.
pub const CLEAN: &str = "100.64.1.1";
/// An IPv6 address that the blocklist of [`sane`] does not contain.
pub const CLEAN6: &str = "2001:db8:64:1::1";
/// The sender of unwanted mail.
pub const SPAMMER: &str = "spam@zombie.example";
/// A recipient that the server accepts.
pub const RECIPIENT: &str = "postbox@here.example";
/// How long a blocked peer may still hold its connection.
pub const GRACE: Duration = Duration::from_secs(3);
/// A SYN without an answer for this long was dropped. The time includes a
/// retransmission.
pub const SILENCE: Duration = Duration::from_millis(1500);
/// Time limit for an event that is due at once, on a busy machine.
pub const SOON: Duration = Duration::from_secs(2);

/// A mail server whose sessions can be counted.
pub trait Sessions {
    /// The number of the server's sessions; `host` is the server's host.
    ///
    /// # Errors
    ///
    /// The sessions cannot be counted.
    fn count(&self, host: &Host) -> Result<usize>;
}

impl Sessions for Courier {
    fn count(&self, _: &Host) -> Result<usize> {
        self.sessions()
    }
}

impl Sessions for Packaged {
    fn count(&self, host: &Host) -> Result<usize> {
        self.sessions(host)
    }
}

/// The options of a server with a correct blocklist.
#[must_use]
pub fn sane() -> Options {
    Options {
        // 127.0.0.2 is the test entry of RFC 5782.
        listed4: vec!["100.64.66.0/24".into(), "127.0.0.2".into()],
        listed6: vec!["2001:db8:64:66::/63".into()],
        ..Options::default()
    }
}

/// Runs a session up to MAIL, and returns its open connection.
///
/// # Errors
///
/// The server refuses a command.
pub fn greeted<S>(site: &Site<S>, source: &str, sender: &str) -> Result<Client> {
    let mut client = site.connect(source)?;
    expect(client.read_reply()?.code, 220)?;
    expect(client.command("EHLO some.example")?.code, 250)?;
    expect(client.mail(sender)?.code, 250)?;
    Ok(client)
}

/// Sends a message.
///
/// # Errors
///
/// The server refuses a command.
pub fn send<S>(site: &Site<S>, source: &str, sender: &str, recipient: &str) -> Result<()> {
    let mut client = greeted(site, source, sender)?;
    expect(client.rcpt(recipient)?.code, 250)?;
    expect(client.data("Subject: x\r\n\r\nhello")?.code, 250)?;
    expect(client.quit()?.code, 221)
}

/// Sends a message from a wanted sender to [`RECIPIENT`].
///
/// # Errors
///
/// The server refuses a command.
pub fn deliver<S>(site: &Site<S>, source: &str) -> Result<()> {
    send(site, source, "a@friend.example", RECIPIENT)
}

fn expect(code: u16, expected: u16) -> Result<()> {
    ensure!(code == expected, "the reply is {code}, not {expected}");
    Ok(())
}

/// The entries, as `spamdrop list --json` shows them.
///
/// # Errors
///
/// The command fails.
pub fn entries<S>(site: &Site<S>) -> Result<Vec<Value>> {
    let list = site.spamdrop(&["list", "--json"])?;
    Ok(serde_json::from_str(&list)?)
}

/// Waits at most [`SOON`] until the entry of `addr` has the `state`: `open` or `sealed`.
///
/// # Errors
///
/// The entry does not have that state in time.
pub fn wait_for_state<S>(site: &Site<S>, addr: &str, state: &str) -> Result<()> {
    until(&format!("{addr} to be {state}"), SOON, || {
        let output = site.output(&["show", addr, "--json"], b"")?;
        let Ok(json) = serde_json::from_slice::<Value>(&output.stdout) else {
            return Ok(None);
        };
        Ok((json["entries"][0]["state"] == state).then_some(()))
    })
}

/// Waits until the server has this number of sessions.
///
/// # Errors
///
/// The server has another number after the time `within`; the error names that number.
pub fn wait_for_sessions<S: Sessions>(
    site: &Site<S>,
    number: usize,
    within: Duration,
) -> Result<()> {
    let count = || site.smtpd.count(&site.server);
    until(&format!("{number} sessions"), within, || {
        Ok((count()? == number).then_some(()))
    })
    .with_context(|| format!("the server has {:?}", count()))
}

/// Checks that a rejected client receives 221 for QUIT and then holds no session, and
/// that a new connection of its source is dropped before and after QUIT.
///
/// # Errors
///
/// Names the check that failed.
pub fn polite<S: Sessions>(site: &Site<S>, source: &str, mut client: Client) -> Result<()> {
    wait_for_state(site, source, "open")?;
    ensure!(
        site.dropped(source, SILENCE)?,
        "{source}: a new connection is served"
    );
    expect(client.quit()?.code, 221)?;
    client.expect_close(SOON)?;
    wait_for_sessions(site, 0, SOON)?;
    wait_for_state(site, source, "sealed")?;
    ensure!(
        site.dropped(source, SILENCE)?,
        "{source}: a sealed source is served"
    );
    Ok(())
}

/// Checks that a rejected client that sends nothing more loses its connection
/// after the grace, not before, and that a new connection of its source is dropped.
///
/// # Errors
///
/// Names the check that failed.
pub fn rude<S: Sessions>(site: &Site<S>, source: &str, mut client: Client) -> Result<()> {
    let offence = Instant::now();
    // First wait for the reset: Postfix's sessions are counted in its log, which may get
    // the lines of a session later than the client gets its reply.
    client.expect_reset(GRACE + SOON)?;
    let (early, after) = (GRACE - Duration::from_millis(100), offence.elapsed());
    wait_for_sessions(
        site,
        0,
        (GRACE + Duration::from_secs(1)).saturating_sub(after),
    )?;
    ensure!(
        after >= early,
        "{source}: released after {after:?}, in its grace"
    );
    ensure!(
        site.dropped(source, SILENCE)?,
        "{source}: a new connection is served"
    );
    Ok(())
}
