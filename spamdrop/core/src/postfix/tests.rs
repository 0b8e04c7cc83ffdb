#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::collections::HashMap;
use std::net::IpAddr;

use super::*;
use crate::dnsbl::rule::{Effect, RejectionText, Rule};
use crate::server_settings::{AuthSetting, Contents, ServerSettings, SlotSetting};
use crate::zones::{Queried, Zones};

/// The output of `postconf -Mf` for Debian's master.cf (3.7 and 3.10), shortened.
const DEBIAN: &str = "\
smtp       inet  n       -       y       -       -       smtpd
pickup     unix  n       -       y       60      1       pickup
cleanup    unix  n       -       y       -       0       cleanup
relay      unix  -       -       y       -       -       smtp
    -o syslog_name=postfix/$service_name
maildrop   unix  -       n       n       -       -       pipe flags=DRXhu
    user=vmail argv=/usr/bin/maildrop -d ${recipient}
";

/// Debian's main.cf for `Internet Site`.
const DEBIAN_MAIN: &str = "\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
compatibility_level = 3.6
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
";

const POSTSCREEN: &str = "\
smtp      inet  n       -       y       -       1       postscreen
smtpd     pass  -       -       y       -       -       smtpd
dnsblog   unix  -       -       y       -       0       dnsblog
submission inet n       -       y       -       -       smtpd
    -o smtpd_sasl_auth_enable=yes
";

fn with_files(services: &str, parameters: &str, files: &[(&str, &str)]) -> ServerSettings {
    let files: HashMap<&str, &str> = files.iter().copied().collect();
    let texts = PostfixTexts {
        services,
        parameters,
    };
    read(texts, &|path| match files.get(path) {
        Some(text) => Contents::Text((*text).into()),
        None => Contents::Absent,
    })
}

fn without_files(services: &str, parameters: &str) -> ServerSettings {
    with_files(services, parameters, &[])
}

/// The settings of smtpd with these client restrictions.
fn client(restrictions: &str) -> ServerSettings {
    without_files(
        DEBIAN,
        &format!("{DEBIAN_MAIN}smtpd_client_restrictions = {restrictions}\n"),
    )
}

fn known(count: u32, setting: &str) -> SlotSetting {
    SlotSetting::Known {
        count,
        setting: setting.into(),
    }
}

/// The zones with their lists, effects and filters.
fn rules(settings: &ServerSettings) -> Vec<String> {
    let show = |rule: &Rule| {
        let effect = match &rule.effect {
            Effect::Weigh { weight, threshold } => format!("{weight}/{threshold}"),
            effect => effect.name().to_owned(),
        };
        let only = rule.only.as_ref().map(|only| format!("={only}"));
        format!(
            "{} {}{} {effect}",
            rule.list,
            rule.zone,
            only.unwrap_or_default()
        )
    };
    settings.rules.iter().map(show).collect()
}

fn notes(settings: &ServerSettings) -> Vec<String> {
    let notes = settings.notes.iter();
    notes
        .map(|note| format!("{}: {}", note.setting, note.text))
        .collect()
}

fn queried(settings: &ServerSettings, addr: &str) -> Queried {
    let addr: IpAddr = addr.parse().unwrap();
    Zones::with_tables(settings.rules.clone(), settings.tables.clone()).queried(addr)
}

#[test]
fn debians_default_has_100_slots_no_zones_and_no_auth() {
    let settings = without_files(DEBIAN, DEBIAN_MAIN);
    assert_eq!(
        settings.slots,
        known(100, "default_process_limit in main.cf")
    );
    assert_eq!(settings.auth, AuthSetting::Absent);
    assert_eq!((rules(&settings), notes(&settings)), (vec![], vec![]));
    // The table also applies to zones that spamdrop's own configuration names.
    let sources: Vec<&str> = settings
        .tables
        .iter()
        .map(|it| it.source.as_str())
        .collect();
    assert_eq!(sources, ["mynetworks"]);
}

