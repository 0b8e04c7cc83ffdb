//! The lines of a usual day.

use std::net::Ipv4Addr;

/// Maximum memory of the daemon, without the pages of its program.
const ANONYMOUS_KIB: u64 = 10 << 10;

/// A mail server's lines, without stamp and host name.
pub struct Server {
    /// Its name in `servers`.
    pub name: &'static str,
    /// Lines that block nobody: most of them are irrelevant, one reports accepted
    /// mail.
    pub nine: [&'static str; 9],
    /// The rejection of a listed sender.
    pub rejection: fn(Ipv4Addr) -> String,
    /// Maximum memory of the daemon, without the pages of its program.
    pub max_anonymous_kib: u64,
}

pub const COURIER: Server = Server {
    name: "courier",
    nine: [
        "imapd: LOGIN, user=user7, ip=[::ffff:203.0.113.9], port=[52100], protocol=IMAP",
        "courierlocal: id=00000000001C0B3A.6561A3AE.00006A21,from=<a@friend.example>,addr=<b@here.example>,size=4711,success: Message delivered.",
        "courieresmtpd: started,ip=[::ffff:203.0.113.10],port=[40112]",
        "courierd: started,id=00000000001C0B3A.6561A3AE.00006A21,from=<a@friend.example>,module=local,host=b!!1000!1000!/home/b!!,addr=<b@here.example>",
        "courierd: newmsg,id=00000000001C0B3A.6561A3AE.00006A21: dns; friend.example (friend.example [::ffff:203.0.113.11])",
        "courierd: completed,id=00000000001C0B3A.6561A3AE.00006A21",
        "imapd: LOGOUT, user=user7, ip=[::ffff:203.0.113.9], headers=0, body=0, rcvd=12, sent=340, time=1",
        "CRON[4711]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)",
        "systemd[1]: Started Session 4711 of user root.",
    ],
    rejection: |source| {
        format!(
            "courieresmtpd: error,relay=::ffff:{source},port=4,\
             from=<a@b.example>,to=<c@here.example>: 511 Blacklisted by zone.example"
        )
    },
    max_anonymous_kib: ANONYMOUS_KIB,
};

pub const POSTFIX: Server = Server {
    name: "postfix",
    nine: [
        "postfix/smtpd[811]: connect from mail.friend.example[203.0.113.11]",
        "postfix/smtpd[811]: 1B2C3D4E5F: client=mail.friend.example[203.0.113.11]",
        "postfix/cleanup[815]: 1B2C3D4E5F: message-id=<x@friend.example>",
        "postfix/qmgr[640]: 1B2C3D4E5F: from=<a@friend.example>, size=4711, nrcpt=2 (queue active)",
        "postfix/local[820]: 1B2C3D4E5F: to=<b@here.example>, relay=local, delay=0.1, delays=0.1/0/0/0, dsn=2.0.0, status=sent (delivered to maildir)",
        "postfix/smtp[821]: 1B2C3D4E5F: to=<c@there.example>, relay=mx.there.example[203.0.113.12]:25, delay=0.5, delays=0.1/0/0.2/0.2, dsn=2.0.0, status=sent (250 OK)",
        "postfix/qmgr[640]: 1B2C3D4E5F: removed",
        "postfix/smtpd[811]: disconnect from mail.friend.example[203.0.113.11] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
        "dovecot: imap-login: Login: user=<user7>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.1, mpid=4711, TLS",
    ],
    rejection: |source| {
        format!(
            "postfix/smtpd[812]: NOQUEUE: reject: RCPT from unknown[{source}]: 554 5.7.1 Service \
             unavailable; Client host [{source}] blocked using zone.example; from=<a@b.example> \
             to=<c@here.example> proto=ESMTP helo=<pc>"
        )
    },
    max_anonymous_kib: ANONYMOUS_KIB,
};

pub const EXIM: Server = Server {
    name: "exim",
    nine: [
        "exim[811]: SMTP connection from [203.0.113.11]:40112 I=[192.0.2.1]:25 (TCP/IP connection count = 3)",
        "exim[811]: no host name found for IP address 203.0.113.10",
        "exim[811]: 1tGq3b-000000001Ab-1Xyz <= a@friend.example H=mail.friend.example [203.0.113.11]:40112 P=esmtps X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 S=4711 id=x@friend.example",
        "exim[812]: 1tGq3b-000000001Ab-1Xyz => b <b@here.example> R=local_user T=maildir_home",
        "exim[812]: 1tGq3b-000000001Ab-1Xyz => c@there.example R=dnslookup T=remote_smtp H=mx.there.example [203.0.113.12]:25 C=\"250 OK\"",
        "exim[812]: 1tGq3b-000000001Ab-1Xyz Completed",
        "exim[811]: SMTP connection from mail.friend.example [203.0.113.11]:40112 I=[192.0.2.1]:25 closed by QUIT",
        "dovecot: imap-login: Login: user=<user7>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.1, mpid=4711, TLS",
        "systemd[1]: Started Session 4711 of user root.",
    ],
    rejection: |source| {
        format!(
            "exim[813]: H=(pc) [{source}]:4 F=<a@b.example> rejected RCPT <c@here.example>: \
             {source} is listed at zone.example"
        )
    },
    max_anonymous_kib: ANONYMOUS_KIB,
};
