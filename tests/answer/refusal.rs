//! Consequences of a refusal by the responder, and situations in which it must
//! not refuse.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{self, Pid, kill_process};

use super::*;

/// Appends the messages that reach syslog to the mail log, as rsyslog does.
struct Rsyslog {
    thread: Option<JoinHandle<()>>,
    end: Arc<AtomicBool>,
}

impl Rsyslog {
    fn new(lab: &Lab) -> Self {
        let socket = lab.syslog.try_clone().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let path = lab.site.path("mail.log");
        let end = Arc::<AtomicBool>::default();
        let ends = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            let mut line = [0; 2048];
            while !ends.load(Ordering::Relaxed) {
                let Ok(length) = socket.recv(&mut line) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&line[..length]);
                let (_, text) = text.split_once('>').unwrap();
                let (_, message) = text.split_at("Nov 23 08:50:54 ".len());
                let now = jiff::Timestamp::now();
                file.write_all(format!("{now} mx1 {message}\n").as_bytes())
                    .unwrap();
            }
        });
        Self {
            thread: Some(thread),
            end,
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn until_listed(site: &Site, entry: &str) {
    until(&format!("{entry} to be blocked"), SOON, || {
        Ok(site
            .listed()?
            .iter()
            .any(|addr| addr == entry)
            .then_some(()))
    })
    .unwrap();
}

/// The block stays open until QUIT, so that the session ends normally.
#[test]
fn the_block_follows_from_the_log() {
    let lab = Lab::new();
    let _rsyslog = Rsyslog::new(&lab);
    for (source, entry) in [(ZOMBIE, ZOMBIE), (ZOMBIE6, "2001:db8:64:1::/64")] {
        lab.judge(source, Standing::Listed);
        let mut client = lab.site.connect(source).unwrap();
        assert_eq!(client.reject_session().unwrap().code, 511);
        until_listed(&lab.site, entry);
        assert_eq!(client.quit().unwrap().code, 221);
        client.expect_close(SOON).unwrap();
        drop(client);
        assert!(
            lab.site
                .dropped(source, Duration::from_millis(1500))
                .unwrap()
        );
    }
}

/// `terminate` kills the process that holds the connection. Here that is the
/// daemon itself, which must not be killed.
#[test]
fn a_release_that_terminates_spares_the_daemon() {
    let terminates = |site: &Site| {
        let syslog = site.path("syslog");
        let more = format!(
            "answer = \"on\"\nsyslog = {syslog:?}\nrelease = \"terminate\"\ngrace = \"0s\""
        );
        site.configure(&more).unwrap();
    };
    let lab = &mut Lab::start(terminates, |gate| gate.responders == BOTH);
    let _rsyslog = Rsyslog::new(lab);
    lab.judge(ZOMBIE, Standing::Listed);
    let mut client = lab.site.connect(ZOMBIE).unwrap();
    assert_eq!(client.reject_session().unwrap().code, 511);
    client.expect_reset(SOON).unwrap();
    lab.until_answers("connections", 0);
    assert!(!lab.daemon.output().contains("sent SIGTERM"));
}

/// Blocking pauses when a blocklist seems to list everybody. Then the responder must
/// not reject by that blocklist's verdicts.
#[test]
fn while_blocking_pauses_the_mail_server_answers() {
    let lab = &mut Lab::new();
    let syslog = lab.site.path("syslog");
    let more = format!("answer = \"on\"\nsyslog = {syslog:?}\nmax_new_per_minute = 1");
    lab.site.configure(&more).unwrap();
    lab.daemon.signal(Signal::SIGHUP).unwrap();
    let read = |line: &str| line.contains("configuration read again");
    lab.daemon.wait_for(read, SOON).unwrap();
    lab.judge(ZOMBIE, Standing::Listed);
    lab.gate_writer.pause();
    assert_eq!(lab.greets(ZOMBIE), RESPONDER);
    for source in ["100.64.7.1", "100.64.7.2", "100.64.7.3"] {
        let now = jiff::Timestamp::now();
        let line = format!(
            "{now} mx1 courieresmtpd: error,relay=::ffff:{source},port=4,\
             from=<a@b.example>,to=<c@mx.example>: 511 Blacklisted by zone.example"
        );
        lab.site.log(&line).unwrap();
    }
    let paused = |line: &str| line.contains("no new blocks: ");
    lab.daemon.wait_for(paused, SOON).unwrap();
    until("the gate to announce no responder", SOON, || {
        let answers = lab.gate_writer.gate_maps().gate()?.responders;
        Ok((answers == 0).then_some(()))
    })
    .unwrap();
    assert_eq!(lab.greets(ZOMBIE), SERVER);
}

#[test]
fn where_port_25_offers_auth_nobody_is_answered() {
    let mut lab = Lab::new();
    fs::write(lab.site.path("courier/esmtpd"), "ESMTPAUTH=\"PLAIN\"\n").unwrap();
    configure(&lab.site, "off");
    lab.daemon.signal(Signal::SIGHUP).unwrap();
    lab.daemon
        .wait_for(|line| line.contains("configuration read again"), SOON)
        .unwrap();
    configure(&lab.site, "on");
    lab.daemon.signal(Signal::SIGHUP).unwrap();
    let refused = lab
        .daemon
        .wait_for(|line| line.contains("the configuration is unchanged"), SOON)
        .unwrap();
    assert!(
        refused.contains("port 25 offers AUTH (ESMTPAUTH in "),
        "{refused}"
    );
    lab.daemon.kill().unwrap();
    lab.site.spamdrop(&["detach"]).unwrap();
    for verb in [&["run"][..], &["config", "check"]] {
        let output = lab.site.output(verb, b"").unwrap();
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("port 25 offers AUTH (ESMTPAUTH in "),
            "{said}"
        );
    }
    assert!(!lab.site.server.run(|| pin_dir().exists()), "attached");
}

