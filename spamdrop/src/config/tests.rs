#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::time::SystemTime;

use spamdrop_core::log::Parsed;

use super::*;

const EXAMPLE: &str = include_str!("../../spamdrop.toml");

#[test]
fn the_example_shows_every_key_with_its_default() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter(|line| !line.starts_with([' ', '#']) && line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = Config::parse(&uncommented).unwrap();
    assert_eq!(
        config,
        Config {
            interfaces: vec!["eth0".into()],
            ..Config::default()
        }
    );
    for key in keys() {
        assert!(
            uncommented
                .lines()
                .any(|line| line.starts_with(&format!("{key} = "))),
            "{key}"
        );
    }
    assert_eq!(
        Config::parse(EXAMPLE).unwrap(),
        Config {
            interfaces: vec!["eth0".into()],
            ..Config::default()
        }
    );
}

fn refused(text: &str) -> String {
    format!("{:#}", Config::parse(text).unwrap_err())
}

#[test]
fn refuses_what_makes_no_sense_and_names_the_key() {
    for (text, named) in [
        ("ports = []", "`ports`"),
        ("ports = [0]", "`ports`"),
        ("ports = [1, 2, 3, 4, 5, 6, 7, 8, 9]", "`ports`"),
        ("addresses = \"all\"", "`addresses` is \"all\""),
        ("addresses = []", "`addresses`"),
        ("addresses = [\"192.0.2.1/33\"]", "192.0.2.1/33"),
        ("addresses = [\"mx.example\"]", "`addresses`"),
        ("addresses = 25", "a list of addresses"),
        ("nat64 = [\"2001:db8::/64\"]", "`2001:db8::/64` is a /64"),
        ("nat64 = [\"64:ff9b:1::1/96\"]", "write 64:ff9b:1::/96"),
        (
            "nat64 = [\"1::/96\", \"2::/96\", \"3::/96\", \"4::/96\", \"5::/96\"]",
            "at most 4",
        ),
        ("ttl = \"0s\"", "`ttl`"),
        ("ttl = \"1500ms\"", "`ttl`"),
        ("ttl = \"3651d\"", "`ttl`"),
        ("hard_limit = \"1ns\"", "`hard_limit`"),
        ("grace = \"2h\"", "`grace`"),
        ("capacity4 = 262143", "`capacity4`"),
        ("capacity6 = 1", "`capacity6`"),
        ("capacity4 = 33554432", "`capacity4`"),
        ("program = \"\"", "`program`"),
        ("program = []", "`program`"),
        ("program = 25", "a table such as { exim = \"exim-in\" }"),
        ("program = { courier = [\"a\", \"\"] }", "`program`"),
        (
            "program = { exim = \"exim-in\" }",
            "`program` names exim, which is not in `servers`",
        ),
        ("reject_text = \"(\"", "`reject_text`"),
        ("journal_match = [\"PRIORITY=3\"]", "`journal_match`"),
        ("servers = [\"qmail\"]", "rblsmtpd"),
        ("servers = []", "`servers`"),
        ("zones = [\"b.example,BLOCK2\"]", "`zones`"),
        ("zones = [\"-block=b.example\"]", "`zones`"),
        ("[[pattern]]\nname = \"a\"", "match"),
        ("[[pattern]]\nmatch = '^<HOST> '", "name"),
        (
            "[[pattern]]\nname = \"a\"\nprogramme = \"x\"\nmatch = '^<HOST> '",
            "programme",
        ),
        (
            "[[pattern]]\nname = \"a\"\nprogram = \"\"\nmatch = '^<HOST> '",
            "`program`",
        ),
        ("[[pattern]]\nname = \"a\"\nmatch = '.*<HOST> '", "\"a\""),
        (
            "[[pattern]]\nname = \"a\"\nmatch = '^<HOST> '\n[[pattern]]\nname = \"a\"\nmatch = '^x <HOST> '",
            "two patterns",
        ),
        ("release = \"kill\"", "release"),
        ("portz = [25]", "portz"),
    ] {
        assert!(refused(text).contains(named), "{text}: {}", refused(text));
    }
}

