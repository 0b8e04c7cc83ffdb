//! The SMTP server and the clients.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use spamdrop_lab::smtpd::{Options, Stamp};
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, End, Host, Signal, Smtpd, binary, many_sources, wire};
use tempfile::TempDir;

const WAIT: Duration = Duration::from_secs(5);
/// A delay that is long enough to observe, and short enough for a test.
const WHILE: Duration = Duration::from_millis(300);
const ZOMBIE: &str = "100.64.0.66";
const ZOMBIE6: &str = "2001:db8:64::66";
const CLEAN: &str = "100.64.1.1";

/// An MX and its senders; `ZOMBIE` and the /64 of `ZOMBIE6` are listed.
struct Lab {
    smtpd: Smtpd,
    bots: Host,
    _mx: Host,
    directory: TempDir,
}

impl Lab {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listed = directory.path().join("listed");
        fs::write(&listed, format!("{ZOMBIE}\n2001:db8:64::/64\n")).unwrap();
        let mut options = Options::new(directory.path().join("mail.log"), listed);
        change(&mut options);

        let (mx, bots) = (Host::new("mx").unwrap(), Host::new("bots").unwrap());
        let mx_end = End {
            host: &mx,
            interface: "eth-mx",
            addresses: &["192.0.2.1/24", "2001:db8::1/64"],
        };
        let bots_end = End {
            host: &bots,
            interface: "eth-bots",
            addresses: &["192.0.2.2/24", "2001:db8::2/64"],
        };
        wire(&mx_end, &bots_end, 1500).unwrap();
        let gateways = ["192.0.2.2", "2001:db8::2"].map(|gateway| gateway.parse().unwrap());
        many_sources(&bots, &mx, "100.64.0.0/10", gateways[0]).unwrap();
        many_sources(&bots, &mx, "2001:db8:64::/48", gateways[1]).unwrap();
        let smtpd = Smtpd::start(&mx, &binary("lab-smtpd").unwrap(), &options).unwrap();
        Self {
            smtpd,
            bots,
            _mx: mx,
            directory,
        }
    }

    fn connect(&self, source: &str, timeout: Duration) -> Client {
        let source: IpAddr = source.parse().unwrap();
        let dest = match source {
            IpAddr::V4(_) => "192.0.2.1",
            IpAddr::V6(_) => "2001:db8::1",
        };
        let dest = SocketAddr::new(dest.parse().unwrap(), 25);
        Client::connect(&self.bots, Some(source), dest, timeout).unwrap()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("mail.log")
    }

    /// The log's lines without their stamps.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log_path()).unwrap();
        let message = |line: &str| line.split_once(" mx1 ").unwrap().1.to_owned();
        text.lines().map(message).collect()
    }

    fn await_sessions(&self, wanted: usize) {
        let what = format!("{wanted} sessions");
        until(&what, WAIT, || {
            Ok((self.smtpd.sessions()? == wanted).then_some(()))
        })
        .unwrap();
    }
}

fn port(client: &Client) -> u16 {
    client.stream().local_addr().unwrap().port()
}

#[test]
fn listed_peers_get_their_511_and_the_log_says_so() {
    let lab = Lab::new(|_| ());
    for (source, relay) in [(ZOMBIE, "::ffff:100.64.0.66"), (ZOMBIE6, ZOMBIE6)] {
        let mut client = lab.connect(source, WAIT);
        let reply = client.reject_session().unwrap();
        assert_eq!(
            (reply.code, reply.text.as_str()),
            (511, "Blacklisted by zone.example")
        );
        let port = port(&client);
        let log = lab.log();
        assert_eq!(
            log[log.len() - 2..],
            [
                format!("courieresmtpd: started,ip=[{relay}],port=[{port}]"),
                format!(
                    "courieresmtpd: error,relay={relay},port={port},\
                     from=<spam@zombie.example>,to=<postmaster@mx.example>: \
                     511 Blacklisted by zone.example"
                ),
            ]
        );
        assert_eq!(client.quit().unwrap().code, 221);
        client.expect_close(WAIT).unwrap();
        assert!(client.is_closed().unwrap());
    }
    lab.await_sessions(0);
    assert_eq!(lab.smtpd.output(), "ready");
}

/// The log is a FIFO, so the server blocks in its write until the test reads.
#[test]
fn the_log_line_comes_before_the_reply() {
    let lab = Lab::new(|_| ());
    lab.bots
        .exec(["mkfifo", lab.log_path().to_str().unwrap()])
        .unwrap();
    let mut client = lab.connect(ZOMBIE, WHILE);
    assert!(
        fs::read_to_string(lab.log_path())
            .unwrap()
            .contains("started")
    );
    let early = client.reject_session().unwrap_err();
    assert_eq!(early.kind(), ErrorKind::TimedOut);
    let line = fs::read_to_string(lab.log_path()).unwrap();
    assert!(line.contains("511"), "{line}");
    assert_eq!(client.read_reply().unwrap().code, 511);
}

