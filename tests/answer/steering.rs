//! The choice between the responder and the mail server for a new connection.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use spamdrop::kernel::occupancy::ConnectionCounter;
use spamdrop_lab::forger::Forger;
use spamdrop_lab::site::SERVER4;

use super::*;

/// A whole session with the responder and its log lines, for IPv4 and IPv6.
#[test]
fn a_listed_sender_is_answered_without_the_mail_server() {
    let lab = Lab::new();
    for source in [ZOMBIE, ZOMBIE6] {
        lab.judge(source, Standing::Listed);
        let relay = if source == ZOMBIE {
            format!("::ffff:{ZOMBIE}")
        } else {
            ZOMBIE6.to_owned()
        };
        let mut client = lab.site.connect(source).unwrap();
        let port = client.stream().local_addr().unwrap().port();
        let reply = client.reject_session().unwrap();
        assert_eq!(
            (reply.code, reply.text.as_str()),
            (511, "Blacklisted by a DNS blocklist")
        );
        assert_eq!(client.quit().unwrap().code, 221);
        client.expect_close(SOON).unwrap();
        let started = format!("courieresmtpd: started,ip=[{relay}],port=[{port}]");
        assert_eq!(lab.logged(), ("<22".into(), started));
        let refused = format!(
            "courieresmtpd: error,relay={relay},port={port},from=<spam@zombie.example>,\
             to=<postmaster@mx.example>: 511 Blacklisted by a DNS blocklist"
        );
        assert_eq!(lab.logged(), ("<19".into(), refused));
    }
    let log = fs::read_to_string(lab.site.path("mail.log")).unwrap();
    assert!(!log.contains(ZOMBIE) && !log.contains(ZOMBIE6), "{log}");
    lab.until_answers("answered", 2);
    lab.until_answers("connections", 0);
}

/// A listed sender's handshake that is never completed does not count at the gate, as its
/// connections do not. So listed senders cannot fill the slots with SYNs.
#[test]
fn half_a_connection_of_a_listed_sender_takes_no_slot() {
    let lab = Lab::new();
    let forger = Forger::new(&lab.site).unwrap();
    let [listed, other] = [1, 2].map(Forger::address);
    lab.judge(&listed.to_string(), Standing::Listed);
    for source in [listed, other] {
        forger.syn(source, 4711, 64).unwrap();
    }
    let seen = |answered: Option<IpAddr>| {
        let is_answered = move |peer| Some(peer) == answered;
        let count = move || ConnectionCounter::default().count(25, is_answered, |_, _| false);
        lab.site.server.run(count).unwrap().pending
    };
    until("both SYNs", SOON, || Ok((seen(None) == 2).then_some(()))).unwrap();
    assert_eq!(seen(Some(listed.into())), 1);
    let gate_maps = lab.gate_writer.gate_maps();
    let now = clock::monotonic_ns();
    let is_steered = |host: IpAddr, now| gate_maps.is_steered(host, now).unwrap();
    assert!(is_steered(listed.into(), now));
    assert!(!is_steered(listed.into(), now.plus(2 * MINUTE)));
    assert!(!is_steered(other.into(), now));
}

#[test]
fn everybody_else_comes_to_the_mail_server() {
    let mut lab = Lab::new();
    let [allowed, known, unlisted, expired] =
        ["100.64.1.1", "100.64.1.2", "100.64.1.3", "100.64.1.4"];
    for source in [ZOMBIE, ZOMBIE6, allowed, known] {
        lab.judge(source, Standing::Listed);
        assert_eq!(lab.greets(source), RESPONDER, "{source}");
    }
    // A block would apply to the whole /64, but the responder rejects a single address.
    assert_eq!(lab.greets(MATE6), SERVER);
    lab.site.spamdrop(&["allow", "add", allowed]).unwrap();
    let target: Target = known.parse().unwrap();
    lab.gate_writer.gate_maps().know_exactly([target]).unwrap();
    for standing in [Standing::Unlisted, Standing::Unnamed, Standing::Confirmed] {
        lab.judge(unlisted, standing);
        assert_eq!(lab.greets(unlisted), SERVER, "{standing:?}");
    }
    let past = clock::monotonic_ns().minus(Duration::from_nanos(1));
    lab.gate_writer.judge(expired, Standing::Listed, past);
    for source in [CLEAN, "2001:db8:64:2::66", allowed, known, expired] {
        assert_eq!(lab.greets(source), SERVER, "{source}");
    }
    lab.gate_writer.pause();
    // The daemon would write the gate, too, so it is stopped. The mail server answers
    // also without the daemon.
    lab.daemon.signal(Signal::SIGSTOP).unwrap();
    write(&mut lab.gate_writer.gate_maps(), clock::monotonic_ns(), 0);
    assert_eq!(lab.greets(ZOMBIE), SERVER, "nobody answers");
    for (answers, other) in [(RESPONDER_IPV4, ZOMBIE6), (RESPONDER_IPV6, ZOMBIE)] {
        write(
            &mut lab.gate_writer.gate_maps(),
            clock::monotonic_ns(),
            answers,
        );
        assert_eq!(lab.greets(other), SERVER, "of the other family");
    }
    let stale = clock::monotonic_ns().minus(Duration::from_secs(3));
    write(&mut lab.gate_writer.gate_maps(), stale, BOTH);
    assert_eq!(lab.greets(ZOMBIE), SERVER, "the gate is stale");
    lab.daemon.signal(Signal::SIGCONT).unwrap();
    lab.gate_writer.go_on();
    assert_eq!(lab.greets(ZOMBIE), RESPONDER);
}

