#![expect(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

fn add(addr: &str) -> Option<FifoCommand> {
    Some(FifoCommand::Add(addr.parse().unwrap(), None))
}

fn remove(addr: &str) -> Option<FifoCommand> {
    Some(FifoCommand::Remove(addr.parse().unwrap()))
}

/// The commands of a stream; `None` is an invalid one.
fn read(chunks: &[&[u8]]) -> Vec<Option<FifoCommand>> {
    let mut all = Vec::new();
    let mut commands = Commands::default();
    for chunk in chunks {
        commands.feed(chunk, &mut |command| all.push(command.ok()));
        assert!(commands.piece.len() <= LONGEST);
    }
    commands.finish(&mut |command| all.push(command.ok()));
    all
}

fn complaint(bytes: &[u8]) -> String {
    let mut said = String::new();
    let mut commands = Commands::default();
    let mut emit = |command: Result<_, Malformed>| said += &command.unwrap_err().to_string();
    commands.feed(bytes, &mut emit);
    commands.finish(&mut emit);
    said
}

#[test]
fn as_xt_recent() {
    assert_eq!(read(&[b"+192.0.2.1\n"]), [add("192.0.2.1")]);
    assert_eq!(read(&[b"+192.0.2.1"]), [add("192.0.2.1")]);
    assert_eq!(read(&[b"+192.0.2.1\0"]), [add("192.0.2.1")]);
    assert_eq!(read(&[b"-192.0.2.1\n"]), [remove("192.0.2.1")]);
    assert_eq!(read(&[b"+2001:DB8::1\n"]), [add("2001:db8::1")]);
    assert_eq!(read(&[b"/\n"]), [Some(FifoCommand::Flush)]);
    for none in ["+\n", "-", "+192.0.2\n", "+ 192.0.2.1\n", "+192.0.2.256\n"] {
        assert_eq!(read(&[none.as_bytes()]), [None], "{none}");
    }
}

#[test]
fn as_ipt_recent_in_2009() {
    assert_eq!(read(&[b"192.0.2.1\n"]), [add("192.0.2.1")]);
    assert_eq!(read(&[b"  192.0.2.1"]), [add("192.0.2.1")]);
    assert_eq!(read(&[b"clear\n"]), [Some(FifoCommand::Flush)]);
}

#[test]
fn a_time_may_follow_an_address_that_is_added() {
    let add = |seconds| Some(FifoCommand::Add([192, 0, 2, 1].into(), Some(seconds)));
    for text in ["+192.0.2.1 600\0", " +192.0.2.1 \t600 \r\n"] {
        assert_eq!(read(&[text.as_bytes()]), [add(600)], "{text}");
    }
    let text = b"+192.0.2.1 1\n+192.0.2.1 315360000\n+192.0.2.1 007\n";
    assert_eq!(read(&[text]), [add(1), add(315_360_000), add(7)]);
    for none in [
        "+192.0.2.1 0",
        "+192.0.2.1 315360001",
        "+192.0.2.1 4294967297",
        "+192.0.2.1 10m",
        "+192.0.2.1 600 sshd",
        "+192.0.2.1 -5",
        "+192.0.2.1\t -5",
        "+192.0.2.1 600 -5",
        "-192.0.2.1 600",
        "192.0.2.1 600",
        "/ 600",
    ] {
        assert_eq!(read(&[none.as_bytes(), b"\n"]), [None], "{none}");
    }
}

#[test]
fn an_owner_may_follow() {
    let addr = IpAddr::from([192, 0, 2, 1]);
    let hold = |owner: &str| Some(FifoCommand::Owned(addr, Some(600), owner.parse().unwrap()));
    let release = |owner: &str| Some(FifoCommand::Owned(addr, None, owner.parse().unwrap()));
    for text in [
        "+192.0.2.1 600 f2b:postfix-sasl\n",
        "+192.0.2.1\t600  f2b:postfix-sasl \0",
    ] {
        assert_eq!(
            read(&[text.as_bytes()]),
            [hold("f2b:postfix-sasl")],
            "{text}"
        );
    }
    let text = b"-192.0.2.1 f2b:a-b\n+192.0.2.1 600 import:x\n-192.0.2.1 fifo\n";
    assert_eq!(
        read(&[text]),
        [release("f2b:a-b"), hold("import:x"), release("fifo")]
    );
    let explicit = b"+192.0.2.1 600 fifo\n";
    assert_eq!(read(&[explicit]), [Some(FifoCommand::Add(addr, Some(600)))]);
    // An owner must be written in full, and must be neither the log nor the administrator.
    for none in [
        "+192.0.2.1 600 x",
        "+192.0.2.1 600 hand",
        "+192.0.2.1 600 log",
        "+192.0.2.1 f2b:x",
        "+192.0.2.1 600 f2b:x y",
        "+192.0.2.1 600 f2b:",
        "-192.0.2.1 x",
        "-192.0.2.1 600 f2b:x",
    ] {
        assert_eq!(read(&[none.as_bytes(), b"\n"]), [None], "{none}");
    }
    // The beginning of a name is a name as well, so a command without a line end is invalid.
    assert_eq!(read(&[b"+192.0.2.1 600 f2b:x"]), [None]);
    assert_eq!(read(&[b"-192.0.2.1 f2b:x"]), [None]);
    let other = add("192.0.2.2");
    assert_eq!(read(&[b"+192.0.2.1 600 f2b:x+192.0.2.2\n"]), [None, other]);
    assert_eq!(
        read(&[b"-192.0.2.1 -192.0.2.2\n"]),
        [remove("192.0.2.1"), remove("192.0.2.2")]
    );
    assert_eq!(
        complaint(b"+192.0.2.1 600 x\n"),
        "`+192.0.2.1 600 x` is not a command; only fifo, import:NAME or f2b:JAIL may be the last word"
    );
}

