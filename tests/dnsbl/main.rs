//! DNS look-ups with a name server whose answers the test chooses. Nothing here
//! needs root: the name server listens on the loopback address.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod lookups;
mod verbs;

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use spamdrop::dnsbl::{Asked, LookupAnswer, Lookups, Resolver};
use spamdrop_common::gate::Standing;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::dnsbl::RETRY;
use spamdrop_core::dnsbl::rate_limit::Urgency;
use spamdrop_core::dnsbl::rule::Rule;
use spamdrop_core::zones::Zones;
use spamdrop_lab::dns::{Data, DnsStub, Rcode, Reply, Rtype};
use tokio::time::timeout;

const ZONES: [&str; 2] = ["allow:w.example", "b.example,BLOCK,*"];
const ADDR: &str = "192.0.2.9";
const QUESTION: &str = "9.2.0.192.b.example";
const REVERSE: &str = "9.2.0.192.in-addr.arpa";

type Table = Vec<(&'static str, Rtype, Reply)>;

/// A name server that answers from a table; every other name does not exist.
struct Lab {
    stub: DnsStub,
}

impl Lab {
    fn new(table: Table) -> Self {
        let known = |(name, kind, reply): (&str, Rtype, Reply)| ((name.to_owned(), kind), reply);
        let known: HashMap<_, _> = table.into_iter().map(known).collect();
        let stub = DnsStub::start_here(move |name, kind| {
            let reply = known.get(&(name.to_owned(), kind)).cloned();
            reply.unwrap_or(Reply::Absent(120))
        });
        Self {
            stub: stub.unwrap(),
        }
    }

    /// Looks up one source in these zones.
    fn learn(&self, zones: &[&str], addr: &str) -> LookupAnswer {
        let addrs = vec![addr.parse().unwrap()];
        let lookups = lookups(zones, &[self.stub.addr()]);
        run(lookups, addrs).remove(0)
    }

    /// Runs spamdrop with a configuration in `dir`.
    fn spamdrop(&self, dir: &Path, args: &[&str]) -> Output {
        self.spamdrop_with(dir, "", args)
    }

    /// As [`Lab::spamdrop`], with more in the configuration.
    fn spamdrop_with(&self, dir: &Path, more: &str, args: &[&str]) -> Output {
        let resolv_conf = format!("nameserver {}\n", self.stub.addr());
        fs::write(dir.join("resolv.conf"), resolv_conf).unwrap();
        let config = format!(
            "interfaces = [\"lo\"]\nlogs = [\"-\"]\ncourier_dir = {dir:?}\nresolv_conf = {:?}\n{more}",
            dir.join("resolv.conf")
        );
        fs::write(dir.join("spamdrop.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_spamdrop"));
        command.env_remove("RUST_LOG").args(args).arg("--config");
        command.arg(dir.join("spamdrop.toml"));
        command.output().unwrap()
    }
}

fn run(mut lookups: Lookups, addrs: Vec<IpAddr>) -> Vec<LookupAnswer> {
    block_on(async move {
        let mut answers = Vec::new();
        for addr in &addrs {
            assert_eq!(lookups.ask(*addr, Urgency::Waiting), Asked::Started);
        }
        for _ in addrs {
            answers.push(lookups.next().await);
        }
        answers
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}

fn lookups(zones: &[&str], servers: &[SocketAddr]) -> Lookups {
    Lookups::new(rules(zones), Resolver::new(servers), 0)
}

fn rules(zones: &[&str]) -> Zones {
    let rules = zones.iter().map(|zone| Rule::of_config(zone).unwrap());
    Zones::new(rules.collect())
}

fn listed() -> Table {
    vec![
        (QUESTION, Rtype::A, Reply::a([127, 0, 0, 4])),
        (QUESTION, Rtype::TXT, Reply::txt("Listed, see b.example")),
    ]
}

#[test]
fn a_listed_source_is_told_the_zones_text() {
    let lab = Lab::new(listed());
    let answer = lab.learn(&ZONES, ADDR);
    let expected = LookupAnswer {
        addr: ADDR.parse().unwrap(),
        standing: Some(Standing::Listed),
        zone: 1,
        text: Some("Listed, see b.example".into()),
        ttl: Duration::from_secs(300),
    };
    assert_eq!(answer, expected);
    let verdict = answer.verdict(MonotonicNs::from_ns(7)).unwrap();
    assert_eq!(verdict.until.ns(), 300_000_000_007);
    assert_eq!(
        (verdict.standing, verdict.zone),
        (Standing::Listed as u32, 1)
    );
    // The host name of a listed source is not looked up.
    assert_eq!(lab.stub.asked(REVERSE, Rtype::PTR), 0);
}

/// A code at the start of a text is removed: the sender receives a 511, because only a
/// 511 in the log is recognised.
#[test]
fn a_texts_own_code_is_not_told() {
    let text = Reply::txt("550 Go away");
    let lab = Lab::new(vec![listed().remove(0), (QUESTION, Rtype::TXT, text)]);
    let by = |zone: &str| lab.learn(&[zone], ADDR).text.unwrap();
    assert_eq!(*by("b.example,BLOCK,*"), *"Go away");
    assert_eq!(*by("b.example,BLOCK,554 You, too"), *"You, too");
}

#[test]
fn an_ipv6_source_and_an_alias() {
    let question = "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.b.example";
    let alias = Reply::Records(
        90,
        vec![
            Data::Cname("elsewhere.example".into()),
            Data::A([127, 0, 0, 2].into()),
        ],
    );
    let lab = Lab::new(vec![(question, Rtype::A, alias)]);
    let answer = lab.learn(&["b.example"], "2001:db8::9");
    assert_eq!(answer.standing, Some(Standing::Listed));
    assert_eq!(answer.text.as_deref(), Some("Blacklisted by b.example"));
    assert_eq!(answer.ttl.as_secs(), 90);
}

#[test]
fn an_allow_list_spares_a_listed_source() {
    let mut table = listed();
    table.push(("9.2.0.192.w.example", Rtype::A, Reply::a([127, 0, 9, 2])));
    let answer = Lab::new(table).learn(&ZONES, ADDR);
    assert_eq!(answer.standing, Some(Standing::Unnamed));
    assert_eq!(answer.text, None);
}

/// Replies that show neither a listing nor the absence of one.
fn failures() -> Vec<Reply> {
    let records = |octets: &[[u8; 4]]| {
        let records = octets.iter().map(|octets| Data::A((*octets).into()));
        Reply::Records(300, records.collect())
    };
    vec![
        Reply::Code(Rcode::SERVFAIL),
        Reply::Code(Rcode::REFUSED),
        Reply::Code(Rcode::FORMERR),
        Reply::Code(Rcode::NOTIMP),
        Reply::Truncated,
        records(&[[127, 0, 0, 1]]),
        records(&[[127, 255, 255, 254]]),
        records(&[[127, 0, 0, 2], [127, 255, 255, 255]]),
        records(&[[192, 0, 2, 80]]),
    ]
}

#[test]
fn what_is_no_answer_gives_no_verdict() {
    for reply in failures() {
        let shown = format!("{reply:?}");
        let mut table = listed();
        table[0].2 = reply;
        let answer = Lab::new(table).learn(&ZONES, ADDR);
        assert_eq!((answer.standing, answer.text), (None, None), "{shown}");
        assert_eq!(answer.ttl, RETRY, "{shown}");
    }
}

#[test]
fn a_text_that_complains_or_fails_or_defers_gives_no_verdict() {
    for reply in [
        Reply::txt("Error: open resolver; https://b.example/returnc/x"),
        Reply::Code(Rcode::SERVFAIL),
        Reply::txt("450 come back"),
    ] {
        let shown = format!("{reply:?}");
        let mut table = listed();
        table[1].2 = reply;
        let answer = Lab::new(table).learn(&ZONES, ADDR);
        assert_eq!((answer.standing, answer.text), (None, None), "{shown}");
    }
}

#[test]
fn a_zone_that_fails_hides_no_other() {
    let mut table = listed();
    let other = "9.2.0.192.c.example";
    table.push((other, Rtype::A, Reply::Code(Rcode::SERVFAIL)));
    let lab = Lab::new(table);
    let answer = lab.learn(&["c.example", "b.example"], ADDR);
    assert_eq!(answer.standing, Some(Standing::Listed));
    assert_eq!(answer.zone, 1);
    // A failing allow-list hides the listing, because it might have allowed the source.
    let answer = lab.learn(&["allow:c.example", "b.example"], ADDR);
    assert_eq!(answer.standing, None);
}

#[test]
fn names_tell_the_unlisted_apart() {
    let addr = [192, 0, 2, 9];
    let with = |ptr: Reply, name: &'static str, forward: Reply| {
        let table = vec![(REVERSE, Rtype::PTR, ptr), (name, Rtype::A, forward)];
        let answer = Lab::new(table).learn(&ZONES, ADDR);
        assert_eq!((answer.zone, answer.text), (0, None));
        (answer.standing.unwrap(), answer.ttl.as_secs())
    };
    let mail = "mail.example.org";
    let ptr = || Reply::ptr("mail.example.org");
    // The negative TTL of the zones is 120 s.
    assert_eq!(
        with(ptr(), mail, Reply::a(addr)),
        (Standing::Confirmed, 120)
    );
    assert_eq!(
        with(ptr(), mail, Reply::a([192, 0, 2, 8])).0,
        Standing::Unnamed
    );
    assert_eq!(with(ptr(), mail, Reply::Absent(9)).0, Standing::Unnamed);
    assert_eq!(
        with(Reply::Absent(9), mail, Reply::a(addr)).0,
        Standing::Unnamed
    );
    let generic = "192-0-2-9.dsl.example.org";
    assert_eq!(
        with(Reply::ptr(generic), generic, Reply::a(addr)).0,
        Standing::Unnamed
    );
    let failed = || Reply::Code(Rcode::SERVFAIL);
    assert_eq!(
        with(failed(), mail, Reply::a(addr)),
        (Standing::Unlisted, 60)
    );
    assert_eq!(with(ptr(), mail, failed()), (Standing::Unlisted, 60));
    let two = vec![Data::Ptr(generic.into()), Data::Ptr(mail.into())];
    let two = Reply::Records(300, two);
    assert_eq!(with(two, mail, Reply::a(addr)).0, Standing::Confirmed);
}

#[test]
fn an_ipv6_name_is_confirmed_by_its_ipv6_addresses() {
    let reverse = "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    let addr = Data::Aaaa("2001:db8::9".parse().unwrap());
    let lab = Lab::new(vec![
        (reverse, Rtype::PTR, Reply::ptr("mail.example.org")),
        (
            "mail.example.org",
            Rtype::AAAA,
            Reply::Records(9, vec![addr]),
        ),
    ]);
    let answer = lab.learn(&ZONES, "2001:db8::9");
    assert_eq!(answer.standing, Some(Standing::Confirmed));
}
