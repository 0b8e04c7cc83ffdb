//! The SMTP dialogue with a listed sender: bytes in, replies and log lines out.
//! Reads no clock and no socket.
//!
//! All commands before RCPT succeed, so that every mail server treats the
//! refusal as final and returns the mail with the text. No message is ever
//! accepted.

use std::net::SocketAddr;

use crate::courier::log_line;

/// The text for a listed sender if no better text is known.
pub const DEFAULT_TEXT: &str = "Blacklisted by a DNS blocklist";

/// Maximum length of a line in bytes, without its end; RFC 5321 allows 512 with
/// it.
const LONGEST_LINE: usize = 1000;
/// Maximum number of lines in a session.
const MAX_COMMANDS: u32 = 50;
/// Maximum number of invalid lines in a session.
const MAX_ERRORS: u32 = 10;
/// Maximum number of bytes from a peer; more than [`MAX_COMMANDS`] lines of
/// [`LONGEST_LINE`] bytes.
const MAX_BYTES: usize = 64 * 1024;
/// No further lines are processed while this many bytes of replies wait to be
/// sent.
const ENOUGH: usize = 1024;
/// Maximum length of a line of the rejection text, in bytes.
const LONGEST_TEXT: usize = 480;
/// Maximum number of lines of the rejection text.
const MAX_TEXT_LINES: usize = 4;

/// The two sides of a session, and the reason for the refusal.
pub struct Parties<'a> {
    /// The server's host name.
    pub host: &'a str,
    /// The listed sender.
    pub peer: SocketAddr,
    /// The text of the refusal: one line or several.
    pub text: &'a dyn Fn() -> String,
}

/// Replies to send and messages to log.
#[derive(Debug, Default)]
pub struct DialogueOutput {
    /// Replies, including line ends.
    pub replies: Vec<u8>,
    /// Messages for the log, at severity `err`.
    pub lines: Vec<Vec<u8>>,
    /// The number of recipients that were rejected with 511.
    pub refusals: u64,
}

impl DialogueOutput {
    fn reply(&mut self, reply: &str) {
        self.replies.extend_from_slice(reply.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
    }
}

/// One session.
#[derive(Debug, Default)]
pub struct Dialogue {
    /// The beginning of an incomplete line.
    partial: Vec<u8>,
    /// Whether the current line is already too long.
    is_overlong: bool,
    /// The sender in the logged form.
    sender: Option<Vec<u8>>,
    heard: usize,
    commands: u32,
    errors: u32,
    has_ended: bool,
}

impl Dialogue {
    /// The greeting of the server.
    pub fn greet(&self, parties: &Parties<'_>, out: &mut DialogueOutput) {
        out.reply(&format!("220 {} ESMTP", parties.host));
    }

    /// Consumes bytes from the peer, in chunks of any size; lines end with LF
    /// or CR LF. Returns the number of consumed bytes. No further line is
    /// consumed while 1 KiB of replies wait to be sent, so that a peer that does
    /// not read cannot fill the memory.
    pub fn feed(&mut self, bytes: &[u8], parties: &Parties<'_>, out: &mut DialogueOutput) -> usize {
        let mut rest = bytes;
        while !self.has_ended {
            if out.replies.len() >= ENOUGH {
                break;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.buffer_bytes(rest);
                rest = &[];
                break;
            };
            let (line, behind) = rest.split_at(end);
            self.buffer_bytes(line);
            self.handle_line(parties, out);
            rest = behind.get(1..).unwrap_or_default();
        }
        let taken = bytes.len() - rest.len();
        self.heard = self.heard.saturating_add(taken);
        if self.heard > MAX_BYTES {
            self.end("Too much input.", out);
        }
        if self.has_ended { bytes.len() } else { taken }
    }

    /// Ends the session from the server's side.
    pub fn end(&mut self, why: &str, out: &mut DialogueOutput) {
        if !self.has_ended {
            out.reply(&format!("421 {why}"));
            self.has_ended = true;
        }
    }

    /// Whether the session has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The number of complete lines so far.
    #[must_use]
    pub fn commands(&self) -> u32 {
        self.commands
    }