/// The first digits of a time are a time as well.
#[test]
fn a_command_with_a_time_counts_only_as_a_whole_line() {
    assert_eq!(read(&[b"+192.0.2.1 36"]), [None]);
    let other = add("192.0.2.2");
    assert_eq!(
        read(&[b"+192.0.2.1 36+192.0.2.2\n00\n"]),
        [None, other, None]
    );
    let other = remove("192.0.2.2");
    assert_eq!(read(&[b"+192.0.2.1 36-192.0.2.2\n"]), [None, other]);
}

#[test]
fn a_mapped_address_is_its_ipv4_one() {
    assert_eq!(read(&[b"+::ffff:192.0.2.1\n"]), [add("192.0.2.1")]);
}

#[test]
fn blanks_and_empty_lines_do_not_count() {
    let text = b"\n \t\r\n +192.0.2.1 \t\r\n\0\n";
    assert_eq!(read(&[text]), [add("192.0.2.1")]);
    assert_eq!(read(&[b"\n\n \0"]), []);
}

#[test]
fn commands_of_several_writers_without_newlines_stay_apart() {
    let (one, two) = (add("192.0.2.1"), add("2001:db8::2"));
    let flush = Some(FifoCommand::Flush);
    let text = b"+192.0.2.1+2001:db8::2-192.0.2.1/\n/+192.0.2.1\n//";
    let (first, last) = (one.clone(), two.clone());
    let expected = [one, two, None, flush.clone(), first.clone(), flush];
    assert_eq!(read(&[text]), expected);
    let text = b"+192.0.2.1-192.0.2.1+2001:db8::2";
    assert_eq!(read(&[text]), [first, remove("192.0.2.1"), last]);
}

/// If its parts were parsed as commands, they would add an address and flush
/// the list.
#[test]
fn a_prefix_is_refused_whole() {
    for prefix in ["+192.0.2.0/24", "+192.0.2.0/", "/24", "+2001:db8::/64"] {
        assert_eq!(read(&[prefix.as_bytes()]), [None], "{prefix}");
    }
}

#[test]
fn portions_do_not_matter() {
    let long = [b'x'; LONGEST + 1];
    let text = [
        b"+192.0.2.1\n-::1 junk\0/\n".as_slice(),
        &long,
        b"\n+192.0.2.2",
    ]
    .concat();
    let whole = read(&[&text]);
    let flush = Some(FifoCommand::Flush);
    let expected = [add("192.0.2.1"), None, flush, None, add("192.0.2.2")];
    assert_eq!(whole, expected);
    for size in 1..text.len() {
        let chunks: Vec<&[u8]> = text.chunks(size).collect();
        assert_eq!(read(&chunks), whole, "portions of {size}");
    }
}

#[test]
fn what_is_too_long_is_one_error_and_the_next_line_counts() {
    let longest = [b" ".repeat(LONGEST - 10), b"+192.0.2.1".to_vec()].concat();
    assert_eq!(read(&[&longest[10..]]), [add("192.0.2.1")]);
    let blanks = [b"+192.0.2.1".to_vec(), b" ".repeat(LONGEST - 10)].concat();
    assert_eq!(read(&[&blanks]), [add("192.0.2.1")]);
    assert_eq!(read(&[&blanks, b" \n+192.0.2.2"]), [None, add("192.0.2.2")]);
    // Neither its first bytes nor its last bytes are parsed as a command.
    let text = [b"192.0.2.1 ".repeat(1000), b"\n+192.0.2.2\n".to_vec()].concat();
    assert_eq!(read(&[&text]), [None, add("192.0.2.2")]);
}

#[test]
fn a_complaint_shows_what_was_written_and_what_to_write() {
    assert_eq!(
        complaint(b"+mx\xff\n"),
        r"`+mx\xff` is not a command; write +ADDRESS, +ADDRESS SECONDS, -ADDRESS or /"
    );
    assert_eq!(
        complaint(b"+192.0.2.1 10m\n"),
        "`+192.0.2.1 10m` is not a command; only a number of seconds may follow the address, \
         from 1 to 315360000"
    );
    assert_eq!(
        complaint(b"+192.0.2.1 36"),
        "`+192.0.2.1 36` may be cut; a newline must follow the number of seconds or the owner"
    );
    let long = complaint(&[b'a'; 1000]);
    assert!(
        long.starts_with(&format!("`{}…` is no", "a".repeat(LONGEST))),
        "{long}"
    );
}
