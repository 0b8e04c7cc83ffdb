#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn pattern(expression: &str) -> Result<Pattern, String> {
    Pattern::try_from(PatternSource {
        name: "x".into(),
        program: None,
        r#match: expression.into(),
    })
}

fn refused(expression: &str) -> String {
    pattern(expression).unwrap_err()
}

/// The address and the text after it, if the expression matches.
fn found(expression: &str, message: &str) -> Option<(String, String)> {
    let found = pattern(expression)
        .unwrap()
        .find(message.as_bytes())?
        .unwrap();
    let EventKind::Rejected { text } = found.kind else {
        panic!("{found:?}");
    };
    Some((
        found.addr.to_string(),
        String::from_utf8_lossy(&text).into(),
    ))
}

#[test]
fn patterns_are_equal_if_they_are_written_alike() {
    let one = pattern("^refused <HOST>$").unwrap();
    assert_eq!(one, pattern("^refused <HOST>$").unwrap());
    assert_ne!(one, pattern("^denied <HOST>$").unwrap());
}

/// Tests the pattern in the sample configuration.
#[test]
fn sample_takes_no_recipient_for_a_listing() {
    let sample = include_str!("../../../../spamdrop.toml")
        .lines()
        .find_map(|line| line.strip_prefix("#     match = '")?.strip_suffix('\''))
        .unwrap();
    let sample = |reply: &str| found(sample, &format!("reject from x[192.0.2.1]: {reply}"));
    assert!(sample("550 5.7.1 Listed at zen.example").is_some());
    assert_eq!(
        sample("550 5.1.1 <blocklist@example.com>: User unknown"),
        None
    );
    assert_eq!(
        sample("550 5.1.1 <\"Listed at \"@example.com>: User unknown"),
        None
    );
}