#[test]
fn slots_are_those_of_the_service_on_port_25() {
    let smtpd = |name: &str, limit: &str| {
        let line = format!("{name} inet n - y - {limit} smtpd\n");
        without_files(&line, "default_process_limit = 50\n").slots
    };
    let maxproc = "maxproc of smtpd in master.cf";
    for name in [
        "smtp",
        "25",
        "192.0.2.1:25",
        "[2001:db8::1]:smtp",
        "mx.example:smtp",
    ] {
        assert_eq!(smtpd(name, "20"), known(20, maxproc), "{name}");
    }
    assert_eq!(
        smtpd("smtp", "-"),
        known(50, "default_process_limit in main.cf")
    );
    for (name, limit, expected) in [
        (
            "smtp",
            "0",
            "maxproc of smtpd in master.cf is 0, which is no limit",
        ),
        (
            "smtp",
            "all",
            "maxproc of smtpd in master.cf is \"all\", which is no number",
        ),
        (
            "submission",
            "-",
            "no service in master.cf listens on port 25",
        ),
        (
            "127.0.0.1:25",
            "-",
            "no service in master.cf listens on port 25",
        ),
        (
            "[::1]:smtp",
            "-",
            "no service in master.cf listens on port 25",
        ),
    ] {
        assert_eq!(smtpd(name, limit), SlotSetting::Unknown(expected.into()));
    }
    let two = "192.0.2.1:smtp inet n - y - 5 smtpd\n192.0.2.2:25 inet n - y - 5 smtpd\n";
    let several = "several services in master.cf listen on port 25";
    assert_eq!(
        without_files(two, "").slots,
        SlotSetting::Unknown(several.into())
    );
    let other = without_files("smtp inet n n n - - spawn user=x\n", "");
    let spawn = "spawn listens on port 25, and is neither smtpd nor postscreen";
    assert_eq!(other.slots, SlotSetting::Unknown(spawn.into()));
}

#[test]
fn slots_of_postscreen_follow_names() {
    let slots = |main: &str| without_files(POSTSCREEN, main).slots;
    let setting = "postscreen_pre_queue_limit in main.cf";
    assert_eq!(slots(""), known(100, setting));
    assert_eq!(slots("default_process_limit = 30\n"), known(30, setting));
    assert_eq!(slots("postscreen_pre_queue_limit = 7\n"), known(7, setting));
    assert_eq!(
        slots("x=8\npostscreen_pre_queue_limit = ${x}\n"),
        known(8, setting)
    );
    for (value, count) in [
        ("${x?9}", 9),
        ("${x:9}", 8),
        ("$(x)", 8),
        ("${y:6}", 6),
        ("${y?6}7", 7),
    ] {
        let main = format!(
            "x=8\npostscreen_pre_queue_limit = {}\n",
            value.replace("${x:9}", "${x:9}8")
        );
        assert_eq!(slots(&main), known(count, setting), "{value}");
    }
    let loops = slots("a = $b\nb = $a\npostscreen_pre_queue_limit = $a\n");
    assert!(matches!(loops, SlotSetting::Unknown(_)), "{loops:?}");
    let compared = slots("postscreen_pre_queue_limit = ${{$x} == {1} ? {2} : {3}}\n");
    let SlotSetting::Unknown(why) = compared else {
        panic!("{compared:?}")
    };
    assert!(why.ends_with("is not understood"), "{why}");
}

