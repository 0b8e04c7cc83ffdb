//! Look-ups of many sources at once, and slow or failing name servers.

use super::*;

#[test]
fn a_source_is_asked_about_once() {
    let lab = Lab::new(listed());
    let mut lookups = lookups(&ZONES, &[lab.stub.addr()]);
    let addr: IpAddr = ADDR.parse().unwrap();
    let servers = [lab.stub.addr()];
    block_on(async move {
        assert_eq!(lookups.texts()(addr), None);
        assert_eq!(lookups.ask(addr, Urgency::Waiting), Asked::Started);
        assert_eq!(lookups.ask(addr, Urgency::Waiting), Asked::UnderWay);
        assert_eq!(
            lookups.ask("::ffff:192.0.2.9".parse().unwrap(), Urgency::Waiting),
            Asked::UnderWay
        );
        let first = lookups.next().await;
        let Asked::Known(again) = lookups.ask(addr, Urgency::Waiting) else {
            panic!("not remembered");
        };
        assert!(again.ttl <= first.ttl);
        assert_eq!(again.text, first.text);
        assert_eq!(lookups.texts()(addr), first.text);
        lookups.reconfigure(rules(&["none.example"]), Resolver::new(&servers), 0);
        assert_eq!(lookups.texts()(addr), None);
        assert_eq!(lookups.ask(addr, Urgency::Waiting), Asked::Started);
        assert_eq!(lookups.next().await.standing, Some(Standing::Unnamed));
    });
    assert_eq!(lab.stub.asked(QUESTION, Rtype::A), 1);
    assert_eq!(lab.stub.asked(QUESTION, Rtype::TXT), 1);
}

#[test]
fn a_flood_of_sources_is_not_asked_about() {
    let lab = Lab::new(vec![]);
    let mut lookups = lookups(&["b.example"], &[lab.stub.addr()]);
    let started = block_on(async move {
        let began = Instant::now();
        let mut started = 0;
        for number in 0..5_000_u32 {
            match lookups.ask(IpAddr::V4((0xc633_0000 + number).into()), Urgency::Waiting) {
                Asked::Started => started += 1,
                asked => assert_eq!(asked, Asked::TooMany),
            }
        }
        let most = 50 + began.elapsed().as_millis() / 20 + 1;
        for _ in 0..started {
            assert_eq!(lookups.next().await.standing, Some(Standing::Unnamed));
        }
        assert!((50..=most).contains(&started), "{started}");
        started
    });
    // Each source needs two questions, for the zone and for the host name.
    assert_eq!(lab.stub.questions() as u128, 2 * started);
}

#[test]
fn waiting_can_be_broken_off() {
    let mut table = listed();
    let late = table[0].2.clone();
    table[0].2 = Reply::After(Duration::from_millis(300), Box::new(late));
    let lab = Lab::new(table);
    let mut lookups = lookups(&["b.example,BLOCK,*"], &[lab.stub.addr()]);
    let (answer, broken): (LookupAnswer, u32) = block_on(async move {
        assert_eq!(
            lookups.ask(ADDR.parse().unwrap(), Urgency::Waiting),
            Asked::Started
        );
        for broken in 0..1_000 {
            let next = timeout(Duration::from_millis(10), lookups.next());
            if let Ok(answer) = next.await {
                return (answer, broken);
            }
        }
        panic!("the answer is lost");
    });
    assert_eq!(answer.standing, Some(Standing::Listed));
    assert!(broken > 3, "{broken}");
    assert_eq!(lab.stub.questions(), 2);
}

/// A look-up before the end of the first test would give no verdict, and that answer
/// would be kept.
#[test]
fn nobody_is_asked_about_before_the_zones_were_tested() {
    let tested = Reply::a([127, 0, 0, 2]);
    let late = Reply::After(Duration::from_millis(300), Box::new(tested));
    let test = ("2.0.0.127.b.example", Rtype::A, late);
    let lab = Lab::new([listed(), vec![test]].concat());
    let mut lookups = lookups(&["b.example"], &[lab.stub.addr()]);
    let addr: IpAddr = ADDR.parse().unwrap();
    let answer = block_on(async move {
        lookups.test_zones();
        assert_eq!(lookups.ask(addr, Urgency::Waiting), Asked::Untested);
        for _ in 0..1_000 {
            let next = timeout(Duration::from_millis(10), lookups.next());
            if let Ok(answer) = next.await {
                return answer;
            }
            lookups.ask(addr, Urgency::Waiting);
        }
        panic!("the zone was never tested");
    });
    assert_eq!(answer.standing, Some(Standing::Listed));
    assert_eq!(lab.stub.asked(QUESTION, Rtype::A), 1);
}

#[test]
fn nobody_is_asked_about_for_longer_than_five_seconds() {
    let silent = |_: &str, _| Reply::Silence;
    let stubs = [(); 3].map(|()| DnsStub::start_here(silent).unwrap());
    let servers = stubs.each_ref().map(DnsStub::addr);
    let began = Instant::now();
    let answer = run(
        lookups(&["b.example"], &servers),
        vec![ADDR.parse().unwrap()],
    );
    let took = began.elapsed();
    assert!((4900..6500).contains(&took.as_millis()), "{took:?}");
    assert_eq!((answer[0].standing, answer[0].ttl), (None, RETRY));
    assert!(
        stubs.iter().all(
            |stub| stub.asked(QUESTION, Rtype::A) == 1 + usize::from(stub.addr() == servers[0])
        )
    );
}