/// The responder takes no other port, because the server's own users submit their mail
/// there.
#[test]
fn only_port_25_is_answered_and_only_if_it_is_watched() {
    let lab = &mut Lab::new();
    let submission = SocketAddr::from((SERVER4, 587));
    let listen = move || TcpListener::bind(submission).unwrap();
    let listener = lab.site.server.run(listen);
    let greeter = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 submission\r\n").unwrap();
    });
    watch_ports(lab, "25, 587");
    lab.judge(ZOMBIE, Standing::Listed);
    lab.until_greeted_by(RESPONDER, ZOMBIE);
    let source = Some(ZOMBIE.parse().unwrap());
    let mut client = Client::connect(&lab.site.world, source, submission, SOON).unwrap();
    assert_eq!(client.read_reply().unwrap().text, "submission");
    greeter.join().unwrap();
    watch_ports(lab, "587");
    lab.judge(ZOMBIE, Standing::Listed);
    assert_eq!(lab.greets(ZOMBIE), SERVER);
}

fn watch_ports(lab: &mut Lab, ports: &str) {
    let syslog = lab.site.path("syslog");
    let more = format!("answer = \"on\"\nsyslog = {syslog:?}\nports = [{ports}]");
    lab.site.configure(&more).unwrap();
    reload(lab);
}

/// After the kill, the gate still announces the responder, but the responder's sockets
/// are closed.
#[test]
fn a_controller_that_is_killed_steers_nobody() {
    let mut lab = Lab::new();
    lab.judge(ZOMBIE, Standing::Listed);
    assert_eq!(lab.greets(ZOMBIE), RESPONDER);
    lab.daemon.kill().unwrap();
    assert_eq!(lab.greets(ZOMBIE), SERVER);
    assert!(link(&lab.site).is_some());
}

#[test]
fn a_reload_switches_it_off_and_on() {
    let lab = &mut Lab::new();
    lab.judge(ZOMBIE, Standing::Listed);
    let (mut client, greeting) = greeted(&lab.site, ZOMBIE);
    assert_eq!(greeting, RESPONDER);
    configure(&lab.site, "off");
    reload(lab);
    assert_eq!(lab.greets(ZOMBIE), SERVER);
    let end = client.read_reply().unwrap();
    assert_eq!((end.code, end.text.as_str()), (421, "Going down."));
    client.expect_close(SOON).unwrap();
    assert_eq!(link(&lab.site), None);
    configure(&lab.site, "on");
    reload(lab);
    // The reload cleared the verdicts, because the blocklists may have changed.
    assert_eq!(lab.greets(ZOMBIE), SERVER);
    lab.judge(ZOMBIE, Standing::Listed);
    lab.until_greeted_by(RESPONDER, ZOMBIE);
    // A reload that does not concern the responder keeps its sessions.
    let (mut client, _) = greeted(&lab.site, ZOMBIE);
    reload(lab);
    assert_eq!(client.command("NOOP").unwrap().code, 250);
    lab.judge(ZOMBIE, Standing::Listed);
    lab.until_greeted_by(RESPONDER, ZOMBIE);
}

fn reload(lab: &mut Lab) {
    lab.daemon.signal(Signal::SIGHUP).unwrap();
    let read = |line: &str| line.contains("configuration read again");
    lab.daemon.wait_for(read, SOON).unwrap();
}

/// The first daemon is killed, so it leaves its link in place.
#[test]
fn a_new_start_replaces_the_program_behind_the_link() {
    let mut lab = Lab::new();
    lab.judge(ZOMBIE, Standing::Listed);
    let (program, id) = link(&lab.site).unwrap();
    lab.daemon.kill().unwrap();
    lab.daemon = lab.site.run().unwrap();
    let (later, same) = link(&lab.site).unwrap();
    assert!(
        later != program && same == id,
        "{program} {later} {id} {same}"
    );
    lab.judge(ZOMBIE, Standing::Listed);
    lab.until_greeted_by(RESPONDER, ZOMBIE);
}

#[test]
fn a_stop_ends_the_sessions_and_detach_leaves_nothing() {
    let mut lab = Lab::new();
    lab.judge(ZOMBIE, Standing::Listed);
    let (mut client, _) = greeted(&lab.site, ZOMBIE);
    lab.daemon.signal(Signal::SIGTERM).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 421);
    drop(client);
    assert!(lab.daemon.exit_status(SOON).unwrap().success());
    assert_eq!(lab.greets(ZOMBIE), SERVER);
    assert!(link(&lab.site).is_some());
    lab.site.spamdrop(&["detach"]).unwrap();
    assert_eq!(link(&lab.site), None);
    assert!(!lab.site.server.run(|| pin_dir().exists()));
    let namespace = lab.site.server.exec(["bpftool", "--json", "link", "show"]);
    let links: Value = serde_json::from_str(&namespace.unwrap()).unwrap();
    let all = links.as_array().unwrap();
    let inode = lab.site.server.run(|| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata("/proc/thread-self/ns/net").unwrap().ino()
    });
    assert!(all.iter().all(|link| link["netns_ino"] != inode), "{links}");
}