#[test]
fn zones_keep_their_order_lists_and_filters() {
    let main = "\
mynetworks = 127.0.0.0/8, 192.0.2.0/24
smtpd_client_restrictions =
    permit_mynetworks,
# a comment between
    permit_dnswl_client list.dnswl.org=127.0.[0..255].[1..3],
    reject_rbl_client zen.spamhaus.org=127.0.0.[2..11]
      reject_rbl_client  bl.example.
smtpd_recipient_restrictions = reject_unauth_destination, reject_rbl_client b.example
";
    let settings = without_files(DEBIAN, main);
    assert_eq!(
        rules(&settings),
        [
            "0 list.dnswl.org=127.0.[0..255].[1..3] allow",
            "0 zen.spamhaus.org=127.0.0.[2..11] reject",
            "0 bl.example reject",
            "4 b.example reject",
        ]
    );
    assert_eq!(
        settings.rules[1].effect,
        Effect::Reject(RejectionText::Plain)
    );
    assert_eq!(notes(&settings), Vec::<String>::new());
    let member = queried(&settings, "192.0.2.9");
    assert_eq!(member, Queried::Zones(vec![true, true, true, false]));
    let stranger = queried(&settings, "198.51.100.1");
    assert_eq!(stranger, Queried::Zones(vec![false; 4]));
}

#[test]
fn what_does_not_reject_is_no_rejection() {
    let rules_of = |restrictions: &str| rules(&client(restrictions));
    assert!(rules_of("warn_if_reject reject_rbl_client b.example").is_empty());
    assert!(rules_of("permit, reject_rbl_client b.example").is_empty());
    assert!(rules_of("reject_rhsbl_sender b.example, reject_rbl_client").is_empty());
    assert_eq!(
        rules_of("warn_if_reject reject_unknown_client_hostname, reject_rbl_client b.example"),
        ["0 b.example reject"]
    );
    assert_eq!(
        rules_of("defer_if_reject, reject_rbl_client b.example"),
        ["0 b.example defer"]
    );
}

#[test]
fn reply_codes_can_make_rejections_temporary() {
    let rules_of = |more: &str| {
        let main = format!("smtpd_client_restrictions = reject_rbl_client b.example\n{more}\n");
        let settings = without_files(DEBIAN, &main);
        (rules(&settings).concat(), notes(&settings).concat())
    };
    let (rule, note) = rules_of("maps_rbl_reject_code = 450");
    assert_eq!(rule, "0 b.example defer");
    assert!(
        note.starts_with("maps_rbl_reject_code: is 450, so"),
        "{note}"
    );
    let (rule, note) = rules_of("soft_bounce = yes");
    assert_eq!(rule, "0 b.example defer");
    assert!(note.starts_with("soft_bounce: is yes"), "{note}");
    assert_eq!(
        rules_of("maps_rbl_reject_code = 521").0,
        "0 b.example reject"
    );
    assert_eq!(
        rules_of("default_rbl_reply = 450 later").0,
        "0 b.example unsure"
    );
    assert_eq!(
        rules_of("rbl_reply_maps = hash:/nowhere").0,
        "0 b.example unsure"
    );
    assert_eq!(
        rules_of("maps_rbl_reject_code = $x").0,
        "0 b.example unsure"
    );
}

#[test]
fn only_a_reply_map_of_keys_and_values_tells_its_replies() {
    let main = "smtpd_client_restrictions = reject_rbl_client b.example\nrbl_reply_maps = ";
    for (map, text, expected) in [
        ("hash:/replies", "b.example $rbl_code gone", "reject"),
        ("texthash:/replies", "b.example 550 5.7.1 gone", "reject"),
        ("lmdb:/replies", "b.example 450 later", "unsure"),
        // The reply is 450, and a word of the pattern begins with 5.
        ("pcre:/replies", "/^b 5/ 450 later", "unsure"),
        ("regexp:/replies", "/^b 5/ 450 later", "unsure"),
        ("mysql:/replies", "query $rbl_code", "unsure"),
    ] {
        let settings = with_files(DEBIAN, &format!("{main}{map}\n"), &[("/replies", text)]);
        let rule = format!("0 b.example {expected}");
        assert_eq!(rules(&settings), [rule], "{map}");
    }
}

