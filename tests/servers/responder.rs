//! The responder beside Postfix (which logs to journald here), postscreen and Exim. It
//! starts only if port 25 offers no AUTH by the server's settings.

use std::net::IpAddr;

use spamdrop::clock;
use spamdrop::kernel::blocklist::GateMaps;
use spamdrop_common::gate::{RESPONDER_IPV4, RESPONDER_IPV6, Standing, Verdict};

use super::*;

const ANSWER: &str = "answer = \"on\"";

#[test]
fn the_responder_does_not_start_where_port_25_offers_auth() {
    with_each(|software| {
        let site = site(software, |options| options.auth = true);
        site.configure(ANSWER).unwrap();
        let error = site.run().err().unwrap();
        let setting = match software {
            Software::Postfix | Software::Postscreen => "smtpd_sasl_auth_enable = yes",
            Software::Exim => "authenticators, and the default of auth_advertise_hosts",
        };
        let words = format!("port 25 offers AUTH ({setting})");
        assert!(format!("{error:#}").contains(&words), "{error:#}");
    });
}

#[test]
fn the_responder_refuses_a_listed_sender_and_the_line_of_it_blocks() {
    with_each(|software| {
        let site = site(software, |options| {
            options.journal = software == Software::Postfix;
        });
        site.configure(ANSWER).unwrap();
        let _daemon = site.run().unwrap();
        judge(&site, ZOMBIE);
        let mut client = site.connect(ZOMBIE).unwrap();
        let reply = client.reject_session().unwrap();
        assert_eq!(reply.code, 511, "{reply:?}");
        wait_for_state(&site, ZOMBIE, "open").unwrap();
        assert_eq!(client.quit().unwrap().code, 221);
        drop(client);
        wait_for_state(&site, ZOMBIE, "sealed").unwrap();
        let log = site.smtpd.log(&site.server).unwrap();
        let of_zombie = log.lines().filter(|line| line.contains(ZOMBIE));
        let of_zombie: Vec<_> = of_zombie.collect();
        assert!(
            of_zombie.iter().all(|line| line.contains(" courieresmtpd")),
            "{of_zombie:?}"
        );
    });
}

/// Sets the verdict that a look-up would give.
fn judge(site: &RealSite, source: &str) {
    let source: IpAddr = source.parse().unwrap();
    let open = || GateMaps::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
    let mut gate_maps = site.server.run(open);
    until("the responder to listen", SOON, || {
        let responders = gate_maps.gate()?.responders;
        Ok((responders == RESPONDER_IPV4 | RESPONDER_IPV6).then_some(()))
    })
    .unwrap();
    let verdict = Verdict {
        host: 0,
        until: clock::monotonic_ns().plus(Duration::from_secs(60)),
        standing: Standing::Listed as u32,
        zone: 0,
    };
    gate_maps.set_verdict(source.into(), verdict).unwrap();
}
