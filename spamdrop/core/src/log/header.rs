//! The part of a line before the message: syslog's header, as in files and
//! journalctl's output, or the stamp of a log that the server writes itself.

mod forms;
mod structured;

use std::time::SystemTime;

use jiff::tz::TimeZone;
use memchr::memmem;

use super::bytes::count_digits;
use super::stamp::Stamp;
use crate::event::Clock;
use crate::zone_offset::ZoneOffset;
use forms::{FORMS, host_and_tag};

/// The parts of a line, not yet interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'line> {
    /// `None` for RFC 5424's nil stamp, or if there is no stamp.
    pub(super) stamp: Option<Stamp<'line>>,
    /// The stamp of the program that passed the line on: a container engine,
    /// svlogd, or the syslog of the host.
    pub(super) outer: Option<Stamp<'line>>,
    /// The program's name, without the process id; `None` if there is no syslog
    /// header.
    pub(super) program: Option<&'line [u8]>,
    pub(super) message: &'line [u8],
}

impl<'line> Header<'line> {
    /// Splits a line after its syslog header or, if it has none, after its
    /// stamp.
    pub(super) fn split(line: &'line [u8]) -> Self {
        Self::syslog(line).unwrap_or_else(|| Self::bare(line))
    }

    /// Splits a line after its stamp, if it has one, whatever follows.
    pub(super) fn bare(line: &'line [u8]) -> Self {
        let (stamp, message) = match Stamp::certain(line) {
            Some((stamp, message)) => (Some(stamp), message),
            None => (None, line),
        };
        Self {
            stamp,
            outer: None,
            program: None,
            message,
        }
    }

    /// The same header with the stamp of a wrapper, unless it has one already.
    pub(super) fn within(self, outer: Option<Stamp<'line>>) -> Self {
        Self {
            outer: self.outer.or(outer),
            ..self
        }
    }

    /// Splits the message, which is itself a line with a header if the program is a
    /// container: Docker's drivers for syslog and journald pass its lines on.
    /// `None` if the program is no container.
    pub(super) fn nested(&self) -> Option<Self> {
        let is_container = self.program.is_some_and(is_container_tag);
        is_container.then(|| Self::split(self.message).within(self.stamp))
    }

    /// The time of the line; `None` if there is no stamp; an error if a stamp is
    /// invalid. The inner stamp may be in the unknown time zone of a container. So
    /// if it has no zone, and differs from the outer stamp only by an offset that
    /// zones can have, the outer stamp is the time.
    pub(super) fn time(
        &self,
        zone: &TimeZone,
        now: SystemTime,
    ) -> Result<Option<(SystemTime, Clock)>, &'static str> {
        let time = |stamp: Stamp<'_>, now| timed(stamp, zone, now);
        let outer = self.outer.map(|stamp| time(stamp, now)).transpose()?;
        let Some(stamp) = self.stamp else {
            return Ok(outer);
        };
        let (at, clock) = time(stamp, outer.map_or(now, |(at, _)| at))?;
        Ok(Some(match outer {
            Some(outer) if clock == Clock::Local && ZoneOffset::agree(at, outer.0) => outer,
            _ => (at, clock),
        }))
    }

    /// The reason why a server's grammar does not apply to this line.
    pub(super) fn not_its(&self) -> &'static str {
        match self.program {
            Some(_) => "another program wrote it",
            None => "it does not start with a syslog header",
        }
    }

    /// Splits a line in one of the [`FORMS`], with or without a `<PRI>`, a
    /// `[pid]` and a `message repeated N times: […]` wrapper.
    fn syslog(line: &'line [u8]) -> Option<Self> {
        let rest = strip_priority(line);
        let header = match rest.strip_prefix(b"1 ") {
            Some(versioned) if structured::starts(versioned) => structured::split(versioned)?,
            _ => Self::stamped(rest)?,
        };
        let message = strip_message_id(header.message.trim_ascii_start());
        Some(Self {
            message: strip_repeated(message),
            ..header
        })
    }

    fn stamped(line: &'line [u8]) -> Option<Self> {
        let (stamp, rest) = Stamp::own(line).or_else(|| Stamp::split(line))?;
        // Most lines have the first form.
        host_and_tag(stamp, rest).or_else(|| FORMS.iter().find_map(|form| form(stamp, rest)))
    }
}

fn timed(
    stamp: Stamp<'_>,
    zone: &TimeZone,
    now: SystemTime,
) -> Result<(SystemTime, Clock), &'static str> {
    let at = stamp.time(zone, now).ok_or("its stamp is not a time")?;
    let is_local = stamp.is_zoneless();
    Ok((at, if is_local { Clock::Local } else { Clock::Zoned }))
}

/// Whether a tag is that of a container, not of a program: it has an id of
/// Docker or a path, or its name says so. Any other program may start a message
/// with words that an outsider chose.
fn is_container_tag(tag: &[u8]) -> bool {
    const WORDS: [&[u8]; 13] = [
        b"docker",
        b"podman",
        b"container",
        b"mail",
        b"smtp",
        b"mta",
        b"mx",
        b"postfix",
        b"exim",
        b"courier",
        b"haraka",
        b"rspamd",
        b"qmail",
    ];
    let is_id =
        |part: &[u8]| matches!(part.len(), 12 | 64) && part.iter().all(u8::is_ascii_hexdigit);
    let is_end = |byte: &u8| b"/.-_".contains(byte);
    // A renamed mail server, such as `mail/smtpd`, passes no lines on.
    if memmem::find(tag, b"smtpd").is_some() {
        return false;
    }
    memchr::memchr(b'/', tag).is_some()
        || tag.split(is_end).any(is_id)
        || WORDS.iter().any(|word| memmem::find(tag, word).is_some())
}

/// Removes `<PRI>`, which a socket's reader leaves in place.
pub(super) fn strip_priority(line: &[u8]) -> &[u8] {
    let stripped = line.strip_prefix(b"<").and_then(|rest| {
        let digits = count_digits(rest);
        let rest = rest.get(digits..)?.strip_prefix(b">")?;
        (1..=3).contains(&digits).then_some(rest)
    });
    stripped.unwrap_or(line)
}

/// Removes the message id of Solaris and illumos: `[ID 702911 mail.error] `.
/// Source: syslogd(8) of illumos, `log_enable`.
fn strip_message_id(message: &[u8]) -> &[u8] {
    let stripped = message.strip_prefix(b"[ID ").and_then(|rest| {
        let rest = rest.get(count_digits(rest)..)?.strip_prefix(b" ")?;
        let end = memchr::memchr(b']', rest)?;
        let (level, rest) = rest.split_at_checked(end)?;
        forms::is_priority(level).then(|| rest.strip_prefix(b"] "))?
    });
    stripped.unwrap_or(message)
}

/// Removes the wrapper that rsyslog's `$RepeatedMsgReduction` adds: `message
/// repeated 3 times: [ the message]`.
fn strip_repeated(message: &[u8]) -> &[u8] {
    let inner = message
        .strip_prefix(b"message repeated ")
        .and_then(|rest| rest.get(count_digits(rest)..))
        .and_then(|rest| rest.strip_prefix(b" times: ["))
        .and_then(|rest| rest.strip_suffix(b"]"));
    inner.map_or(message, <[u8]>::trim_ascii_start)
}
