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