#[test]
fn what_may_accept_before_a_zone_makes_it_uncertain() {
    for (before, named) in [
        (
            "check_client_access hash:/etc/postfix/none",
            "there is no file /etc/postfix/none",
        ),
        (
            "check_client_access ldap:x",
            "tables of the type ldap cannot be read",
        ),
        (
            "check_policy_service { inet:127.0.0.1:10040, timeout=10s }",
            "a policy service",
        ),
        ("check_helo_access static:OK", "exempts some mail"),
        (
            "permit_naked_ip_address",
            "permit_naked_ip_address is not understood",
        ),
        ("greylist", "greylist is not understood"),
        (
            "check_client_access inline:{example.net=OK}",
            "has example.net, which is no address",
        ),
    ] {
        let settings = client(&format!("{before}, reject_rbl_client b.example"));
        assert_eq!(rules(&settings), ["0 b.example unsure"], "{before}");
        let notes = notes(&settings).concat();
        assert!(notes.contains(named), "{before}: {notes}");
        assert!(
            notes.contains("it is uncertain whether the zones"),
            "{notes}"
        );
    }
    for before in [
        "permit_sasl_authenticated",
        "reject_unknown_client_hostname",
        "check_recipient_access inline:{postmaster=OK}",
        "check_helo_access inline:{localhost=REJECT}",
        "check_sender_access inline:{example.net=DUNNO}",
        "reject_unauth_pipelining, sleep 1",
    ] {
        let settings = client(&format!("{before}, reject_rbl_client b.example"));
        assert_eq!(rules(&settings), ["0 b.example reject"], "{before}");
    }
}

#[test]
fn classes_are_what_they_list() {
    let main = "\
smtpd_restriction_classes = Lists
Lists = reject_rbl_client b.example, permit
smtpd_client_restrictions = Lists, reject_rbl_client never.example
smtpd_sender_restrictions = Loop
Loop = Loop
";
    assert_eq!(rules(&without_files(DEBIAN, main)), ["0 b.example reject"]);
    let looping = main.replace("= Lists\n", "= Lists Loop\n");
    let notes = notes(&without_files(DEBIAN, &looping)).concat();
    assert!(notes.contains("Loop: names itself"), "{notes}");
}

#[test]
fn client_tables_exempt_by_address() {
    let cidr = "\
# trusted
192.0.2.7      DUNNO
192.0.2.0/24   OK
198.51.100.0/24 REJECT no thanks
2001:db8::/32  permit
";
    let hash = "203.0.113.5 REJECT\n203.0.113  OK\n2001:db8:9 OK\n";
    let main = "smtpd_client_restrictions = check_client_access cidr:/etc/postfix/clients, \
                check_client_access hash:/etc/postfix/access, reject_rbl_client b.example\n";
    let files = [
        ("/etc/postfix/clients", cidr),
        ("/etc/postfix/access", hash),
    ];
    let settings = with_files(DEBIAN, main, &files);
    assert_eq!(rules(&settings), ["0 b.example reject"]);
    let asked = || Queried::Zones(vec![false]);
    for (addr, expected) in [
        ("192.0.2.1", Queried::Exempt),
        ("192.0.2.7", asked()),
        ("198.51.100.1", Queried::Undecided),
        ("2001:db8::1", Queried::Exempt),
        ("203.0.113.4", Queried::Exempt),
        ("203.0.113.5", Queried::Undecided),
        ("2001:db9::1", asked()),
    ] {
        assert_eq!(queried(&settings, addr), expected, "{addr}");
    }
}

#[test]
fn auth_is_that_of_port_25() {
    let main = "smtpd_sasl_auth_enable = yes\nsmtpd_tls_auth_only = yes\n";
    let offered = AuthSetting::Offered("smtpd_sasl_auth_enable = yes".into());
    assert_eq!(without_files(DEBIAN, main).auth, offered);
    let off = "smtp inet n - y - - smtpd -v\n  -o smtpd_sasl_auth_enable=no\n";
    assert_eq!(without_files(off, main).auth, AuthSetting::Absent);
    let on = "smtp inet n - y - - smtpd -o { smtpd_sasl_auth_enable = yes }\n";
    assert_eq!(without_files(on, "").auth, offered);
    // In `POSTSCREEN`, only the submission service offers AUTH.
    assert_eq!(without_files(POSTSCREEN, "").auth, AuthSetting::Absent);
    assert_eq!(without_files(POSTSCREEN, main).auth, offered);
    let unknown = without_files(DEBIAN, "smtpd_sasl_auth_enable = ${x?{yes}:{no}}\n").auth;
    assert!(matches!(unknown, AuthSetting::Unknown(_)), "{unknown:?}");
}