#[test]
fn takes_the_address_in_its_usual_forms() {
    let took = |host: &str| Some((host.to_owned(), "] x".to_owned()));
    for (host, addr) in [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("IPv6:::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::66", "2001:db8::66"),
        ("IPv6:2001:DB8:0:0:0:0:0:66", "2001:db8::66"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("::1", "::1"),
        ("1::", "1::"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
        ("64:ff9b:1::192.0.2.1", "64:ff9b:1::c000:201"),
    ] {
        let message = format!("reject from mx [{host}] x");
        assert_eq!(
            found(r"^reject from [^ \[]* \[<HOST>\]", &message),
            took(addr),
            "{host}"
        );
        assert_eq!(
            found(r"^reject from [^ \[]* \[<ADDR>\]", &message),
            took(addr),
            "{host}"
        );
    }
}

#[test]
fn a_name_is_no_address_and_a_number_too_large_a_near_miss() {
    let pattern = pattern(r"^from \[<HOST>\]").unwrap();
    assert!(pattern.find(b"from [localhost]").is_none());
    assert!(pattern.find(b"from [dead.beef]").is_none());
    for host in ["1.2.3.999", "1:2:3:4", "1:::2", "01.2.3.4"] {
        let message = format!("from [{host}]");
        let error = pattern.find(message.as_bytes()).unwrap().unwrap_err();
        assert_eq!(
            error, "the text in place of <HOST> is not an address",
            "{host}"
        );
    }
}

#[test]
fn patterns_with_one_place_are_accepted() {
    for expression in [
        r"^reject from [^ \[]*\[<HOST>\]: 5\d\d .*blocklist",
        r"^DNSBL rank \d+ for \[<HOST>\]:\d+$",
        r"^<HOST> ",
        r"^<HOST>$",
        r"^from <HOST>: 5\d\d ",
        r"^from <HOST>:\d+ ",
        r"^from <HOST>\.\d+ ",
        r"^(?:NOQUEUE|[0-9A-F]+): \S+ \S+ from <HOST>,",
        r"^(?i)client=\S+ (?:a|bc)* <HOST>(?:$| )",
        r"^[^<]*<[^>]*> <HOST>\s",
        r"^(?:a|b)<HOST>;",
        r"^\S+ \S+ ip=<HOST>(?:, .*)?$",
        r"^\{[^}]{0,40}\} <HOST> ",
        r"^(?:from \S+ )?(?:by \S+ )*<HOST> ",
    ] {
        assert!(
            pattern(expression).is_ok(),
            "{expression}: {:?}",
            pattern(expression)
        );
    }
}

#[test]
fn patterns_with_two_places_are_refused() {
    for expression in [
        r"^.*\[<HOST>\]",
        r"^reject .* from \[<HOST>\]: 5\d\d",
        // Unambiguous by its end, but a text before could still pass for the
        // address.
        r"^.*relay=\S+ \[<HOST>\]$",
        r"^from \S*\[<HOST>\]",
        r"^from [^ ]*\[?<HOST>\]",
        r"^from [^x]*<HOST> ",
        r"^(?:\S+ )?<HOST> ",
        r"^(?:from |from \[1\.1\.1\.1\] )\[?<HOST>\]? ",
        r"^a+.?<HOST> ",
        r"^[0-9]*<HOST> ",
        r"^(?:[^ ]|\[[^\]]*\] )* \[<HOST>\]",
    ] {
        let error = refused(expression);
        assert!(
            error.starts_with("pattern \"x\": the place of <HOST> is not certain: in the line \""),
            "{expression}: {error}"
        );
    }
}

#[test]
fn patterns_whose_host_may_end_in_two_places_are_refused() {
    for expression in [
        r"^from <HOST>",
        r"^from <HOST>.*",
        r"^from <HOST>\d",
        r"^from <HOST>[^ ]* ",
        r"^from <HOST>:\d+",
        r"^from <HOST>:?",
        r"^from <HOST>(?:$|.)",
    ] {
        let error = refused(expression);
        assert!(
            error.starts_with("pattern \"x\": the end of <HOST> is not certain: in the line \""),
            "{expression}: {error}"
        );
    }
}

#[test]
fn an_error_shows_a_line_and_what_to_write() {
    assert_eq!(
        refused(r"^from .*\[<HOST>\]: "),
        "pattern \"x\": the place of <HOST> is not certain: in the line \"from [1.1.1.1[9.9.9.9\" \
         both 1.1.1.1 and 9.9.9.9 could be <HOST>. A repetition before <HOST> must not match the \
         text that starts <HOST>: write `[^\\[]*\\[<HOST>\\]`, not `.*\\[<HOST>\\]`"
    );
}

#[test]
fn other_mistakes_are_named() {
    for (expression, named) in [
        (r"from \[<HOST>\]", "must start with `^`"),
        (r"^from \[<HOST>\]|to \[", "must start with `^`"),
        (r"(?m)^from \[<HOST>\]", "must start with `^`"),
        (r"(?:^from )?\[<HOST>\]", "must start with `^`"),
        (r"^from \[1\]", "must have one <HOST>"),
        (r"^from \[<HOST>\] \[<ADDR>\]", "must have one <HOST>"),
        (
            r"^from (?:\[<HOST>\])?",
            "in every line that matches, and once",
        ),
        (
            r"^from (?:\[<HOST>\])+$",
            "in every line that matches, and once",
        ),
        (
            r"^from (?:\[<HOST>\]|x)",
            "in every line that matches, and once",
        ),
        (r"^from [<HOST>]", "must"),
        (r"^from \b<HOST> ", "no `\\b`"),
        (r"^from (<HOST> ", "no regular expression"),
        (r"^from \w{1000}{1000}<HOST> ", "too large"),
        (
            r"^[a-z]{0,200}[a-z]{0,200}[a-z]{0,200} <HOST> ",
            "too large to be checked",
        ),
    ] {
        let error = refused(expression);
        assert!(error.contains(named), "{expression}: {error}");
    }
}

#[test]
fn names_are_short_words() {
    for name in ["", "a b", "a\x1b[31m", &"a".repeat(65), "ä"] {
        let source = PatternSource {
            name: name.into(),
            program: None,
            r#match: "^<HOST> ".into(),
        };
        assert!(
            Pattern::try_from(source).unwrap_err().contains("`name`"),
            "{name}"
        );
    }
}

const BEFORE: &[&str] = &[
    "from ",
    "ip=",
    r"\[",
    " ",
    "x*",
    r"\S+ ",
    r"\S*",
    r"[^ \[]*",
    r"[^\[]*\[",
    ".*",
    ".?",
    "(?:a|b )?",
    "(?:a |ip=)*",
    r"\d+ ",
    "[0-9a-f:.]* ",
    r"[^\[]{0,2}",
    r"(?:\[[^\]]*\] )*",
    "(?:1|::)?",
];
const AFTER: &[&str] = &[
    r"\]",
    " ",
    ":",
    ": ",
    "$",
    ".*",
    r"\d*",
    r":\d+ ",
    r"\.\d+(?: |$)",
    "a",
    "(?: b)?$",
    r"\]?",
    "(?: |$)",
    "(?:::|,)",
];
const LINE: &[&str] = &[
    "from ",
    "ip=",
    "[",
    "]",
    "1.1.1.1",
    "9.9.9.9",
    "2001:db8::1",
    "::1",
    " ",
    ": ",
    ":",
    ".",
    "a",
    "b ",
    "x",
    "12 ",
    "5",
];

/// An expression with `<HOST>` between two parts.
fn parts() -> impl Strategy<Value = (String, String)> {
    let some = |pieces, most| vec(select(pieces), 0..=most).prop_map(|pieces| pieces.concat());
    (some(BEFORE, 3), some(AFTER, 2))
}

/// A line that may contain several addresses.
fn any_line() -> impl Strategy<Value = String> {
    let tail = vec(select(LINE), 0..6).prop_map(|pieces| pieces.concat());
    let pair = (
        vec(select(LINE), 0..4),
        select(&["[1.1.1.1] ", "1.1.1.1 ", "ip=::1: ", "[::1]:25 "][..]),
    );
    let heads = vec(pair, 1..3).prop_map(|pairs| {
        let heads = pairs
            .into_iter()
            .map(|(pieces, host)| pieces.concat() + host);
        heads.collect::<String>()
    });
    (heads, tail).prop_map(|(heads, tail)| heads + &tail)
}

fn whole(expression: &str) -> Regex {
    RegexBuilder::new(expression)
        .unicode(false)
        .build()
        .unwrap()
}

/// Every place of an address after a text that `before` matches and, if given,
/// before a text that `after` matches.
fn places(before: &str, after: Option<&str>, line: &[u8]) -> Vec<(usize, usize)> {
    let before = whole(&format!("^(?:{before})$"));
    let host = whole(&format!("^(?:{ADDRESS})$"));
    let after = whole(&format!("^(?:{})", after.unwrap_or("")));
    let cuts = 0..=line.len();
    let starts = cuts.clone().filter(|at| before.is_match(&line[..*at]));
    let ends: Vec<usize> = cuts.filter(|at| after.is_match(&line[*at..])).collect();
    let pairs = starts.flat_map(|start| ends.iter().map(move |end| (start, *end)));
    pairs
        .filter(|(start, end)| start < end && host.is_match(&line[*start..*end]))
        .collect()
}

fn judge(expression: &str) -> Result<(), Ambiguous> {
    place::certain(
        &automaton(&expression.replace("<HOST>", ADDRESS)).unwrap(),
        GROUP,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The place that an accepted pattern finds is the only one.
    #[test]
    fn no_line_has_two_places((before, after) in parts(), lines in vec(any_line(), 30)) {
        let Ok(pattern) = pattern(&format!("^{before}<HOST>{after}")) else {
            return Ok(());
        };
        for line in lines {
            let line = line.as_bytes();
            let all = places(&before, Some(&after), line);
            let found = pattern.regex.captures(line).and_then(|found| found.name(GROUP));
            let found: Vec<_> = found.map(|host| (host.start(), host.end())).into_iter().collect();
            prop_assert_eq!(&all, &found, "^{}<HOST>{} in {}", before, after, line.escape_ascii());
            let mut starts: Vec<_> = places(&before, None, line).into_iter().map(|(start, _)| start).collect();
            starts.dedup();
            prop_assert!(starts.len() < 2, "^{}<HOST> in {}", before, line.escape_ascii());
        }
    }

    /// For a refused pattern, the example line has two places.
    #[test]
    fn a_refusal_shows_two_places((before, after) in parts()) {
        match judge(&format!("^{before}<HOST>{after}")) {
            // A line that shows a byte as an escape cannot be parsed again.
            Err(Ambiguous::Start { line, .. } | Ambiguous::End { line, .. }) if line.contains('\\') => {}
            Err(Ambiguous::Start { line, .. }) => {
                let mut starts: Vec<_> =
                    places(&before, None, line.as_bytes()).into_iter().map(|(start, _)| start).collect();
                starts.dedup();
                prop_assert!(starts.len() >= 2, "^{}<HOST> in {}", before, line);
            }
            Err(Ambiguous::End { line, hosts }) => {
                let all = places(&before, Some(&after), line.as_bytes());
                prop_assert!(all.len() >= 2, "^{}<HOST>{} in {}", before, after, line);
                for host in hosts {
                    prop_assert!(all.iter().any(|(start, end)| line[*start..*end] == host), "{} in {}", host, line);
                }
            }
            other => prop_assert!(other.is_ok(), "{:?}", other),
        }
    }
}
