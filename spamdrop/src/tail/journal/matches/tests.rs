#![expect(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

fn users(name: &str) -> Option<u32> {
    match name {
        "courier" => Some(107),
        "daemon" => Some(1),
        _ => None,
    }
}

fn args(alternatives: &[&str]) -> Result<Vec<String>> {
    Matches::parse(alternatives)?.args(users)
}

#[test]
fn alternatives_are_joined_as_journalctl_wants_it() {
    let given = [
        "_SYSTEMD_UNIT=courier-mta.service PRIORITY=3 _UID=107",
        " _UID=0  _UID=courier _UID=nobody-there _SYSTEMD_UNIT=courier.service",
        "_UID=65534 A_1==",
    ];
    let expected = [
        "_SYSTEMD_UNIT=courier-mta.service",
        "PRIORITY=3",
        "_UID=107",
        "+",
        "_SYSTEMD_UNIT=courier.service",
        "_UID=0",
        "_UID=107",
        "+",
        "A_1==",
        "_UID=65534",
    ];
    assert_eq!(args(&given).unwrap(), expected);
}

#[test]
fn what_proves_nothing_is_refused() {
    for (given, named) in [
        ("PRIORITY=3", "_UID or _SELINUX_CONTEXT"),
        (
            "SYSLOG_IDENTIFIER=courieresmtpd PRIORITY=3",
            "_UID or _SELINUX_CONTEXT",
        ),
        ("_EXE=/usr/sbin/courierlogger", "_UID or _SELINUX_CONTEXT"),
        ("_TRANSPORT=syslog", "_UID or _SELINUX_CONTEXT"),
        ("_SYSTEMD_UNIT=postfix.service", "_UID or _SELINUX_CONTEXT"),
        (
            "_SYSTEMD_SLICE=system.slice _GID=0",
            "_UID or _SELINUX_CONTEXT",
        ),
        ("", "_UID or _SELINUX_CONTEXT"),
        (
            "_COMM=dockerd CONTAINER_NAME=mail",
            "_UID or _SELINUX_CONTEXT",
        ),
        ("_UID=0 +", "`+`"),
        ("_UID=0 --all", "`--all`"),
        ("_UID=0 -D=/tmp", "`-D=/tmp`"),
        ("_UID", "`_UID`"),
        ("_UID=", "`_UID=`"),
        ("_uid=0", "`_uid=0`"),
        ("=0", "`=0`"),
    ] {
        let error = format!("{:#}", Matches::parse(&["_UID=0", given]).unwrap_err());
        assert!(error.contains(named), "{given:?}: {error}");
    }
    assert!(Matches::parse(&[""; 0]).is_err());
}

/// Anybody can name a process dockerd, but only root runs one as root.
#[test]
fn entries_of_docker_can_be_selected() {
    let given = ["_COMM=dockerd _UID=0 CONTAINER_NAME=mail"];
    let expected = ["_COMM=dockerd", "CONTAINER_NAME=mail", "_UID=0"];
    assert_eq!(args(&given).unwrap(), expected);
}

/// Without its users, an alternative would match every user.
#[test]
fn an_alternative_does_not_lose_all_its_users() {
    let given = [
        "_UID=0",
        "_SYSTEMD_UNIT=exim4.service _UID=exim _UID=Debian-exim",
    ];
    let error = args(&given).unwrap_err().to_string();
    assert!(error.contains("exim or Debian-exim"), "{error}");
}