#[test]
fn overrides_of_the_service_count() {
    let master = "\
smtp inet n - y - - smtpd
  -o smtpd_client_restrictions=$mine,reject_rbl_client=x
  -o { smtpd_sender_restrictions = reject_rbl_client c.example, permit }
";
    let main = "mine = permit_mynetworks\nmynetworks = 192.0.2.1\n\
                smtpd_client_restrictions = reject_rbl_client b.example\n";
    assert_eq!(rules(&without_files(master, main)), ["2 c.example reject"]);
}

#[test]
fn postscreen_adds_up_weights_and_smtpd_follows() {
    let main = "\
postscreen_dnsbl_action = enforce
postscreen_dnsbl_threshold = 3
postscreen_dnsbl_sites = zen.spamhaus.org=127.0.0.[2..11]*3,
  bl.example*2 b.example list.dnswl.org=127.0.[0..255].[1..3]*-4
postscreen_access_list = permit_mynetworks, cidr:/etc/postfix/psc
mynetworks = 127.0.0.0/8
smtpd_client_restrictions = reject_rbl_client later.example
";
    let psc = [(
        "/etc/postfix/psc",
        "192.0.2.0/24 permit\n198.51.100.0/24 reject\n",
    )];
    let settings = with_files(POSTSCREEN, main, &psc);
    assert_eq!(
        rules(&settings),
        [
            "0 zen.spamhaus.org=127.0.0.[2..11] 3/3",
            "0 bl.example 2/3",
            "0 b.example 1/3",
            "0 list.dnswl.org=127.0.[0..255].[1..3] -4/3",
            "1 later.example reject",
        ]
    );
    assert_eq!(notes(&settings), Vec::<String>::new());
    let skips = Queried::Zones(vec![true, true, true, true, false]);
    assert_eq!(queried(&settings, "192.0.2.9"), skips);
    assert_eq!(queried(&settings, "198.51.100.9"), Queried::Undecided);
}

#[test]
fn postscreen_rejects_only_by_enforce_and_drop() {
    let with = |action: &str| {
        let main = format!("postscreen_dnsbl_sites = b.example\n{action}\n");
        let settings = without_files(POSTSCREEN, &main);
        (rules(&settings).concat(), notes(&settings).concat())
    };
    for action in ["", "postscreen_dnsbl_action = ignore"] {
        let (rules, notes) = with(action);
        assert_eq!(rules, "");
        assert!(
            notes.starts_with("postscreen_dnsbl_action: is ignore"),
            "{notes}"
        );
    }
    let (rules, notes) = with("postscreen_dnsbl_action = drop");
    assert_eq!(rules, "0 b.example 1/1");
    assert!(notes.contains("logs no rejection"), "{notes}");
    let (rules, notes) = with("postscreen_dnsbl_action = maybe");
    assert_eq!(rules, "");
    assert!(notes.contains("\"maybe\" is not understood"), "{notes}");
}

#[test]
fn odd_sites_are_named() {
    let main = "postscreen_dnsbl_action=enforce\npostscreen_dnsbl_sites = a.example*x b.example=127.0.0.999 c..example d.example\n";
    let settings = without_files(POSTSCREEN, main);
    // One of the sites that are not understood may be an allow-list.
    assert_eq!(rules(&settings), ["0 d.example unsure"]);
    let notes = notes(&settings).join("\n");
    for named in [
        "a.example*x is not",
        "b.example=127.0.0.999 is not",
        "\"c..example\" is not",
    ] {
        assert!(notes.contains(named), "{notes}");
    }
}

