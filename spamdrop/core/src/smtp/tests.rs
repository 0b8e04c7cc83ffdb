#![expect(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

const TEXT: &str = "Blacklisted by zone.example";
const REFUSED: &str = "511 Blacklisted by zone.example\r\n";

/// The most bytes of replies that can wait: one reply beyond the limit.
const MOST_WAITING: usize = ENOUGH + MAX_TEXT_LINES * (LONGEST_TEXT + 6);

/// The replies and log lines that result from these chunks.
fn session(portions: &[&[u8]], text: &str) -> (String, Vec<String>, Dialogue) {
    let text = || text.to_owned();
    let parties = Parties {
        host: "mx1.example",
        peer: "[::ffff:192.0.2.66]:40112".parse().unwrap(),
        text: &text,
    };
    let mut dialogue = Dialogue::default();
    let mut out = DialogueOutput::default();
    let mut replies = Vec::new();
    for portion in portions {
        let mut rest = *portion;
        while !rest.is_empty() {
            let taken = dialogue.feed(rest, &parties, &mut out);
            assert!(out.replies.len() < MOST_WAITING, "{}", out.replies.len());
            rest = &rest[taken..];
            replies.append(&mut out.replies);
        }
    }
    let lines = out.lines.into_iter().map(String::from_utf8);
    let lines = lines.collect::<Result<_, _>>().unwrap();
    (String::from_utf8(replies).unwrap(), lines, dialogue)
}

fn replies(bytes: &[u8]) -> String {
    session(&[bytes], TEXT).0
}

fn codes(bytes: &[u8]) -> Vec<String> {
    let replies = replies(bytes);
    let last = replies.lines().filter(|line| !line[3..].starts_with('-'));
    last.map(|line| line[..3].to_owned()).collect()
}

#[test]
fn a_mail_server_is_told_511_at_rcpt() {
    let said = b"EHLO bot.example\r\nMAIL FROM:<a@b.example> BODY=8BITMIME\r\n\
                 RCPT TO:<c@here.example>\r\nQUIT\r\n";
    let (replies, lines, dialogue) = session(&[said], TEXT);
    assert_eq!(
        replies,
        format!(
            "250-mx1.example Ok.\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n\
             250 Ok.\r\n{REFUSED}221 Bye.\r\n"
        )
    );
    assert_eq!(
        lines,
        [
            "error,relay=::ffff:192.0.2.66,port=40112,from=<a@b.example>,to=<c@here.example>: 511 Blacklisted by zone.example"
        ]
    );
    assert_eq!(dialogue.commands(), 4);
    assert!(dialogue.has_ended());
}

#[test]
fn the_greeting_is_couriers() {
    let text = String::new;
    let parties = Parties {
        host: "mx1",
        peer: "192.0.2.1:1".parse().unwrap(),
        text: &text,
    };
    let mut out = DialogueOutput::default();
    Dialogue::default().greet(&parties, &mut out);
    assert_eq!(out.replies, b"220 mx1 ESMTP\r\n");
}

#[test]
fn portions_make_no_difference() {
    let said = b"helo x\nmail from: <>\r\nrcpt to: a@b NOTIFY=NEVER\r\ndata\r\nrset\r\nquit\r\n";
    let whole = session(&[said], TEXT);
    let bytes: Vec<&[u8]> = said.chunks(1).collect();
    let single = session(&bytes, TEXT);
    assert_eq!((&whole.0, &whole.1), (&single.0, &single.1));
    assert_eq!(
        whole.0,
        format!(
            "250 mx1.example Ok.\r\n250 Ok.\r\n{REFUSED}554 No valid recipients.\r\n250 Ok.\r\n221 Bye.\r\n"
        )
    );
    assert!(whole.1[0].contains(",from=<>,to=<a@b>: "));
}

#[test]
fn every_command_has_its_reply() {
    for (said, code) in [
        (&b"NOOP"[..], "250"),
        (b"RSET", "250"),
        (b"VRFY a@b", "252"),
        (b"EXPN staff", "502"),
        (b"AUTH PLAIN AAAA", "502"),
        (b"STARTTLS", "502"),
        (b"BDAT 3 LAST", "502"),
        (b"", "502"),
        (b"\0", "502"),
        (b"\xff\xfe", "502"),
        (b"RCPT TO:<a@b>", "503"),
        (b"DATA", "503"),
        (b"MAIL", "501"),
        (b"MAIL <a@b>", "501"),
        (b"MAIL FROM:<a@b", "501"),
        (b"MAIL FROM:<\"a>b\"@c>", "250"),
        (b"HELO", "250"),
    ] {
        let line = [said, b"\r\n"].concat();
        assert_eq!(codes(&line), [code], "{}", said.escape_ascii());
    }
}