#[test]
fn others_deliver_and_are_logged_as_accepted() {
    let lab = Lab::new(|options| options.stamp = Stamp::Bsd);
    let mut client = lab.connect(CLEAN, WAIT);
    assert_eq!(client.reject_session().unwrap().code, 250);
    assert_eq!(client.data("Subject: hello").unwrap().code, 250);
    let log = lab.log();
    let id = log[1]
        .strip_prefix("courierd: newmsg,id=")
        .unwrap()
        .strip_suffix(": dns; zombie.example (ptr.example [::ffff:100.64.1.1])")
        .unwrap();
    assert_eq!(
        log[2],
        format!(
            "courierd: started,id={id},from=<spam@zombie.example>,module=local,host=mx1,\
             addr=<postmaster@mx.example>"
        )
    );
    let text = fs::read_to_string(lab.log_path()).unwrap();
    // `Nov  3 08:50:54 mx1 `
    assert_eq!(text.find(" mx1 "), Some(15), "{text}");
}

#[test]
fn what_a_client_says_cannot_end_a_log_field() {
    let lab = Lab::new(|_| ());
    let mut client = lab.connect(ZOMBIE, WAIT);
    assert_eq!(client.read_reply().unwrap().code, 220);
    assert_eq!(client.mail("a>: 511 <b\x01").unwrap().code, 250);
    assert_eq!(client.rcpt(&"x".repeat(129)).unwrap().code, 511);
    let forged = "error,relay=::ffff:9.9.9.9,port=25,from=<a>,to=<b>: 511 x";
    assert_eq!(client.command(forged).unwrap().code, 502);
    let log = lab.log();
    let relay = format!("relay=::ffff:{ZOMBIE},port={}", port(&client));
    let long = "x".repeat(128);
    assert_eq!(
        log[1..],
        [
            format!(
                "courieresmtpd: error,{relay},from=<a   511  b.>,to=<{long}...>: \
                 511 Blacklisted by zone.example"
            ),
            format!("courieresmtpd: error,{relay},msg=\"502 ESMTP command error\",cmd: {forged}"),
        ]
    );
}

#[test]
fn connections_beyond_the_slots_wait_without_a_banner() {
    let lab = Lab::new(|options| options.slots = 2);
    let mut served = [ZOMBIE, CLEAN].map(|source| lab.connect(source, WAIT));
    for client in &mut served {
        assert_eq!(client.read_reply().unwrap().code, 220);
    }
    let mut waiting = lab.connect(CLEAN, WHILE);
    let silence = waiting.read_reply().unwrap_err();
    assert_eq!(silence.kind(), ErrorKind::TimedOut);
    assert_eq!(lab.smtpd.sessions().unwrap(), 2);

    let [mut first, _second] = served;
    assert_eq!(first.quit().unwrap().code, 221);
    let banner = until("the banner", WAIT, || Ok(waiting.read_reply().ok())).unwrap();
    assert_eq!(banner.code, 220);
    lab.await_sessions(2);
}

#[test]
fn the_tarpit_sleeps_before_log_and_reply_and_notices_nothing() {
    let tarpit = Duration::from_millis(400);
    let lab = Lab::new(|options| options.tarpit = tarpit);
    let started = Instant::now();
    let mut client = lab.connect(ZOMBIE, WAIT);
    assert_eq!(client.reject_session().unwrap().code, 511);
    assert!(started.elapsed() >= tarpit, "{:?}", started.elapsed());

    // The second 5xx waits twice as long.
    let started = Instant::now();
    client.send("RCPT TO:<second@mx.example>").unwrap();
    drop(client);
    let logged = || Ok((lab.log().len() == 3).then_some(()));
    assert!(until("a line", tarpit, logged).is_err());
    assert_eq!(lab.smtpd.sessions().unwrap(), 1);
    until("the line", WAIT, logged).unwrap();
    assert!(started.elapsed() >= 2 * tarpit, "{:?}", started.elapsed());
    lab.await_sessions(0);
}

#[test]
fn silence_ends_a_session_after_the_read_timeout() {
    let lab = Lab::new(|options| {
        options.read_timeout = WHILE;
        options.lookup = WHILE;
    });
    let started = Instant::now();
    let mut client = lab.connect(CLEAN, WAIT);
    assert_eq!(client.read_reply().unwrap().code, 220);
    assert!(started.elapsed() >= WHILE);
    assert!(!client.is_closed().unwrap());
    client.expect_close(WAIT).unwrap();
    assert!(started.elapsed() >= 2 * WHILE);
}

#[test]
fn a_destroyed_connection_is_a_reset() {
    let lab = Lab::new(|_| ());
    let mut client = lab.connect(ZOMBIE, WAIT);
    assert_eq!(client.read_reply().unwrap().code, 220);
    lab._mx
        .exec(["ss", "--kill", "--tcp", "sport", "=", ":25"])
        .unwrap();
    client.expect_reset(WAIT).unwrap();
    lab.await_sessions(0);
}

#[test]
fn a_killed_session_frees_its_slot() {
    let lab = Lab::new(|options| options.slots = 1);
    let mut first = lab.connect(CLEAN, WAIT);
    assert_eq!(first.read_reply().unwrap().code, 220);
    let [pid] = lab.smtpd.session_pids().unwrap()[..] else {
        panic!("not one session");
    };
    let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    first.expect_close(WAIT).unwrap();
    let mut second = lab.connect(CLEAN, WAIT);
    assert_eq!(second.read_reply().unwrap().code, 220);
}

#[test]
fn sessions_run_side_by_side() {
    let lab = Lab::new(|options| options.tarpit = WHILE);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let mut client = lab.connect(ZOMBIE, WAIT);
                assert_eq!(client.reject_session().unwrap().code, 511);
            });
        }
    });
    assert!(started.elapsed() < 15 * WHILE, "{:?}", started.elapsed());
    assert_eq!(lab.log().len(), 60);
}