#[test]
fn the_responders_lines_are_read_beside_those_of_another_server() {
    let line = b"2026-11-29T08:00:00+00:00 mx courieresmtpd: error,relay=::ffff:198.51.100.1,\
        from=<a@b.example>,to=<c@here.example>: 511 Listed";
    let is_event = |answer: &str| {
        let text = format!("servers = [\"postfix\"]\nadmit = \"on\"\n{answer}");
        let mut parser = Config::parse(&text).unwrap().parser();
        matches!(parser.parse(line, SystemTime::now()), Parsed::Event(_))
    };
    assert!(is_event("answer = \"on\""));
    assert!(!is_event("answer = \"off\""));
}

#[test]
fn the_journal_alone_is_read_unless_logs_are_named_too() {
    let logs = |text: &str| Config::parse(text).unwrap().logs;
    assert_eq!(logs("journal = true"), Vec::<PathBuf>::new());
    assert_eq!(logs("journal = false").len(), 1);
    let both = "journal = true\nlogs = [\"/var/log/mail.log\"]";
    assert_eq!(logs(both), [Path::new("/var/log/mail.log")]);
}

/// Root exists on every system, so each alternative resolves at least one
/// `_UID`.
#[test]
fn the_default_match_believes_root_in_couriers_units() {
    let args = Config::default().journal_args().unwrap();
    let (rejected, accepted) = args.split_at(args.iter().position(|arg| arg == "+").unwrap());
    for (side, unit) in [
        (rejected, "_SYSTEMD_UNIT=courier-mta.service"),
        (accepted, "_SYSTEMD_UNIT=courier.service"),
    ] {
        for wanted in [unit, "_UID=0", "_TRANSPORT=syslog"] {
            assert!(side.iter().any(|arg| arg == wanted), "{side:?}: {wanted}");
        }
    }
    assert!(rejected.iter().any(|arg| arg == "PRIORITY=3"));
}

#[test]
fn compat_recent_is_the_rule_of_2009() {
    let config = Config::parse("compat = \"recent\"\nhard_limit = \"1h\"").unwrap();
    assert_eq!(config.seal, Seal::AtOnce);
    assert_eq!(config.release, ReleaseMode::Off);
    assert_eq!(config.hard_limit, Duration::ZERO);
    assert_eq!(config.refresh, RefreshMode::Packet);
}

#[test]
fn a_named_file_must_exist() {
    let error = Config::read(Some(Path::new("/nonexistent/x.toml"))).unwrap_err();
    assert!(
        error.to_string().starts_with("/nonexistent/x.toml: "),
        "{error}"
    );
}

#[test]
fn a_pattern_alone_will_do() {
    let config = Config::parse("servers = []\n[[pattern]]\nname = \"a\"\nmatch = '^<HOST> '");
    let config = config.unwrap();
    assert_eq!(config.pattern.len(), 1);
    assert_ne!(config, Config::default());
}

#[test]
fn the_journal_of_another_server_needs_its_own_match() {
    let text = "journal = true\nservers = [\"haraka\"]\n";
    let error = Config::parse(text).unwrap_err().to_string();
    assert!(
        error.starts_with("`journal_match` is empty, and there is no default"),
        "{error}"
    );
    let own = "journal_match = [\"_UID=haraka PRIORITY=6\"]\n";
    assert!(Config::parse(&format!("{text}{own}")).is_ok());
    assert!(Config::parse("servers = [\"haraka\"]\n").is_ok());
}

/// The match of a server whose user does not exist is an error: without `_UID`, it would
/// select the entries of every user.
#[test]
fn the_default_match_follows_the_servers() {
    let matches = |servers: &str| {
        let config = Config::parse(&format!("journal = true\nservers = {servers}\n")).unwrap();
        let error = match config.journal_args() {
            Ok(args) => args.join(" "),
            Err(error) => error.to_string(),
        };
        (config.server_without_match(), error)
    };
    for (servers, without, unit, user) in [
        (
            "[\"postfix\"]",
            None,
            "_SYSTEMD_UNIT=postfix@-.service",
            "there is no user postfix",
        ),
        (
            "[\"exim\"]",
            None,
            "_SYSTEMD_UNIT=exim4.service",
            "there is no user Debian-exim or exim",
        ),
        (
            "[\"rspamd\", \"courier\"]",
            Some(MailServer::Rspamd),
            "_SYSTEMD_UNIT=courier.service",
            "?",
        ),
    ] {
        let (found, text) = matches(servers);
        assert_eq!(found, without);
        // The users exist only where the server is installed.
        assert!(text.contains(unit) || text.contains(user), "{text}");
    }
}

