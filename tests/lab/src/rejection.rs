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
/// An IPv6 address that it contains.
pub const ZOMBIE6: &str = "2001:db8:64:66::1";
/// An address that it does not contain.
pub const CLEAN: &str = "100.64.1.1";
/// An IPv6 address that it does not contain.
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
/// How long what is due at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(2);

/// A server that tells how many clients it serves.
pub trait Sessions {
    /// The number of its sessions on `host`.
    ///
    /// # Errors
    ///
    /// They cannot be counted.
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
        // And the test entry of RFC 5782.
        listed4: vec!["100.64.66.0/24".into(), "127.0.0.2".into()],
        listed6: vec!["2001:db8:64:66::/63".into()],
        ..Options::default()
    }
}

/// Runs a session up to MAIL.
///
/// # Errors
///
/// The server refuses something.
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
/// The server refuses something.
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
/// The server refuses something.
pub fn deliver<S>(site: &Site<S>, source: &str) -> Result<()> {
    send(site, source, "a@friend.example", RECIPIENT)
}

fn expect(code: u16, expected: u16) -> Result<()> {
    ensure!(code == expected, "the reply is {code}, not {expected}");
    Ok(())
}

/// The blocked sources.
///
/// # Errors
///
/// spamdrop does not list them.
pub fn entries<S>(site: &Site<S>) -> Result<Vec<Value>> {
    let list = site.spamdrop(&["list", "--json"])?;
    Ok(serde_json::from_str(&list)?)
}

/// Waits [`SOON`] until an entry is `open` or `sealed`.
///
/// # Errors
///
/// It is not in that state in time.
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
/// It has another number at the end; the error names it.
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

/// Checks that a rejected client which says QUIT hears 221, that its source is
/// refused before and after, and that it holds no session.
///
/// # Errors
///
/// Names what is different.
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

/// Checks that a rejected client which says nothing more loses its connection
/// after the grace, not before, and that its source is refused.
///
/// # Errors
///
/// Names what is different.
pub fn rude<S: Sessions>(site: &Site<S>, source: &str, mut client: Client) -> Result<()> {
    let offence = Instant::now();
    // The log, by which sessions are counted, may have its lines later than the client
    // its reply, but not so much later.
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
