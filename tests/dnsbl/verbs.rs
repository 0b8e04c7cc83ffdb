//! The output of `lookup` and `config check` on zones.

use super::*;

const ESMTPD: &str = "TARPIT=0\nBLACKLISTS='-allow=w.example -block=b.example,BLOCK,*'\n";

#[test]
fn lookup_shows_what_the_zones_of_courier_say() {
    let lab = Lab::new(listed());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("esmtpd"), ESMTPD).unwrap();
    fs::write(dir.path().join("smtpaccess"), "192.0.3\tallow,BLOCK\n").unwrap();
    let output = lab.spamdrop(dir.path(), &["lookup", ADDR, "192.0.3.1"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "192.0.2.9: listed by b.example: Listed, see b.example (for 300 s)
  w.example (lets in): no
  b.example: yes 127.0.0.4, Listed, see b.example
192.0.3.1: unlisted, without a server's name (for 600 s)
  name: none
"
    );
    assert_eq!(output.status.code(), Some(0));
    // A source that Courier's `smtpaccess` allows is not looked up in the
    // zones.
    assert_eq!(lab.stub.asked("1.3.0.192.b.example", Rtype::A), 0);
    let output = lab.spamdrop(dir.path(), &["lookup", "--json", ADDR]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json[0]["standing"], "listed");
    assert_eq!(json[0]["zones"][0]["effect"], "allow");
}

#[test]
fn lookup_fails_where_there_is_no_verdict() {
    let lab = Lab::new(vec![(QUESTION, Rtype::A, Reply::Code(Rcode::REFUSED))]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("esmtpd"), ESMTPD).unwrap();
    let output = lab.spamdrop(dir.path(), &["lookup", ADDR]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no verdict (for 15 s)"), "{text}");
    assert!(
        text.contains("b.example: no answer, the name server answered REFUSED"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(1));
    let output = lab.spamdrop(dir.path(), &["lookup", "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn config_check_asks_the_zones_for_their_test_entries() {
    let lab = Lab::new(vec![
        ("2.0.0.127.good.example", Rtype::A, Reply::a([127, 0, 0, 2])),
        ("2.0.0.127.code.example", Rtype::A, Reply::a([127, 0, 0, 2])),
        ("2.0.0.127.code.example", Rtype::TXT, Reply::txt("550 No")),
        ("2.0.0.127.good.example", Rtype::TXT, Reply::txt("511 No")),
        ("2.0.0.127.all.example", Rtype::A, Reply::a([127, 0, 0, 2])),
        ("1.0.0.127.all.example", Rtype::A, Reply::a([127, 0, 0, 2])),
        (
            "2.0.0.127.shut.example",
            Rtype::A,
            Reply::a([127, 255, 255, 254]),
        ),
        (
            "2.0.0.127.sold.example",
            Rtype::A,
            Reply::a([192, 0, 2, 80]),
        ),
        ("2.0.0.127.down.example", Rtype::A, Reply::Silence),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let zones = ["good", "code", "all", "shut", "sold", "down", "none"];
    let options = zones.map(|zone| format!("-block={zone}.example,BLOCK,*"));
    let esmtpd = format!(
        "TARPIT=0\nBLACKLISTS='{} -allow=w.example'\n",
        options.join(" ")
    );
    fs::write(dir.path().join("esmtpd"), esmtpd).unwrap();
    let began = Instant::now();
    let output = lab.spamdrop(dir.path(), &["config", "check"]);
    assert!(began.elapsed() < Duration::from_secs(4));
    let text = String::from_utf8(output.stdout).unwrap();
    let warned: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("warning: zones: "))
        .collect();
    assert_eq!(
        warned,
        [
            "code.example begins its text with 550, so Courier's rejections by it carry no 511 and block nobody; write a text without a code for it in BLACKLISTS, in place of *",
            "all.example lists 127.0.0.1, so it lists every address; remove it",
            "shut.example answered 127.255.255.254: it does not serve public name servers; query it through a resolver of your own, or with a key from the blocklist",
            "sold.example answered 192.0.2.80, which is not a listing; is it still a blocklist?",
            "down.example could not be queried: timed out",
            "none.example does not list 127.0.0.2, as every blocklist does; is its name right?",
        ]
    );
    let asked = lab.stub.questions();
    let output = lab.spamdrop(dir.path(), &["config", "check", "--offline"]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("zones"));
    assert_eq!(lab.stub.questions(), asked);
}
