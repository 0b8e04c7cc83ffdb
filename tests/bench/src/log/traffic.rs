//! Generates a mail server's log: one session after another, the same ones in every
//! run.

use std::io::{self, Write};
use std::net::Ipv4Addr;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

/// 2026-11-22 00:00:00 UTC; a million lines cover a day.
const START: Timestamp = Timestamp::constant(1_795_305_600, 0);
/// Maximum time between two lines, in microseconds.
const LONGEST_GAP: i64 = 172_000;

/// A pool of addresses in networks that are reserved for tests and
/// documentation.
struct Pool {
    first: Ipv4Addr,
    number: u32,
}

/// Peers on a blocklist.
const BOTS: Pool = Pool {
    first: Ipv4Addr::new(198, 18, 0, 0),
    number: 20_000,
};
/// Peers that are refused for another reason, or that only connect.
const STRAY: Pool = Pool {
    first: Ipv4Addr::new(198, 19, 0, 0),
    number: 5_000,
};
/// Peers whose mail is accepted, and users who read their mail.
const GOOD: Pool = Pool {
    first: Ipv4Addr::new(203, 0, 113, 0),
    number: 256,
};

const NAMES: [&str; 12] = [
    "alice",
    "bob",
    "carol",
    "dave",
    "info",
    "office",
    "sales",
    "newsletter",
    "j.smith",
    "support",
    "noreply",
    "bounce-4711-x",
];
const DOMAINS: [&str; 8] = [
    "example.com",
    "example.net",
    "example.org",
    "mail.example.net",
    "lists.example.org",
    "shop.example.com",
    "eu.example",
    "a-rather-long-name.example",
];
/// Refusals for other reasons than a blocklist.
const REFUSALS: [&str; 5] = [
    "550 User unknown.",
    "513 Relaying denied.",
    "517 Sender rejected: the domain does not exist",
    "550 5.1.1 No such mailbox here",
    "431 Mail system full.",
];
/// Errors that Courier logs, each with the client's command.
const COMMANDS: [&str; 4] = [
    "msg=\"535 Authentication failed.\",cmd: AUTH LOGIN YWRtaW5AZXhhbXBsZS5jb20=",
    "msg=\"535 Authentication failed.\",cmd: AUTH PLAIN",
    "msg=\"502 ESMTP command error\",cmd: GET / HTTP/1.1",
    "msg=\"writev: Connection reset by peer\",cmd: DATA",
];

/// The numbers of written lines and bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// Lines that report the rejection of a peer on a blocklist.
    pub rejections: u64,
    /// Lines that contain `: 511 `, including those of other servers that
    /// refuse mail from this one.
    pub codes: u64,
}

/// Writes the first `lines` lines of the log.
///
/// # Errors
///
/// The writer fails.
pub fn write(lines: u64, out: &mut impl Write) -> io::Result<Written> {
    let mut log = Log {
        out,
        rng: Rng::with_seed(511),
        now: START,
        most: lines,
        written: Written::default(),
    };
    while log.written.lines < lines {
        log.session()?;
    }
    Ok(log.written)
}

struct Log<'a, W> {
    out: &'a mut W,
    rng: Rng,
    now: Timestamp,
    /// Maximum number of lines.
    most: u64,
    written: Written,
}

