//! The key of a target in a table.

use std::net::IpAddr;

use ipnet::IpNet;
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use spamdrop_core::target::Target;

/// The key of an entry: a byte for the kind of target, the address, and the length of
/// a prefix. Keys have the order of their targets.
pub(super) fn key(target: &Target) -> Vec<u8> {
    let with_length = |kind: u8, addr: &[u8], net: &IpNet| {
        let mut bytes = [&[kind], addr].concat();
        bytes.push(net.prefix_len());
        bytes
    };
    match target {
        Target::V4(bytes) => [&[0], &bytes[..]].concat(),
        Target::V6(bytes) => [&[1], &bytes[..]].concat(),
        Target::V6Address(bytes) => [&[2], &bytes[..]].concat(),
        Target::Net(net) => match net.addr() {
            IpAddr::V4(addr) => with_length(3, &addr.octets(), net),
            IpAddr::V6(addr) => with_length(4, &addr.octets(), net),
        },
    }
}

fn parse(key: &[u8]) -> Option<Target> {
    let (kind, bytes) = key.split_first()?;
    let prefix = |addr: IpAddr, length: &u8| IpNet::new(addr, *length).ok().map(Target::Net);
    match kind {
        0 => bytes.try_into().ok().map(Target::V4),
        1 => bytes.try_into().ok().map(Target::V6),
        2 => bytes.try_into().ok().map(Target::V6Address),
        3 => {
            let (length, addr) = bytes.split_last()?;
            prefix(<[u8; 4]>::try_from(addr).ok()?.into(), length)
        }
        4 => {
            let (length, addr) = bytes.split_last()?;
            prefix(<[u8; 16]>::try_from(addr).ok()?.into(), length)
        }
        _ => None,
    }
}

/// The target whose key is in a column.
pub(super) fn target(row: &Row<'_>, column: usize) -> Result<Target> {
    parse(row.get_ref(column)?.as_blob()?).ok_or_else(|| {
        Error::FromSqlConversionFailure(column, Type::Blob, "it is no address or prefix".into())
    })
}
