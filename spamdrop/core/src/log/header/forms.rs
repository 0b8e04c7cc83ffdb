//! The forms of the part between a line's stamp and its message: a parser for
//! each syslog daemon's form.
//!
//! The first form that fits is taken, so the order matters. No form skips text
//! of unknown length: the program's name is at a fixed place, before any text
//! that a sender chose.

use super::{Header, structured};
use crate::log::bytes::{count_digits, token};
use crate::log::stamp::Stamp;

/// Parses the rest of a line after its stamp.
pub(super) type Form = for<'line> fn(Stamp<'line>, &'line [u8]) -> Option<Header<'line>>;

pub(super) const FORMS: [Form; 8] = [
    host_and_tag,
    host_priority_and_tag,
    priority_before_host,
    socklog,
    tag_alone,
    metalog,
    forwarded,
    rfc5424,
];

/// `Nov  3 08:50:54 mx1 prog[811]: message`: RFC 3164 section 4.1, rsyslog,
/// syslog-ng, journalctl.
pub(super) fn host_and_tag<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let rest = skip_host(stamp, rest)?;
    tagged(stamp, rest)
}

/// `Nov  3 08:50:54 mx1 mail.err prog[811]: message`: BusyBox's syslogd
/// (`sysklogd/syslogd.c`, `timestamp_and_log`). AIX writes
/// `mx1 mail:err|error prog[811]: message` (AIX 5.2 and later, syslogd `-n` off).
fn host_priority_and_tag<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let rest = skip_host(stamp, rest)?;
    let (priority, rest) = token(rest)?;
    is_priority(priority).then(|| tagged(stamp, rest))?
}

/// `Nov  3 08:50:54 <mail.err> mx1 prog[811]: message`: FreeBSD's syslogd `-vv`;
/// `<2.3>` with `-v` (`syslogd.c`, `fprintlog_bsd`).
fn priority_before_host<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let (priority, rest) = token(rest)?;
    let priority = priority.strip_prefix(b"<")?.strip_suffix(b">")?;
    is_priority(priority).then(|| host_and_tag(stamp, rest))?
}

/// `Nov  3 08:50:54 prog[811]: message`: journalctl `--no-hostname`, rsyslog
/// templates without a host. `Tue Nov  3 08:50:54 2026 mail.err prog[811]:
/// message`: OpenWrt's logread (`ubox/log/logread.c`).
fn tag_alone<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let (first, behind) = token(rest)?;
    tagged(stamp, if is_priority(first) { behind } else { rest })
}

/// `Nov  3 08:50:54 [prog] message`: metalog (`metalog.c`, `writeLogLine`).
fn metalog<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let Stamp::Bsd { year: None, .. } = stamp else {
        return None;
    };
    let (tag, message) = token(rest)?;
    let program = tag.strip_prefix(b"[")?.strip_suffix(b"]")?;
    is_program(program).then_some(Header {
        stamp: Some(stamp),
        outer: None,
        program: Some(program),
        message,
    })
}

/// `2026-11-03T08:50:54.61576 mail.err: Nov  3 08:50:54 prog[811]: message`:
/// socklog under svlogd (socklog(8), svlogd(8) `-t` to `-ttt`). svlogd's stamp
/// is in UTC.
fn socklog<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let (priority, rest) = token(rest)?;
    if !is_priority(priority.strip_suffix(b":")?) {
        return None;
    }
    let (inner, rest) = Stamp::split(rest)?;
    Some(tag_alone(inner, rest)?.within(Some(stamp)))
}

/// `Nov  3 08:50:54 loghost Message forwarded from mx1: prog[811]: message`: AIX
/// and Solaris, for a line of another host.
fn forwarded<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let rest = skip_host(stamp, rest)?;
    let rest = rest.strip_prefix(b"Message forwarded from ")?;
    let (host, rest) = token(rest)?;
    host.strip_suffix(b":")?;
    tagged(stamp, rest)
}