impl<W: Write> Log<'_, W> {
    /// Writes the session of one client. About a third of the lines belong to
    /// clients that log in to read mail, and a fourteenth are rejections.
    fn session(&mut self) -> io::Result<()> {
        match self.rng.u32(..84) {
            0..12 => self.listed(),
            12..24 => self.refused(),
            24..34 => self.connected(&STRAY).map(drop),
            34..49 => self.incoming(),
            49..54 => self.outgoing(),
            _ => self.reading(),
        }
    }

    /// Writes a session of a peer on a blocklist, with one or two recipients.
    fn listed(&mut self) -> io::Result<()> {
        let peer = self.connected(&BOTS)?;
        let from = self.mailbox();
        for _ in 0..self.rng.u32(1..=2) {
            let to = self.mailbox();
            let before = self.written.lines;
            self.write_line(
                "courieresmtpd",
                &format!(
                    "error,{},from=<{from}>,to=<{to}>: 511 https://check.example/query/ip/{}",
                    peer.relay(),
                    peer.addr
                ),
            )?;
            self.written.rejections += self.written.lines - before;
            self.written.codes += self.written.lines - before;
        }
        Ok(())
    }

    fn refused(&mut self) -> io::Result<()> {
        let peer = self.connected(&STRAY)?;
        let relay = peer.relay();
        let text = if self.rng.bool() {
            let (from, to) = (self.mailbox(), self.mailbox());
            let refusal = self.choose(&REFUSALS);
            format!("error,{relay},from=<{from}>,to=<{to}>: {refusal}")
        } else {
            format!("error,{relay},{}", self.choose(&COMMANDS))
        };
        self.write_line("courieresmtpd", &text)
    }

    /// Writes a session with a message from outside, delivered to a mailbox.
    fn incoming(&mut self) -> io::Result<()> {
        let peer = self.connected(&GOOD)?;
        let (id, from, user) = (self.id(), self.mailbox(), self.choose(&NAMES));
        let host = self.choose(&DOMAINS);
        let size = self.rng.u32(1_000..200_000);
        self.write_line(
            "courierd",
            &format!("newmsg,id={id}: dns; {host} ({host} [{}])", peer.mapped()),
        )?;
        self.write_line(
            "courierd",
            &format!(
                "started,id={id},from=<{from}>,module=local,host={user}!!1000!1000!/home/{user}!!,addr=<{user}>"
            ),
        )?;
        self.write_line(
            "courierlocal",
            &format!(
                "id={id},from=<{from}>,addr=<{user}@example.com>,size={size},success: Message delivered."
            ),
        )?;
        self.write_line("courierd", &format!("completed,id={id}"))
    }

    /// Writes a session in which a user sends a message to another server,
    /// which seldom refuses it.
    fn outgoing(&mut self) -> io::Result<()> {
        let peer = self.connected(&GOOD)?;
        let (id, user, to) = (self.id(), self.choose(&NAMES), self.mailbox());
        let host = self.choose(&DOMAINS);
        self.write_line(
            "courierd",
            &format!(
                "newmsg,id={id}, auth={user}: dns; laptop (dyn.example.org [{}])",
                peer.mapped()
            ),
        )?;
        let fields = format!("id={id},from=<{user}@example.com>,addr=<{to}>");
        self.write_line(
            "courierd",
            &format!(
                "started,id={id},from=<{user}@example.com>,module=esmtp,host={host},addr=<{to}>"
            ),
        )?;
        if self.rng.u32(..20) == 0 {
            let before = self.written.lines;
            self.write_line("courieresmtp", &format!("{fields}: 511 5.1.1 Unknown user"))?;
            self.written.codes += self.written.lines - before;
            return self.write_line("courieresmtp", &format!("{fields},status: failure"));
        }
        self.write_line("courieresmtp", &format!("{fields}: 250 2.0.0 Ok: queued"))?;
        self.write_line(
            "courieresmtp",
            &format!("{fields},success: delivered: mx.{host} [::ffff:203.0.113.9]"),
        )?;
        self.write_line("courierd", &format!("completed,id={id}"))
    }

    /// Writes a session of a user who reads mail.
    fn reading(&mut self) -> io::Result<()> {
        let peer = self.peer(&GOOD);
        let user = self.choose(&NAMES);
        let (ip, port) = (peer.mapped(), peer.port);
        self.write_line(
            "imapd-ssl",
            &format!("Connection, ip=[{ip}], port=[{port}]"),
        )?;
        self.write_line(
            "imapd-ssl",
            &format!("LOGIN, user={user}, ip=[{ip}], port=[{port}], protocol=IMAP"),
        )?;
        let [headers, body, sent, time] =
            [0, 40_000, 90_000, 1_800].map(|most| self.rng.u32(..=most));
        self.write_line(
            "imapd-ssl",
            &format!(
                "LOGOUT, user={user}, ip=[{ip}], port=[{port}], headers={headers}, body={body}, rcvd=511, sent={sent}, time={time}, starttls=1"
            ),
        )
    }

    fn connected(&mut self, pool: &Pool) -> io::Result<Peer> {
        let peer = self.peer(pool);
        self.write_line(
            "courieresmtpd",
            &format!("started,ip=[{}],port=[{}]", peer.mapped(), peer.port),
        )?;
        Ok(peer)
    }

    fn write_line(&mut self, program: &str, text: &str) -> io::Result<()> {
        if self.written.lines == self.most {
            return Ok(());
        }
        self.now += SignedDuration::from_micros(self.rng.i64(0..LONGEST_GAP));
        let line = format!(
            "{:.6} mx1 {program}: {text}\n",
            self.now.display_with_offset(jiff::tz::Offset::UTC)
        );
        self.written.lines += 1;
        self.written.bytes += line.len() as u64;
        self.out.write_all(line.as_bytes())
    }

    fn peer(&mut self, pool: &Pool) -> Peer {
        let offset = self.rng.u32(..pool.number);
        Peer {
            addr: Ipv4Addr::from(u32::from(pool.first) + offset),
            port: self.rng.u16(1024..),
        }
    }

    fn mailbox(&mut self) -> String {
        format!("{}@{}", self.choose(&NAMES), self.choose(&DOMAINS))
    }

    fn id(&mut self) -> String {
        let [a, b, c] = [(); 3].map(|()| self.rng.u32(..));
        format!("{a:016X}.{b:016X}.{c:08X}")
    }

    fn choose(&mut self, texts: &[&'static str]) -> &'static str {
        self.rng.choice(texts).copied().unwrap_or_default()
    }
}

struct Peer {
    addr: Ipv4Addr,
    port: u16,
}

impl Peer {
    fn mapped(&self) -> String {
        format!("::ffff:{}", self.addr)
    }

    fn relay(&self) -> String {
        format!("relay={},port={}", self.mapped(), self.port)
    }
}