#[test]
fn another_name_server_is_asked_where_one_fails() {
    for reply in [
        Reply::Silence,
        Reply::Code(Rcode::SERVFAIL),
        Reply::Garbage(b"\x00\x01\xff".to_vec()),
    ] {
        let lab = Lab::new(listed());
        let bad = DnsStub::start_here(move |_, _| reply.clone()).unwrap();
        let servers = [bad.addr(), lab.stub.addr()];
        let answers = run(
            lookups(&["b.example"], &servers),
            vec![ADDR.parse().unwrap()],
        );
        assert_eq!(answers[0].standing, Some(Standing::Listed));
    }
    // Nothing listens on port 9.
    let lab = Lab::new(listed());
    let nobody = "127.0.0.54:9".parse().unwrap();
    let servers = [nobody, lab.stub.addr()];
    let answers = run(
        lookups(&["b.example"], &servers),
        vec![ADDR.parse().unwrap()],
    );
    assert_eq!(answers[0].standing, Some(Standing::Listed));
}

#[test]
fn a_blocklist_that_refuses_is_not_asked_for_a_while() {
    let lab = Lab::new(vec![
        (QUESTION, Rtype::A, Reply::a([127, 255, 255, 254])),
        ("10.2.0.192.b.example", Rtype::A, Reply::a([127, 0, 0, 2])),
        ("10.2.0.192.c.example", Rtype::A, Reply::a([127, 0, 0, 2])),
    ]);
    let mut lookups = lookups(&["b.example", "c.example"], &[lab.stub.addr()]);
    let servers = [lab.stub.addr()];
    block_on(async move {
        let mut learn = async |last: u8| {
            let addr = IpAddr::from([192, 0, 2, last]);
            assert_eq!(lookups.ask(addr, Urgency::Waiting), Asked::Started);
            let answer = lookups.next().await;
            (answer.standing, answer.zone, answer.ttl.as_secs())
        };
        assert_eq!(learn(9).await, (None, 0, 15));
        // The other zone may still list a source. If it does not, that carries
        // no information, because the first zone was not asked.
        assert_eq!(learn(10).await, (Some(Standing::Listed), 1, 300));
        assert_eq!(learn(11).await, (None, 0, 120));
        let trouble = lookups.refusals().trouble().unwrap();
        let start = "b.example answered 127.255.255.254, so";
        assert!(trouble.starts_with(start), "{trouble}");
        // A reload clears the warning, because the cause may have been fixed.
        let zones = rules(&["b.example"]);
        lookups.reconfigure(zones, Resolver::new(&servers), 0);
        assert_eq!(lookups.refusals().trouble(), None);
    });
    assert_eq!(lab.stub.asked("10.2.0.192.b.example", Rtype::A), 0);
    assert_eq!(lab.stub.asked("11.2.0.192.b.example", Rtype::A), 0);
    assert_eq!(lab.stub.asked("11.2.0.192.c.example", Rtype::A), 1);
}

#[test]
fn a_spent_day_ends_the_questions() {
    let lab = Lab::new(listed());
    let zones = rules(&["b.example"]);
    let mut lookups = Lookups::new(zones, Resolver::new(&[lab.stub.addr()]), 10);
    block_on(async move {
        let addr: IpAddr = ADDR.parse().unwrap();
        assert_eq!(lookups.ask(addr, Urgency::Waiting), Asked::Started);
        assert!(!lookups.is_spent());
        let other = "192.0.2.10".parse().unwrap();
        assert_eq!(lookups.ask(other, Urgency::Waiting), Asked::TooMany);
        assert!(lookups.is_spent());
        // A known verdict needs no question.
        lookups.next().await;
        assert!(matches!(
            lookups.ask(addr, Urgency::Waiting),
            Asked::Known(_)
        ));
    });
}

/// Three questions without an answer show that the server is silent; after
/// that, no source waits for it.
#[test]
fn a_silent_name_server_is_asked_last() {
    let lab = Lab::new(vec![]);
    let silent = DnsStub::start_here(|_, _| Reply::Silence).unwrap();
    let mut lookups = lookups(&["b.example"], &[silent.addr(), lab.stub.addr()]);
    let (first, later) = block_on(async move {
        let mut learn = async |sources: std::ops::Range<u8>| {
            let began = Instant::now();
            for last in sources.clone() {
                let addr = IpAddr::from([192, 0, 2, last]);
                assert_eq!(lookups.ask(addr, Urgency::Waiting), Asked::Started);
            }
            for _ in sources {
                assert_eq!(lookups.next().await.standing, Some(Standing::Unnamed));
            }
            began.elapsed()
        };
        (learn(0..3).await, learn(3..40).await)
    });
    assert!(first >= Duration::from_millis(1500), "{first:?}");
    assert!(later < Duration::from_millis(1500), "{later:?}");
    assert!(silent.questions() <= 6, "{}", silent.questions());
    assert_eq!(lab.stub.asked("39.2.0.192.b.example", Rtype::A), 1);
}
