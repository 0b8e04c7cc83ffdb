//! The stand-in for a DNS blocklist: a file.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result};
use ipnet::IpNet;

/// Whether a line of `path` contains `peer`; an IPv4 peer is IPv4-mapped.
///
/// # Errors
///
/// The file cannot be read, or a line before the matching one is neither an
/// address nor a prefix.
pub fn is_listed(path: &Path, peer: Ipv6Addr) -> Result<bool> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        text => text.with_context(|| path.display().to_string())?,
    };
    let peer = peer.to_canonical();
    for line in text.lines() {
        if prefix(line)
            .with_context(|| format!("{}: {line:?}", path.display()))?
            .contains(&peer)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn prefix(line: &str) -> Result<IpNet> {
    if line.contains('/') {
        return Ok(line.parse()?);
    }
    Ok(line.parse::<IpAddr>()?.into())
}