#[test]
fn keys_are_masked_in_notes() {
    let key = "abcdefghijklmnopqrstuvwx12.zen.dq.spamhaus.net";
    let settings = client(&format!(
        "reject_rbl_client {key}=x, reject_rbl_client {key}"
    ));
    assert_eq!(rules(&settings), [format!("0 {key} reject")]);
    let notes = notes(&settings).concat();
    assert!(
        notes.contains("***.zen.dq.spamhaus.net=x is not"),
        "{notes}"
    );
}

#[test]
fn a_note_is_cut() {
    let key = "x".repeat(100_000);
    let settings = client(&format!(
        "check_client_access inline:{{{key}=OK}}, reject_rbl_client b.example"
    ));
    assert_eq!(settings.notes[0].text.len(), 500);
}

#[test]
fn hostile_texts_do_no_harm() {
    let deep = format!("smtpd_client_restrictions = {}\n", "{".repeat(10_000));
    let wide: String = (0..40)
        .map(|n| format!("a{n} = $a{}$a{}\n", n + 1, n + 1))
        .collect();
    let wide = format!("{wide}a40 = xxxxxxxx\nsmtpd_client_restrictions = $a0\n");
    let many = format!(
        "b = {}\na = {}\nsmtpd_client_restrictions = {}\n",
        "$c".repeat(999),
        "$b".repeat(999),
        "$a".repeat(999)
    );
    for main in [
        deep.as_str(),
        wide.as_str(),
        many.as_str(),
        "=\n = x\n$ = $\nsmtpd_client_restrictions = $",
        "\u{0}",
    ] {
        let settings = without_files(DEBIAN, main);
        assert!(rules(&settings).is_empty());
    }
    for master in [
        "smtp inet",
        "smtp inet n - y - - smtpd -o",
        "\t-o x",
        "smtp inet n - y - - smtpd -o {",
    ] {
        let _ = without_files(master, "");
    }
}

#[test]
fn patterns_in_the_access_list_of_postscreen_make_its_zones_uncertain() {
    let files = [
        ("/psc/pcre", "/^192\\.0\\.2\\./ permit\n"),
        ("/psc/if", "if 192.0.2.0/24\n192.0.2.1 permit\nendif\n"),
        ("/psc/not", "!192.0.2.0/24 permit\n"),
        ("/psc/reject", "/^192\\.0\\.2\\./ reject\n"),
    ];
    let rules_of = |map: &str| {
        let main = format!(
            "postscreen_dnsbl_action = enforce\npostscreen_dnsbl_sites = b.example\n\
             postscreen_access_list = {map}\n"
        );
        let settings = with_files(POSTSCREEN, &main, &files);
        (rules(&settings).concat(), notes(&settings).concat())
    };
    for map in [
        "pcre:/psc/pcre",
        "regexp:/psc/pcre",
        "static:permit",
        "cidr:/psc/if",
        "cidr:/psc/not",
    ] {
        let (rules, notes) = rules_of(map);
        assert_eq!(rules, "0 b.example unsure", "{map}");
        assert!(
            notes.contains("it is uncertain whether the zones"),
            "{notes}"
        );
    }
    assert_eq!(rules_of("pcre:/psc/reject").0, "0 b.example 1/1");
}

#[test]
fn warn_if_reject_covers_a_whole_class() {
    let main = "\
smtpd_restriction_classes = Lists Inner
Lists = sleep 1, reject_rbl_client a.example, Inner
Inner = reject_rbl_client b.example, reject
smtpd_client_restrictions = warn_if_reject Lists, reject_rbl_client c.example
";
    assert_eq!(rules(&without_files(DEBIAN, main)), ["0 c.example reject"]);
}