/// Courier's configuration is missing, so the daemon sends EHLO to the server to find
/// out whether it offers AUTH.
#[test]
fn a_server_that_offers_auth_is_asked() {
    let site = Site::with_listener(Path::new(env!("CARGO_BIN_EXE_spamdrop"))).unwrap();
    let listener = site
        .server
        .run(|| TcpListener::bind("127.0.0.1:25").unwrap());
    site.configure("answer = \"on\"").unwrap();
    let server = std::thread::spawn(move || {
        use std::io::Read as _;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 x\r\n").unwrap();
        assert_ne!(stream.read(&mut [0; 64]).unwrap(), 0);
        stream.write_all(b"250-x\r\n250 AUTH PLAIN\r\n").unwrap();
    });
    let output = site.output(&["run"], b"").unwrap();
    server.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("offers AUTH (its reply to EHLO)"), "{said}");
}

/// A known sender may be listed and must not be refused, so the responder waits
/// until the filter has the known senders.
#[test]
fn nobody_is_answered_before_the_filter_was_told_of_the_known_senders() {
    let damage = |site: &Site| {
        fs::create_dir_all(site.path("state")).unwrap();
        fs::write(site.path("state/spamdrop.db"), b"no database").unwrap();
    };
    let mut lab = Lab::start(damage, |gate| gate.written != MonotonicNs::default());
    lab.judge(ZOMBIE, Standing::Listed);
    // From here on, only the daemon sets the gate.
    lab.gate_writer.pause();
    lab.until_greeted_by(SERVER, ZOMBIE);
    let state = lab.site.path("state");
    fs::rename(state.join("spamdrop.db"), state.join("aside")).unwrap();
    lab.until_greeted_by(RESPONDER, ZOMBIE);
}

/// A steered connection has the server's port. It must not keep the port from the server,
/// nor must one in TIME-WAIT.
#[test]
fn the_mail_server_starts_again_while_the_responder_has_connections() {
    let lab = Lab::new();
    lab.judge(ZOMBIE, Standing::Listed);
    let (mut ended, greeting) = greeted(&lab.site, ZOMBIE);
    assert_eq!(greeting, RESPONDER);
    ended.quit().unwrap();
    // The responder closes first, so the connection stays in TIME-WAIT on its side.
    ended.expect_close(SOON).unwrap();
    drop(ended);
    let (_open, greeting) = greeted(&lab.site, ZOMBIE);
    assert_eq!(greeting, RESPONDER);
    let server = &lab.site.server;
    let listed = ["ss", "-tanH", "state", "time-wait"].map(str::to_owned);
    until("TIME-WAIT", SOON, || {
        let sockets = server.exec(listed.clone())?;
        Ok(sockets.contains(":25 ").then_some(()))
    })
    .unwrap();
    let pid = i32::try_from(lab.site.smtpd.pid()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), process::Signal::KILL).unwrap();
    let listeners = ["ss", "-tlnH", "sport", "= :25"].map(str::to_owned);
    until("the server to end", SOON, || {
        Ok(server.exec(listeners.clone())?.is_empty().then_some(()))
    })
    .unwrap();
    // As every server, std sets SO_REUSEADDR.
    server.run(|| TcpListener::bind("0.0.0.0:25")).unwrap();
}

/// The verdicts of this test are written in place of look-ups, and the daemon has no zone.
#[test]
fn a_responder_without_a_zone_is_named() {
    let lab = Lab::new();
    let reason = "the responder answers nobody: no DNS blocklist is known";
    until(reason, SOON, || {
        let text = lab.site.status(&[])?;
        Ok((text.starts_with("DEGRADED: ") && text.contains(reason)).then_some(()))
    })
    .unwrap();
    assert!(lab.daemon.output().contains(reason));
}