/// The loopback interface has no IPv6, so there is a socket for IPv4 only.
#[test]
fn without_ipv6_on_loopback_ipv4_is_answered() {
    let mut lab = Lab::new();
    lab.daemon.kill().unwrap();
    let key = "net.ipv6.conf.lo.disable_ipv6=1";
    lab.site.server.exec(["sysctl", "-w", key]).unwrap();
    lab.daemon = lab.site.run().unwrap();
    for source in [ZOMBIE, ZOMBIE6] {
        lab.judge(source, Standing::Listed);
    }
    lab.until_greeted_by(RESPONDER, ZOMBIE);
    assert_eq!(lab.greets(ZOMBIE6), SERVER);
    // The daemon, too, announces a responder for IPv4 only.
    lab.gate_writer.pause();
    until("the daemon to announce IPv4 alone", SOON, || {
        let gate = lab.gate_writer.gate_maps().gate()?;
        Ok((gate.responders == RESPONDER_IPV4).then_some(()))
    })
    .unwrap();
}

/// The link cannot be created, as on a kernel without sk_lookup: here a
/// directory is in its place.
#[test]
fn where_nobody_can_be_steered_the_rest_works() {
    let mut lab = Lab::new();
    lab.daemon.kill().unwrap();
    let blocked = pin_dir().join("answer_link");
    let there = blocked.clone();
    lab.site.server.run(move || {
        fs::remove_file(&there).unwrap();
        fs::create_dir(there).unwrap();
    });
    lab.daemon = lab.site.run().unwrap();
    let told = |line: &str| line.contains("the responder cannot run, so the mail server answers");
    lab.daemon.wait_for(told, SOON).unwrap();
    lab.judge(ZOMBIE, Standing::Listed);
    assert_eq!(lab.greets(ZOMBIE), SERVER);
    lab.site.spamdrop(&["add", ZOMBIE]).unwrap();
    let silence = Duration::from_millis(1500);
    assert!(lab.site.dropped(ZOMBIE, silence).unwrap());
    // On SIGHUP, the daemon tries again.
    lab.site.spamdrop(&["remove", ZOMBIE]).unwrap();
    lab.site
        .server
        .run(move || fs::remove_dir(blocked).unwrap());
    reload(&mut lab);
    lab.judge(ZOMBIE, Standing::Listed);
    lab.until_greeted_by(RESPONDER, ZOMBIE);
}

/// With a low limit of open files, the responder does not start, so nobody is
/// steered to it.
#[test]
fn where_there_is_no_room_the_mail_server_answers() {
    let mut lab = Lab::new();
    lab.daemon.kill().unwrap();
    let config = lab.site.path("spamdrop.toml");
    // The capability is dropped, because with it root could raise the limit.
    let command = "exec setpriv --bounding-set=-sys_resource \
                   prlimit --nofile=1024:1024 \"$0\" --config \"$1\" run";
    let args = [
        "-c",
        command,
        env!("CARGO_BIN_EXE_spamdrop"),
        config.to_str().unwrap(),
    ];
    let no_env: [(&str, &str); 0] = [];
    lab.daemon = Daemon::start(&lab.site.server, "sh", args, no_env).unwrap();
    let told =
        |line: &str| line.contains("the limit of open files leaves room for 0 connections only");
    lab.daemon.wait_for(told, SOON).unwrap();
    lab.judge(ZOMBIE, Standing::Listed);
    assert_eq!(lab.greets(ZOMBIE), SERVER);
}

/// The test goes on writing the gate, like a daemon that has not yet read the pause.
#[test]
fn while_the_responder_is_paused_every_sender_comes_to_the_mail_server() {
    let lab = Lab::new();
    for source in [ZOMBIE, ZOMBIE6] {
        lab.judge(source, Standing::Listed);
    }
    let pause = |time: &str| {
        let args = ["pause", time, "--layer", "responder"];
        lab.site.spamdrop(&args).unwrap();
    };
    pause("10m");
    for source in [ZOMBIE, ZOMBIE6] {
        assert_eq!(lab.greets(source), SERVER, "{source}");
    }
    lab.site.spamdrop(&["resume"]).unwrap();
    for source in [ZOMBIE, ZOMBIE6] {
        lab.until_greeted_by(RESPONDER, source);
    }
    // A pause also ends by itself.
    pause("2s");
    assert_eq!(lab.greets(ZOMBIE), SERVER);
    lab.until_greeted_by(RESPONDER, ZOMBIE);
    lab.site
        .spamdrop(&["pause", "10m", "--layer", "drop"])
        .unwrap();
    assert_eq!(lab.greets(ZOMBIE), RESPONDER);
}