#[test]
fn a_list_of_restrictions_in_a_table_is_not_understood() {
    for (action, expected) in [
        ("reject_unauth_pipelining", Queried::Zones(vec![false])),
        ("reject_unauth_pipelining, permit", Queried::Undecided),
        ("reject_unauth_pipelining,permit", Queried::Undecided),
        ("reject_rbl_client x.example permit", Queried::Undecided),
    ] {
        let main = "smtpd_client_restrictions = check_client_access hash:/access, \
                    reject_rbl_client b.example\n";
        let access = format!("192.0.2.1 {action}\n");
        let settings = with_files(DEBIAN, main, &[("/access", &access)]);
        assert_eq!(queried(&settings, "192.0.2.1"), expected, "{action}");
    }
}

#[test]
fn own_zones_keep_the_exemptions_of_the_server() {
    let own = |restrictions: &str| {
        let main = format!("mynetworks = 192.0.2.0/24\n{restrictions}");
        let settings = without_files(DEBIAN, &main);
        let zones = Zones::with_tables(settings.rules, settings.tables);
        zones.replace_rules(vec![Rule::of_config("own.example").unwrap()])
    };
    for restrictions in [
        "smtpd_client_restrictions = permit_mynetworks, reject_rbl_client a.example\n\
         smtpd_recipient_restrictions = permit_mynetworks, reject_rbl_client b.example\n",
        "smtpd_client_restrictions = permit_mynetworks\n",
    ] {
        let zones = own(restrictions);
        let member = zones.queried("192.0.2.1".parse().unwrap());
        assert_eq!(member, Queried::Exempt, "{restrictions}");
        let other = zones.queried("198.51.100.1".parse().unwrap());
        assert_eq!(other, Queried::Zones(vec![false]), "{restrictions}");
    }
    let half = own("smtpd_client_restrictions = permit_mynetworks\n\
         smtpd_recipient_restrictions = reject_rbl_client b.example\n");
    let member = half.queried("192.0.2.1".parse().unwrap());
    assert_eq!(member, Queried::Zones(vec![false]));
}

/// Postfix looks only at the keys of such a table.
#[test]
fn a_table_in_a_list_of_networks_means_the_same_with_any_value() {
    let main = "mynetworks = !cidr:/not, cidr:/nets\n\
                smtpd_client_restrictions = permit_mynetworks, reject_rbl_client b.example\n";
    let files = [
        ("/not", "192.0.2.7 OK\n"),
        ("/nets", "192.0.2.0/24 REJECT\n"),
    ];
    let settings = with_files(DEBIAN, main, &files);
    assert_eq!(queried(&settings, "192.0.2.1"), Queried::Exempt);
    let other = Queried::Zones(vec![false]);
    assert_eq!(queried(&settings, "192.0.2.7"), other);
}

#[test]
fn notes_quote_no_content_of_files() {
    let files = [("/networks", "192.0.2.1\n# x\n192.0.2.2 secret\n")];
    for (networks, named) in [
        ("/networks", "line 3 of /networks is not a network"),
        (
            "mysql:secret",
            "tables of the type mysql are not understood",
        ),
    ] {
        let main = format!(
            "mynetworks = {networks}\nsmtpd_client_restrictions = permit_mynetworks, reject_rbl_client b.example\n"
        );
        let settings = with_files(DEBIAN, &main, &files);
        assert_eq!(rules(&settings), ["0 b.example unsure"]);
        let notes = notes(&settings).concat();
        assert!(notes.contains(named), "{notes}");
        assert!(!notes.contains("secret"), "{notes}");
    }
}

#[test]
fn notes_name_the_line_of_a_key_that_is_no_address() {
    let text = "# x\n192.0.2.1 OK\n\nsecret.example OK\n";
    for (kind, text) in [
        ("hash", text.to_owned()),
        ("cidr", text.to_owned()),
        ("pcre", "#\n\n\n/secret/ OK\n".to_owned()),
    ] {
        let main = format!(
            "smtpd_client_restrictions = check_client_access {kind}:/access, reject_rbl_client b.example\n"
        );
        let notes = notes(&with_files(DEBIAN, &main, &[("/access", &text)])).concat();
        assert!(notes.contains("has line 4, which is no address"), "{notes}");
        assert!(!notes.contains("secret"), "{notes}");
    }
}
