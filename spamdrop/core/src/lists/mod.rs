//! The lists of other programs, which `import` reads.
//!
//! | format | source |
//! |---|---|
//! | lines | [`crate::listing`]; CIDR lists with `#` and `;` comments; `drop.txt` of Spamhaus |
//! | spamhaus-json | `drop_v4.json` and `drop_v6.json` of Spamhaus: an object a line |
//! | ipset | `ipset save NAME` (ipset 7) |
//! | nft | `nft list set FAMILY TABLE NAME` (nftables 1.0), and files for `nft -f` |
//! | nft-json | the same with `nft -j` (libnftables-json(5)) |
//! | fail2ban | `fail2ban-client get JAIL banip --with-time` (fail2ban 1.0) |
//!
//! The other programs end an entry at a fixed time, so a block from such a list ends
//! then, whatever the peer sends. An address without a time is blocked for the time of
//! `import --for`.

mod fail2ban;
mod ipset;
mod nft;
mod nft_json;
mod range;
mod spamhaus;

pub use nft_json::NftDocument;
pub use spamhaus::DropRecord;

use jiff::civil::DateTime;

use crate::invalid::Invalid;
use crate::listing::{ListEntry, ListReader};

/// The format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// An address or prefix a line.
    Lines,
    /// An object of Spamhaus a line.
    SpamhausJson,
    /// `ipset save`.
    Ipset,
    /// `nft list set`.
    Nft,
    /// `nft -j list set`.
    NftJson,
    /// `fail2ban-client get JAIL banip --with-time`.
    Fail2ban,
}

impl ListFormat {
    /// Recognizes the format by the first line that is no comment.
    #[must_use]
    pub fn recognize(text: &[u8]) -> Self {
        let is_comment = |line: &&[u8]| line.is_empty() || b"#;".contains(&line[0]);
        let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let first = lines.find(|line| !is_comment(line)).unwrap_or_default();
        let word = first.split(u8::is_ascii_whitespace).next();
        match word.unwrap_or_default() {
            // Statements for `nft -f` begin with the same words as lines of ipset.
            b"add" if nft::is_statement(first) => Self::Nft,
            b"flush" if nft::is_statement(first) => Self::Nft,
            b"create" | b"add" | b"flush" | b"-N" | b"-A" | b"-F" => Self::Ipset,
            b"table" | b"elements" | b"set" => Self::Nft,
            [b'{', ..] if is_nft_json(text) => Self::NftJson,
            [b'{', ..] => Self::SpamhausJson,
            _ if fail2ban::is_line(first) => Self::Fail2ban,
            _ => Self::Lines,
        }
    }
}

fn is_nft_json(text: &[u8]) -> bool {
    let mut bytes = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    let begin = bytes.by_ref().skip_while(|byte| **byte != b'{');
    begin.take(12).copied().eq(*b"{\"nftables\":")
}

/// Parses lists whose entries are lines, and the text of nft.
#[derive(Clone, Copy, Debug)]
pub struct ListParser {
    /// Parses the entries of the lines.
    pub reader: ListReader,
    /// The format, recognized or given.
    pub format: ListFormat,
    /// The present local time. fail2ban prints the ends of its bans in local time.
    pub local_now: DateTime,
}

impl ListParser {
    /// Parses one line; `None` if it blocks nothing.
    ///
    /// # Errors
    ///
    /// The line is not in the format; the message names the word that does not fit.
    pub fn read_line(&self, line: &[u8]) -> Result<Option<ListEntry>, Invalid> {
        match self.format {
            ListFormat::Ipset => ipset::read_line(&self.reader, line),
            ListFormat::Fail2ban => fail2ban::read_line(&self.reader, line, self.local_now),
            _ => self.reader.read_line(line),
        }
    }

    /// Parses the text of nft. `emit` gets each entry with the number of its line,
    /// from 1.
    pub fn read_nft(&self, text: &[u8], emit: &mut dyn FnMut(usize, Result<ListEntry, Invalid>)) {
        nft::read(&self.reader, text, emit);
    }
}

#[cfg(test)]
mod tests;
