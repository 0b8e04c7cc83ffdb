//! The texts of blocklists and administrators.

use std::collections::BTreeSet;
use std::fs;

use spamdrop_core::log::{MailServer, Parsed};

use super::{NOW, directory, parser, unix_time};

/// A text, and whether it says that 192.0.2.1 is listed.
struct Text {
    is_listing: bool,
    /// The host name of the peer, which the line has before its address.
    name: String,
    text: String,
}

fn table() -> String {
    let path = directory().join("lists.txt");
    fs::read_to_string(path).unwrap()
}

fn text_of(line: &str) -> Text {
    let (kind, text) = line.split_at(4);
    let (name, text) = match text.strip_prefix("NAME=") {
        Some(named) => named.split_once(' ').unwrap(),
        None => ("host.example.net", text),
    };
    Text {
        is_listing: match kind {
            "yes " => true,
            "no  " => false,
            _ => panic!("{line}"),
        },
        name: name.into(),
        text: text.into(),
    }
}

fn is_taken(Text { name, text, .. }: &Text) -> bool {
    let line = format!(
        "2026-11-23 08:50:54 H={name} (pc) [192.0.2.1] F=<a@example.net> rejected RCPT \
         <b@example.com>: {text}"
    );
    let parsed = parser(&[MailServer::Exim]).parse(line.as_bytes(), unix_time(NOW));
    matches!(parsed, Parsed::Event(event) if event.addr.to_string() == "192.0.2.1")
}

#[test]
fn every_text_is_read_as_written_before_it() {
    let table = table();
    let lines = table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let wrong: Vec<_> = lines
        .filter(|line| {
            let text = text_of(line);
            is_taken(&text) != text.is_listing
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A sender writes each text into the name of its host, its HELO, its mailbox and
/// the recipient, and is refused for another reason.
#[test]
fn no_text_counts_in_the_words_of_a_sender() {
    let table = table();
    let texts = table.lines().filter(|line| line.starts_with("yes "));
    let mut count = 0;
    for line in texts {
        let Text { text, .. } = text_of(line);
        let name = text.replace(' ', ".");
        for (server, line) in [
            (
                MailServer::Exim,
                format!(
                    "2026-11-23 08:50:54 H={name} ({text}) [192.0.2.1] F=<{text}> rejected RCPT \
                     <{text}>: denied"
                ),
            ),
            (
                MailServer::Postfix,
                format!(
                    "Nov 23 08:50:54 mx1 postfix/smtpd[7]: NOQUEUE: reject: RCPT from \
                     {name}[192.0.2.1]: 554 5.7.1 <{text}>: Relay access denied; from=<{text}> to=<{text}> proto=ESMTP helo=<{text}>"
                ),
            ),
            (
                MailServer::Sendmail,
                format!(
                    "Nov 23 08:50:54 mx1 sm-mta[7]: 5AN8os3B002317: ruleset=check_rcpt, \
                     arg1=<{text}>, relay={name} [192.0.2.1], reject=550 5.7.1 <{text}>... denied"
                ),
            ),
        ] {
            count += 1;
            let mut parser = parser(&[server]);
            let parsed = parser.parse(line.as_bytes(), unix_time(NOW));
            assert!(!matches!(parsed, Parsed::Event(_)), "{line}: {parsed:?}");
        }
    }
    assert!(count >= 3 * 100, "{count} lines");
}

/// Each list has a comment `# NAME: SOURCE`, and a text with its zone.
#[test]
fn every_blocklist_has_three_texts_and_their_source() {
    let table = table();
    let lists = table
        .split("\n\n")
        .filter(|part| part.contains("\nyes rejected because 192.0.2.1"));
    let mut count = 0;
    for list in lists {
        count += 1;
        let (comment, texts) = list.split_once('\n').unwrap();
        let source = comment.split_once(": ").map(|(_, source)| source);
        assert!(source.is_some_and(|it| !it.is_empty()), "{comment}");
        let texts = texts.lines().filter(|line| line.starts_with("yes "));
        let texts: BTreeSet<&str> = texts.collect();
        assert!(texts.len() >= 3, "{list}");
    }
    assert!(count >= 28, "{count} lists");
}
