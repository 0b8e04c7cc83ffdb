//! The output of `lookup` and `config check` on zones.

use spamdrop::server_settings;
use spamdrop_core::postfix;
use spamdrop_core::server_settings::Contents;

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
fn lookup_of_several_asks_at_once_and_names_each_failure() {
    let silent = |name| (name, Rtype::A, Reply::Silence);
    let lab = Lab::new(vec![
        silent("1.2.0.192.b.example"),
        silent("2.2.0.192.b.example"),
        silent("3.2.0.192.b.example"),
        silent("4.2.0.192.b.example"),
        silent("5.2.0.192.b.example"),
    ]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("esmtpd"), ESMTPD).unwrap();
    let began = Instant::now();
    let addrs = [
        "192.0.2.1",
        "192.0.2.2",
        "198.51.100.7",
        "192.0.2.3",
        "192.0.2.4",
        "192.0.2.5",
    ];
    let output = lab.spamdrop(dir.path(), &[&["lookup"][..], &addrs].concat());
    // One after the other, these look-ups would take 3 s each.
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "spamdrop: there is no verdict on 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5\n"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let shown: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| Some(line.split_once(": ")?.0))
        .collect();
    assert_eq!(shown, addrs);
}

const POSTSCREEN: &str = "\
mynetworks = 192.0.3.0/24
postscreen_dnsbl_action = enforce
postscreen_dnsbl_threshold = 3
postscreen_dnsbl_sites = b.example=127.0.0.[2..4]*2 b.example=127.0.0.4 c.example*9 b.example=127.0.0.5*-9
smtpd_client_restrictions = reject_rbl_client d.example
";

#[test]
fn lookup_adds_up_the_weights_of_postscreen() {
    let lab = Lab::new(vec![(QUESTION, Rtype::A, Reply::a([127, 0, 0, 4]))]);
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    fs::create_dir(&run_dir).unwrap();
    let texts = postfix::PostfixTexts {
        services: "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n",
        parameters: POSTSCREEN,
    };
    let settings = postfix::read(texts, &|_| Contents::Absent);
    server_settings::write(&run_dir, &server_settings::file_of(vec![settings])).unwrap();
    let more = format!("servers = [\"postfix\"]\nrun_dir = {run_dir:?}\n");
    let output = lab.spamdrop_with(dir.path(), &more, &["lookup", ADDR, "192.0.3.1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "192.0.2.9: listed by b.example: Blacklisted by b.example (for 120 s)
  b.example (weighs 2): yes 127.0.0.4, Blacklisted by b.example
  b.example (weighs 1): yes 127.0.0.4, Blacklisted by b.example
  c.example (weighs 9): no
  b.example (weighs -9): no 127.0.0.4
  d.example: no
192.0.3.1: unlisted, without a server's name (for 120 s)
  b.example (weighs 2): not asked, the server exempts the address
  b.example (weighs 1): not asked, the server exempts the address
  c.example (weighs 9): not asked, the server exempts the address
  b.example (weighs -9): not asked, the server exempts the address
  d.example: no
  name: none
"
    );
    // The three rules for b.example need two questions: one for the two positive weights,
    // and one for the negative weight, which makes b.example an allow-list.
    assert_eq!(lab.stub.asked(QUESTION, Rtype::A), 2);
    assert_eq!(lab.stub.asked("1.3.0.192.b.example", Rtype::A), 0);
    assert_eq!(lab.stub.asked("1.3.0.192.d.example", Rtype::A), 1);
}