/// `2026-11-03T08:50:54Z mx1 prog 811 - - message`: RFC 5424 without its
/// priority and version, as FreeBSD's syslogd `-O rfc5424` and sysklogd write it
/// to files.
fn rfc5424<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let Stamp::Rfc3339(_) = stamp else {
        return None;
    };
    let (pid, _) = [(); 2]
        .iter()
        .try_fold(rest, |rest, ()| Some(token(rest)?.1))
        .and_then(token)?;
    (is_pid(pid) || pid == b"-").then(|| structured::after_stamp(Some(stamp), rest))?
}

/// Skips the name of the host. After a [`Stamp::Full`], only the bytes of a host
/// name are accepted: the line may be Exim's, where text that a sender chose
/// follows the stamp, as in `H=(x courieresmtpd: …`.
fn skip_host<'line>(stamp: Stamp<'_>, rest: &'line [u8]) -> Option<&'line [u8]> {
    let (host, rest) = token(rest)?;
    let is_host = match stamp {
        Stamp::Full { .. } => host.iter().all(|byte| is_name_byte(*byte)),
        _ => !matches!(host.first(), Some(b'<' | b'[')),
    };
    (is_host && !host.ends_with(b":")).then_some(rest)
}

/// Parses `prog: message`, `prog[811]: message`.
fn tagged<'line>(stamp: Stamp<'line>, rest: &'line [u8]) -> Option<Header<'line>> {
    let (tag, message) = token(rest)?;
    let tag = tag.strip_suffix(b":")?;
    let program = strip_pid(tag);
    if matches!(stamp, Stamp::Full { .. }) && !is_program(program) {
        return None;
    }
    Some(Header {
        stamp: Some(stamp),
        outer: None,
        program: Some(program),
        message,
    })
}

fn strip_pid(tag: &[u8]) -> &[u8] {
    let stripped = tag.strip_suffix(b"]").and_then(|tag| {
        let (program, pid) = tag.split_at_checked(memchr::memchr(b'[', tag)?)?;
        is_pid(pid.strip_prefix(b"[")?).then_some(program)
    });
    stripped.unwrap_or(tag)
}

fn is_pid(pid: &[u8]) -> bool {
    !pid.is_empty() && count_digits(pid) == pid.len()
}

/// Whether the bytes can be the name of a program. Brackets and the other
/// characters that mail servers write around a sender's words are not accepted.
fn is_program(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| is_name_byte(*byte) || b"/@+".contains(byte))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-:%".contains(&byte)
}

/// Facilities and levels as syslogd names them, `syslog.h`.
const FACILITIES: [&[u8]; 24] = [
    b"kern",
    b"user",
    b"mail",
    b"daemon",
    b"auth",
    b"syslog",
    b"lpr",
    b"news",
    b"uucp",
    b"cron",
    b"authpriv",
    b"ftp",
    b"ntp",
    b"security",
    b"console",
    b"local0",
    b"local1",
    b"local2",
    b"local3",
    b"local4",
    b"local5",
    b"local6",
    b"local7",
    b"clock",
];
const LEVELS: [&[u8]; 12] = [
    b"emerg", b"panic", b"alert", b"crit", b"err", b"error", b"warning", b"warn", b"notice",
    b"info", b"debug", b"none",
];

/// Whether the word is a facility and a level: `mail.err`, `2.3`,
/// `mail:err|error`, `auth|security:info`.
pub(super) fn is_priority(word: &[u8]) -> bool {
    let Some(at) = memchr::memchr2(b'.', b':', word) else {
        return false;
    };
    let (facility, level) = (&word.get(..at), &word.get(at + 1..));
    let (Some(facility), Some(level)) = (facility, level) else {
        return false;
    };
    if is_pid(facility) && is_pid(level) {
        return facility.len() <= 2 && level.len() == 1;
    }
    let all = |words: &[u8], known: &[&[u8]]| {
        words
            .split(|byte| *byte == b'|')
            .all(|word| known.contains(&word))
    };
    all(facility, &FACILITIES) && all(level, &LEVELS)
}