#[test]
fn a_duration_is_a_text_or_a_number_of_seconds() {
    for (text, seconds) in [
        ("ttl = 600", 600),
        ("ttl = \"600\"", 600),
        ("ttl = \"10m\"", 600),
        ("ttl = \"1h30m\"", 5_400),
        ("ttl = \"2w\"", 1_209_600),
    ] {
        let config = Config::parse(text).unwrap();
        assert_eq!(config.ttl, Duration::from_secs(seconds), "{text}");
    }
    for (text, hint) in [
        ("ttl = \"1 month\"", "such as 365d"),
        ("ttl = \"soon\"", "`soon` is not a duration"),
        ("ttl = -600", "negative"),
        ("ttl = true", "a number of seconds"),
        ("ttl = 0", "whole seconds"),
    ] {
        let error = Config::parse(text).unwrap_err().to_string();
        assert!(error.contains(hint), "{text}: {error}");
    }
}

#[test]
fn addresses_are_own_any_or_a_list() {
    let addresses = |text: &str| Config::parse(text).unwrap().addresses;
    assert_eq!(addresses(""), Destinations::Own);
    assert_eq!(addresses("addresses = \"own\""), Destinations::Own);
    assert_eq!(addresses("addresses = \"any\""), Destinations::Any);
    let list = "addresses = [\"192.0.2.1\", \"::ffff:192.0.2.2\", \"2001:db8::1/64\"]";
    let nets = ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::/64"];
    let nets = nets.map(|net| net.parse().unwrap());
    assert_eq!(addresses(list), Destinations::These(nets.into()));
    let limited = |text: &str| Config::parse(text).unwrap().settings().destinations;
    assert_eq!([limited(""), limited(list)], [1, 1]);
    assert_eq!(limited("addresses = \"any\""), 0);
}

#[test]
fn nat64_prefixes_reach_the_filter() {
    let config = Config::parse("nat64 = [\"2001:db8:64::/96\", \"64:ff9b:1::/96\"]").unwrap();
    let settings = config.settings();
    assert_eq!(settings.nat64_count, 2);
    for addr in ["2001:db8:64::c000:201", "64:ff9b:1::c000:201", "64:ff9b::1"] {
        let addr: std::net::Ipv6Addr = addr.parse().unwrap();
        let prefix = spamdrop_common::nat64::prefix(addr.octets());
        assert!(settings.is_nat64(prefix), "{addr}");
    }
}

#[test]
fn a_program_is_named_alone_or_by_server() {
    let names = |text: &str, server| {
        let programs = Config::parse(text).unwrap().program_names();
        programs.names(server).map(<[String]>::to_vec)
    };
    let exim = Some(vec!["exim-in".to_owned()]);
    for (text, server, expected) in [
        ("", MailServer::Courier, None),
        (
            "program = \"smtpd2\"",
            MailServer::Courier,
            Some(vec!["smtpd2".into()]),
        ),
        (
            "servers = [\"exim\", \"courier\"]\nprogram = \"exim-in\"",
            MailServer::Exim,
            exim.clone(),
        ),
        (
            "servers = [\"exim\", \"courier\"]\nprogram = \"exim-in\"",
            MailServer::Courier,
            None,
        ),
        (
            "servers = [\"sendmail\", \"exim\"]\nprogram = { exim = \"exim-in\", sendmail = [\"MTA\", \"sm-mta\"] }",
            MailServer::Sendmail,
            Some(vec!["MTA".into(), "sm-mta".into()]),
        ),
    ] {
        assert_eq!(names(text, server), expected, "{text}");
    }
    let program = |text: &str| Config::parse(text).unwrap().courier_program();
    assert_eq!(program(""), "courieresmtpd");
    assert_eq!(program("program = \"smtpd2\""), "smtpd2");
}
