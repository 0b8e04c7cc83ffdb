//! The checks of Courier's tests, with Postfix and Exim.

use super::*;

#[test]
fn a_polite_sender_hears_its_rejection_and_221_and_is_dropped_from_then_on() {
    with_each(|software| {
        let site = site(software, |_| {});
        let _daemon = site.run().unwrap();
        with_all(&[ZOMBIE, ZOMBIE6], |source| {
            polite(&site, source, refused(&site, software, source)).unwrap();
        });
        deliver(&site, CLEAN).unwrap();
        deliver(&site, CLEAN6).unwrap();
    });
}

#[test]
fn a_rude_sender_hears_its_rejection_and_its_slot_is_free_after_the_grace() {
    with_each(|software| {
        let site = site(software, |_| {});
        let _daemon = site.run().unwrap();
        with_all(&[ZOMBIE, ZOMBIE6], |source| {
            rude(&site, source, refused(&site, software, source)).unwrap();
        });
    });
}

#[test]
fn a_message_to_a_good_and_a_bad_recipient_is_delivered_and_blocks_nobody() {
    with_each(|software| {
        let site = site(software, |_| {});
        let daemon = site.run().unwrap();
        for source in [CLEAN, CLEAN6] {
            let mut client = greeted(&site, source, "a@friend.example").unwrap();
            assert_eq!(client.rcpt(RECIPIENT).unwrap().code, 250);
            let bad = client.rcpt("stranger@here.example").unwrap();
            assert!((500..600).contains(&bad.code), "{bad:?}");
            assert_eq!(client.data("Subject: x\r\n\r\nhello").unwrap().code, 250);
            assert_eq!(client.quit().unwrap().code, 221);
        }
        until("both messages", SOON, || {
            Ok((site.smtpd.delivered(&site.server)? == 2).then_some(()))
        })
        .unwrap();
        // The log is read in order, so all earlier lines have been read when
        // this sender is blocked.
        let _zombie = refused(&site, software, ZOMBIE);
        wait_for_state(&site, ZOMBIE, "open").unwrap();
        assert_eq!(entries(&site).unwrap().len(), 1, "{}", daemon.output());
    });
}

/// Postfix logs the blocklist's text or answer. Exim logs only the first line of its
/// message, which has neither, so the daemon's test of the zone finds the refusal.
#[test]
fn a_blocklist_that_refuses_the_query_blocks_nobody() {
    with_each(|software| {
        let site = site(software, everybody);
        let daemon = site.run().unwrap();
        if software == Software::Exim {
            let refused = |line: &str| line.contains("zone.example answered 127.255.255.254");
            daemon.wait_for(refused, 5 * SOON).unwrap();
        }
        for source in [CLEAN, CLEAN6, ZOMBIE] {
            let mut client = greeted(&site, source, "a@friend.example").unwrap();
            assert!(client.rcpt(RECIPIENT).unwrap().code >= 500);
            daemon
                .wait_for(|line| line.contains("not blocked"), SOON)
                .unwrap();
        }
        assert_eq!(entries(&site).unwrap(), [] as [Value; 0]);
    });
}

fn everybody(options: &mut Options) {
    options.listed4 = vec!["0.0.0.0/1".into(), "128.0.0.0/1".into()];
    options.listed6 = vec!["::/0".into()];
    let text = "Error: open resolver; https://check.zone.example/returnc/$";
    options.answer = ("127.255.255.254".into(), text.into());
}