    fn buffer_bytes(&mut self, bytes: &[u8]) {
        // One more byte, for the CR.
        if self.is_overlong || self.partial.len() + bytes.len() > LONGEST_LINE + 1 {
            self.is_overlong = true;
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn handle_line(&mut self, parties: &Parties<'_>, out: &mut DialogueOutput) {
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let is_overlong = std::mem::take(&mut self.is_overlong) || line.len() > LONGEST_LINE;
        self.commands += 1;
        if is_overlong {
            self.wrong("500 Line too long.", out);
        } else {
            self.command(line.trim_ascii(), parties, out);
        }
        if self.errors >= MAX_ERRORS {
            self.end("Too many errors.", out);
        } else if self.commands >= MAX_COMMANDS {
            self.end("Too much input.", out);
        }
    }

    fn command(&mut self, line: &[u8], parties: &Parties<'_>, out: &mut DialogueOutput) {
        let end = line.iter().position(u8::is_ascii_whitespace);
        let (verb, rest) = line.split_at(end.unwrap_or(line.len()));
        match verb.to_ascii_uppercase().as_slice() {
            b"EHLO" => {
                self.sender = None;
                out.reply(&format!(
                    "250-{} Ok.\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE",
                    parties.host
                ));
            }
            b"HELO" => {
                self.sender = None;
                out.reply(&format!("250 {} Ok.", parties.host));
            }
            b"MAIL" => self.mail(rest, out),
            b"RCPT" => self.rcpt(rest, parties, out),
            b"DATA" if self.sender.is_some() => self.wrong("554 No valid recipients.", out),
            b"DATA" => self.wrong("503 5.5.1 MAIL first", out),
            b"RSET" => {
                self.sender = None;
                out.reply("250 Ok.");
            }
            b"NOOP" => out.reply("250 Ok."),
            b"VRFY" => out.reply("252 2.5.2 Cannot verify; try RCPT"),
            b"QUIT" => {
                out.reply("221 Bye.");
                self.has_ended = true;
            }
            _ => self.wrong("502 ESMTP command error", out),
        }
    }

    fn mail(&mut self, rest: &[u8], out: &mut DialogueOutput) {
        match address(rest, b"FROM:") {
            Some(address) => {
                self.sender = Some(log_line::mailbox(address));
                out.reply("250 Ok.");
            }
            None => self.wrong("501 Write MAIL FROM:<address>.", out),
        }
    }

    fn rcpt(&mut self, rest: &[u8], parties: &Parties<'_>, out: &mut DialogueOutput) {
        let Some(sender) = &self.sender else {
            return self.wrong("503 5.5.1 MAIL first", out);
        };
        let Some(address) = address(rest, b"TO:") else {
            return self.wrong("501 Write RCPT TO:<address>.", out);
        };
        let recipient = log_line::mailbox(address);
        for reply in refusal(&(parties.text)()) {
            let line = log_line::refused(parties.peer, sender, &recipient, &reply);
            out.lines.push(line);
            out.reply(&reply);
        }
        out.refusals += 1;
    }

    fn wrong(&mut self, reply: &str, out: &mut DialogueOutput) {
        self.errors += 1;
        out.reply(reply);
    }
}

/// The address after `FROM:` or `TO:`, without angle brackets if there are any.
fn address<'line>(rest: &'line [u8], before: &[u8]) -> Option<&'line [u8]> {
    let (word, rest) = rest.trim_ascii_start().split_at_checked(before.len())?;
    word.eq_ignore_ascii_case(before).then_some(())?;
    let rest = rest.trim_ascii_start();
    match rest.strip_prefix(b"<") {
        Some(inside) => inside.get(..closing_bracket(inside)?),
        None => rest.split(u8::is_ascii_whitespace).next(),
    }
}

/// The position of the `>` outside of a quoted string.
fn closing_bracket(bytes: &[u8]) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    bytes.iter().position(|byte| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        match byte {
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        *byte == b'>' && !is_quoted
    })
}

/// The lines of a rejection, without their ends. The text is untrusted, because
/// it may come from a blocklist.
fn refusal(text: &str) -> Vec<String> {
    let printable = |char: char| if matches!(char, ' '..='~') { char } else { '?' };
    let lines = text.lines().map(|line| {
        let line = line.trim().chars().map(printable);
        line.take(LONGEST_TEXT).collect::<String>()
    });
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    let lines = lines.get(..MAX_TEXT_LINES.min(lines.len()));
    match lines.and_then(<[String]>::split_last) {
        Some((last, before)) => {
            let before = before.iter().map(|line| format!("511-{line}"));
            before.chain([format!("511 {last}")]).collect()
        }
        None => vec![format!("511 {}", DEFAULT_TEXT)],
    }
}

#[cfg(test)]
mod tests;
