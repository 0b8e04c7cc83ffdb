//! Logs that are named by a wildcard, such as `mail-*.log`.

use regex::bytes::Regex;

use crate::rotation::is_rotated;

/// Endings of files that no program appends lines to.
const PACKED: [&[u8]; 7] = [b".gz", b".xz", b".zst", b".bz2", b".lz4", b".Z", b".zip"];

/// A file name with wildcards: `*` stands for any characters, `?` for one. As in
/// a shell, neither stands for a dot at the beginning.
#[derive(Clone, Debug)]
pub struct Wildcard {
    names: Regex,
    is_hidden: bool,
}

impl Wildcard {
    /// Reads a file name; `None` if it has no wildcard.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        if !name.contains(['*', '?']) {
            return None;
        }
        let mut names = "^".to_owned();
        for character in name.chars() {
            match character {
                '*' => names += "(?s-u:.*)",
                '?' => names += "(?s:.)",
                literal => names += &regex::escape(literal.encode_utf8(&mut [0; 4])),
            }
        }
        Some(Self {
            names: Regex::new(&(names + "$")).ok()?,
            is_hidden: name.starts_with('.'),
        })
    }

    /// Whether this is the name of a log or of a rotated log.
    #[must_use]
    pub fn is_match(&self, name: &[u8]) -> bool {
        let is_packed = PACKED.iter().any(|ending| name.ends_with(ending));
        !is_packed && self.is_hidden == name.starts_with(b".") && self.names.is_match(name)
    }

    /// Selects the logs among the `names` of a directory. Rotated files are left out.
    /// `read` has the names of logs that are read already: their rotated files are
    /// left out even while the log itself is absent.
    #[must_use]
    pub fn logs<'a>(&self, names: &[&'a [u8]], read: &[&[u8]]) -> Vec<&'a [u8]> {
        let found = names.iter().copied().filter(|name| self.is_match(name));
        let found: Vec<&[u8]> = found.collect();
        let is_log = |name: &&&[u8]| {
            read.contains(*name) || !found.iter().chain(read).any(|base| is_rotated(base, name))
        };
        found.iter().filter(is_log).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn logs<'a>(wildcard: &str, names: &[&'a str], read: &[&str]) -> Vec<&'a str> {
        let bytes: Vec<_> = names.iter().map(|name| name.as_bytes()).collect();
        let read: Vec<_> = read.iter().map(|name| name.as_bytes()).collect();
        let logs = Wildcard::new(wildcard).unwrap().logs(&bytes, &read);
        let texts = logs
            .into_iter()
            .map(|log| std::str::from_utf8(log).unwrap());
        texts.collect()
    }

    #[test]
    fn a_name_without_a_wildcard_is_none() {
        assert!(Wildcard::new("mail.log").is_none());
        assert!(Wildcard::new("mail[1].log").is_none());
    }

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        let names = [
            "mail.log",
            "mail-a.log",
            "mail-ab.log",
            "xmail-a.log",
            "mail-a.log2",
        ];
        assert_eq!(
            logs("mail-*.log", &names, &[]),
            ["mail-a.log", "mail-ab.log"]
        );
        assert_eq!(logs("mail-?.log", &names, &[]), ["mail-a.log"]);
        assert_eq!(
            logs("mail?a.log", &["mail-a.log", "mailéa.log"], &[]).len(),
            2
        );
        assert_eq!(logs("ma(*", &["ma(il", "mail"], &[]), ["ma(il"]);
        assert!(Wildcard::new("a*").unwrap().is_match(b"a\xff\nb"));
    }

    #[test]
    fn hidden_and_compressed_files_are_no_logs() {
        let names = [
            ".mail.log",
            "mail.log",
            "mail.log.2.gz",
            "mail.bz2",
            "mail.log.zst",
        ];
        assert_eq!(logs("*", &names, &[]), ["mail.log"]);
        assert_eq!(logs(".m*", &names, &[]), [".mail.log"]);
    }

    #[test]
    fn rotated_files_are_no_logs_but_dated_logs_are() {
        let names = [
            "mail.err",
            "mail.err.1",
            "mail.log",
            "mail.log-20261128",
            "mail.log.1",
        ];
        assert_eq!(logs("mail.*", &names, &[]), ["mail.err", "mail.log"]);
        let dated = ["mail-20261128.log", "mail-20261129.log"];
        assert_eq!(logs("mail-*.log", &dated, &[]), dated);
        // The log was renamed, and the new one does not exist yet.
        assert_eq!(
            logs("mail*", &["mail.log.1"], &["mail.log"]),
            [] as [&str; 0]
        );
        // `mail.1` is read already, so it stays a log, although it could be a rotated file
        // of the new log `mail`.
        let both = ["mail", "mail.1"];
        assert_eq!(logs("mail*", &both, &["mail.1"]), both);
    }
}
