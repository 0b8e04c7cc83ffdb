//! DNS responses: only a listing makes a source listed.

use std::net::{IpAddr, Ipv4Addr};

use domain::base::Message;
use spamdrop::dnsbl::message::{addresses4, addresses6, names, texts};
use spamdrop_core::dnsbl::rule::Rule;
use spamdrop_core::dnsbl::zone::{Heard, Said, heard, said};

/// The start of a response about `9.b`, up to the class of its answer.
const START: &[u8] =
    b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0\x019\x01b\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01";
/// The TTL, and the length of an IPv4 address.
const LENGTH: &[u8] = b"\0\0\0\x3c\0\x04";

/// Two zones that reject, by any address and by 127.0.0.3 only, one whose effect is unsure,
/// and one that allows.
const ZONES: [&str; 4] = [
    "-block=b.example,BLOCK,*",
    "-block=b.example,BLOCK/127.0.0.3,no",
    "-block=b.example",
    "-allow=b.example",
];

/// Takes the bytes as a response, as the end of an answer, and the first four
/// as the address in an answer.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    check_message(data);
    check_message(&[START, data].concat());
    if let Some(address) = data.first_chunk::<4>() {
        let message = [START, LENGTH, address].concat();
        let read = Message::from_slice(&message).ok().map(addresses4);
        let values = read.and_then(Result::ok).map(|records| records.values);
        assert_eq!(values, Some(vec![Ipv4Addr::from(*address)]));
        check_message(&message);
    }
}

fn check_message(bytes: &[u8]) {
    let Ok(message) = Message::from_slice(bytes) else {
        return;
    };
    let _ = (addresses6(message), names(message));
    check_texts(&texts(message).map_or(Vec::new(), |records| records.values));
    let Ok(records) = addresses4(message) else {
        return;
    };
    // Records are only taken from an answer that is not truncated and whose
    // code is NOERROR or NXDOMAIN.
    assert!(bytes[2] & 0x82 == 0x80 && matches!(bytes[3] & 15, 0 | 3));
    let stands = |address: &Ipv4Addr| bytes.windows(4).any(|part| part == address.octets());
    assert!(records.values.iter().all(stands));
    for zone in ZONES {
        let rule = Rule::of_courier(zone.as_bytes()).expect("a zone");
        let listed = heard(&rule, &records.values) == Heard::Present;
        if listed && zone.starts_with("-block") {
            assert!(records.values.iter().all(|address| lists(address.octets())));
        }
        assert!(!(listed && records.values.is_empty()));
    }
}

fn lists(address: [u8; 4]) -> bool {
    match address {
        [127, 0, 0, 1] | [127, 255, 255, _] => false,
        [first, ..] => first == 127,
    }
}

fn check_texts(texts: &[Vec<u8>]) {
    let rule = Rule::of_courier(ZONES[0].as_bytes()).expect("a zone");
    let addr = IpAddr::from([192, 0, 2, 9]);
    if let Said::Yes(text) = said(&rule, addr, Some(texts)) {
        assert!(!text.is_empty() && text.len() <= 200);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert!(!text.contains("open resolver"));
    }
}
