//! Reads the records from a DNS response. A message that cannot be parsed, or
//! that is no answer, is a failure and never counts as "no such name".

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use domain::base::iana::OptRcode;
use domain::base::message::Message;
use domain::base::name::{FlattenInto as _, ParsedName};
use domain::base::rdata::ParseRecordData;
use domain::rdata::{A, Aaaa, Ptr, Soa, Txt};

use spamdrop_core::dnsbl::response::{DnsRecords, QueryFailure};

use super::question::Name;

/// The A records of the queried name.
pub fn addresses4(message: &Message<[u8]>) -> Result<DnsRecords<Ipv4Addr>, QueryFailure> {
    records(message, |data: A| Some(data.addr()))
}

/// The AAAA records of the queried name.
pub fn addresses6(message: &Message<[u8]>) -> Result<DnsRecords<Ipv6Addr>, QueryFailure> {
    records(message, |data: Aaaa| Some(data.addr()))
}

/// The TXT records of the queried name; the strings of one record are
/// concatenated.
pub fn texts(message: &Message<[u8]>) -> Result<DnsRecords<Vec<u8>>, QueryFailure> {
    records(message, |data: Txt<&[u8]>| {
        Some(data.iter().collect::<Vec<_>>().concat())
    })
}

/// The PTR records of the queried name.
pub fn names(message: &Message<[u8]>) -> Result<DnsRecords<Name>, QueryFailure> {
    records(message, |data: Ptr<ParsedName<&[u8]>>| {
        data.into_ptrdname().try_flatten_into().ok()
    })
}

fn records<'a, Data: ParseRecordData<'a, [u8]>, T>(
    message: &'a Message<[u8]>,
    value: impl Fn(Data) -> Option<T>,
) -> Result<DnsRecords<T>, QueryFailure> {
    let code = message.opt_rcode();
    if code != OptRcode::NOERROR && code != OptRcode::NXDOMAIN {
        return Err(QueryFailure::Code(code.to_int()));
    }
    if !message.header().qr() || message.header().tc() {
        return Err(QueryFailure::Broken);
    }
    let name = message.canonical_name().ok_or(QueryFailure::Broken)?;
    let answer = message.answer().map_err(|_| QueryFailure::Broken)?;
    let (mut values, mut ttl) = (Vec::new(), None);
    for record in answer.limit_to_in::<Data>() {
        let record = record.map_err(|_| QueryFailure::Broken)?;
        if *record.owner() == name {
            let (kept, its) = (ttl, record.ttl().into_duration());
            ttl = Some(kept.map_or(its, |kept: Duration| kept.min(its)));
            values.push(value(record.into_data()).ok_or(QueryFailure::Broken)?);
        }
    }
    if !values.is_empty() && code == OptRcode::NXDOMAIN {
        return Err(QueryFailure::Broken);
    }
    Ok(DnsRecords {
        values,
        ttl: ttl.or_else(|| absent_for(message)).unwrap_or_default(),
    })
}

/// How long the absence of a record may be cached (RFC 2308 section 5); `None`: the
/// response does not say so.
fn absent_for(message: &Message<[u8]>) -> Option<Duration> {
    let authority = message.authority().ok()?;
    let mut soas = authority.limit_to_in::<Soa<ParsedName<&[u8]>>>();
    let record = soas.next()?.ok()?;
    Some(record.ttl().min(record.data().minimum()).into_duration())
}