#[test]
fn a_sender_is_forgotten_by_rset_and_greetings() {
    for verb in ["RSET", "HELO x", "EHLO x"] {
        let said = format!("MAIL FROM:<a@b>\n{verb}\nRCPT TO:<c@d>\n");
        assert_eq!(codes(said.as_bytes()), ["250", "250", "503"]);
    }
}

#[test]
fn a_quoted_bracket_ends_no_address() {
    let said = b"MAIL FROM:<\"a>b\\\"<\"@c>\nRCPT TO:<x>,port=1,from=<y>: 250\n";
    let lines = session(&[said], TEXT).1;
    assert!(
        lines[0].contains(",from=<\"a b\\\" \"@c>,to=<x>: 511 "),
        "{lines:?}"
    );
}

#[test]
fn lines_up_to_1000_bytes_are_read_and_longer_ones_skipped() {
    let noop = |length: usize| [b"NOOP ".repeat(length / 5).as_slice(), b"\r\nQUIT\r\n"].concat();
    assert_eq!(codes(&noop(1000)), ["250", "221"]);
    assert_eq!(codes(&noop(1005)), ["500", "221"]);
    let long = vec![b'x'; 30_000];
    let (replies, _, dialogue) = session(&[&long, &long], TEXT);
    assert_eq!(replies, "");
    assert!(dialogue.partial.capacity() <= LONGEST_LINE + 1);
    assert_eq!(codes(&[&long[..], b"\nNOOP\n"].concat()), ["500", "250"]);
}

#[test]
fn a_session_has_an_end() {
    let said = b"NOOP\n".repeat(60);
    let codes_of_many = codes(&said);
    assert_eq!(codes_of_many.len(), 51);
    assert_eq!(codes_of_many.last().unwrap(), "421");
    let codes_of_wrong = codes(&b"?\n".repeat(60));
    assert_eq!(codes_of_wrong.len(), 11);
    assert_eq!(codes_of_wrong.last().unwrap(), "421");
    let endless = vec![b'x'; 1000];
    let (replies, _, dialogue) = session(&[&endless[..]; 66], TEXT);
    assert_eq!(replies, "421 Too much input.\r\n");
    let most = vec![b'x'; MAX_BYTES];
    assert_eq!(session(&[&most], TEXT).0, "");
    let (replies, ..) = session(&[&most, b"x"], TEXT);
    assert_eq!(replies, "421 Too much input.\r\n");
    assert!(dialogue.has_ended());
    // Nothing after the limit, or after QUIT, gets a reply.
    assert_eq!(codes(b"QUIT\nNOOP\n"), ["221"]);
}

/// Refused recipients do not count as errors, because mail to a list has many;
/// each gets the same reply.
#[test]
fn refused_recipients_are_no_errors() {
    let said = [&b"MAIL FROM:<a@b>\n"[..], &b"RCPT TO:<c@d>\n".repeat(40)].concat();
    let (replies, lines, dialogue) = session(&[&said], TEXT);
    assert_eq!((replies.matches(REFUSED).count(), lines.len()), (40, 40));
    assert!(!dialogue.has_ended());
}

#[test]
fn texts_of_several_lines_and_strange_ones() {
    let said = b"MAIL FROM:<>\nRCPT TO:<a@b>\n";
    let of = |text: &str| {
        let (replies, lines, _) = session(&[said], text);
        let logged: Vec<String> = lines
            .iter()
            .map(|line| line.split_once(">: ").unwrap().1.to_owned())
            .collect();
        (
            replies.strip_prefix("250 Ok.\r\n").unwrap().to_owned(),
            logged,
        )
    };
    let (replies, logged) = of("one\r\ntwo\x07\u{e9}\n\n");
    assert_eq!(replies, "511-one\r\n511 two??\r\n");
    assert_eq!(logged, ["511-one", "511 two??"]);
    assert_eq!(of(" \n").0, "511 Blacklisted by a DNS blocklist\r\n");
    // The log parser recognises no code except 511.
    assert_eq!(of("550 x\n554 y").0, "511-550 x\r\n511 554 y\r\n");
    let (replies, logged) = of(&"x".repeat(10_000));
    assert_eq!(replies, format!("511 {}\r\n", "x".repeat(480)));
    assert_eq!(logged, [format!("511 {}...", "x".repeat(124))]);
    assert_eq!(of(&"y\n".repeat(100)).0.lines().count(), 4);
}

#[test]
fn an_end_from_our_side_is_said_once() {
    let mut dialogue = Dialogue::default();
    let mut out = DialogueOutput::default();
    dialogue.end("Going down.", &mut out);
    dialogue.end("Going down.", &mut out);
    assert_eq!(out.replies, b"421 Going down.\r\n");
    assert!(dialogue.has_ended());
}
