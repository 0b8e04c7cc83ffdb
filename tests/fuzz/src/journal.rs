//! An entry of the journal: the header of its line is made of the entry's own fields.
//! Fields that the entry's writer chooses cannot imitate another header.

use serde_json::Value;
use spamdrop::tail::{JournalEntry, MAX_LINE};

/// Takes the bytes as journalctl's output.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let Some(entry) = JournalEntry::parse(data) else {
        return;
    };
    let Ok(line) = entry.line else {
        return;
    };
    assert!(line.len() <= MAX_LINE && !line.contains(&b'\n'));
    // Fields that are not needed may be anything.
    let Ok(json) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let [stamp, host, tag] = [(); 3].map(|()| words.next().expect("a header"));
    assert!(stamp.ends_with(b"+00:00"));
    let word = |name: &str| json[name].as_str().filter(|text| is_word(text));
    assert_eq!(
        host,
        word("_HOSTNAME")
            .filter(|host| host.len() <= 64)
            .unwrap_or("-")
            .as_bytes()
    );
    let identifier = word("SYSLOG_IDENTIFIER").expect("an identifier");
    assert!(!identifier.contains([':', '[', ']']));
    let rest = tag
        .strip_prefix(identifier.as_bytes())
        .expect("the identifier");
    let is_digit = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let pid = word("_PID").filter(is_digit);
    let expected = pid.map_or_else(|| ":".to_owned(), |pid| format!("[{pid}]:"));
    assert_eq!(rest, expected.as_bytes());
    let message = words.next().expect("a message");
    if let Some(text) = json["MESSAGE"].as_str() {
        assert_eq!(message, text.replace('\n', " ").as_bytes());
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
