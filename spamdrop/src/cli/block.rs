//! `add`, `remove`, `flush` and `import` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use spamdrop_core::duration;
use spamdrop_core::invalid::Invalid;
use spamdrop_core::lists::ListFormat;
use spamdrop_core::owners::EntryOwner;
use spamdrop_core::term::LONGEST;

/// Arguments of `add`.
#[derive(Debug, Args)]
pub struct Add {
    /// The sources to block.
    #[command(flatten)]
    pub addrs: Addrs,
    /// Duration of the block, such as 90s, 10m or 1d [default: `ttl` of the
    /// configuration]
    #[arg(long = "for", aliases = ["duration", "ttl"], value_name = "TIME", value_parser = term)]
    pub term: Option<Duration>,
    /// Let the block end after its duration, even if packets arrive
    #[arg(long)]
    pub fixed: bool,
    /// Also shorten blocks of this owner that last longer than the new ones; without
    /// the flag, they stay unchanged, and the command succeeds
    #[arg(long)]
    pub force: bool,
    /// Owner of the block: hand, import:NAME or f2b:JAIL; NAME alone is
    /// import:NAME [default: hand]
    #[arg(long, value_parser = owner)]
    pub owner: Option<EntryOwner>,
    /// Reason for `spamdrop show`, at most 200 bytes; not kept for IPv6 prefixes
    /// longer than /112
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Addresses, or `-`.
#[derive(Debug, Args)]
pub struct Addrs {
    /// Addresses or prefixes such as 192.0.2.1, 2001:db8::1 or 192.0.2.0/24;
    /// a single `-` reads them from standard input, one a line, where `#`
    /// starts a comment
    #[arg(required = true, value_name = "ADDR")]
    pub addrs: Vec<String>,
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The sources to unblock.
    #[command(flatten)]
    pub addrs: Addrs,
    /// Remove only the block that this owner wants; the entry stays as long as
    /// another owner wants it
    #[arg(long)]
    pub owner: Option<EntryOwner>,
}

/// Flags of `flush`.
#[derive(Debug, Args)]
pub struct Flush {
    /// Remove only the blocks that this owner wants; an entry stays as long as
    /// another owner wants it
    #[arg(long)]
    pub owner: Option<EntryOwner>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// File to read; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE")]
    pub file: PathBuf,
    /// Format of the file [default: recognized by its first line]
    #[arg(long)]
    pub format: Option<ImportFormat>,
    /// Duration for addresses without one in the file, such as 90s, 10m or 1d
    /// [default: `ttl` of the configuration]
    #[arg(long = "for", aliases = ["duration", "ttl"], value_name = "TIME", value_parser = term)]
    pub term: Option<Duration>,
    /// Let the blocks of addresses without a duration end after the time of `--for`,
    /// even if packets arrive
    #[arg(long)]
    pub fixed: bool,
    /// Owner of the blocks: hand, import:NAME or f2b:JAIL; NAME alone is
    /// import:NAME [default: hand]
    #[arg(long, value_parser = owner)]
    pub owner: Option<EntryOwner>,
    /// Also remove the owner's blocks of addresses that the file does not name
    ///
    /// A file without any address to block changes nothing (exit status 1): to remove
    /// all, use `flush --owner`.
    #[arg(long, requires = "owner")]
    pub replace: bool,
}

/// Formats that `import` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// An address or prefix a line; `#` and `;` start comments
    Lines,
    /// drop_v4.json and drop_v6.json of Spamhaus
    SpamhausJson,
    /// `ipset save NAME`
    Ipset,
    /// `nft list set FAMILY TABLE NAME`
    Nft,
    /// `nft -j list set FAMILY TABLE NAME`
    NftJson,
    /// `fail2ban-client get JAIL banip --with-time`
    Fail2ban,
}

impl From<ImportFormat> for ListFormat {
    fn from(format: ImportFormat) -> Self {
        match format {
            ImportFormat::Lines => Self::Lines,
            ImportFormat::SpamhausJson => Self::SpamhausJson,
            ImportFormat::Ipset => Self::Ipset,
            ImportFormat::Nft => Self::Nft,
            ImportFormat::NftJson => Self::NftJson,
            ImportFormat::Fail2ban => Self::Fail2ban,
        }
    }
}

/// Reads the owner of a new block. Refuses the owners of the daemon's own blocks, and an
/// owner whose name is lost.
fn owner(text: &str) -> Result<EntryOwner, Invalid> {
    match text.parse()? {
        EntryOwner::Log | EntryOwner::Fifo | EntryOwner::Unnamed(_) => Err(Invalid::new(
            "log and fifo are the owners of the daemon's own blocks, and an owner whose name is lost gets no new ones; give hand, import:NAME, f2b:JAIL or NAME",
        )),
        owner => Ok(owner),
    }
}

/// Reads the duration of a block or of an entry of the allowlist.
pub(super) fn term(text: &str) -> Result<Duration, String> {
    let term = duration::parse(text).map_err(|error| error.to_string())?;
    if term.subsec_nanos() != 0 || term.is_zero() || term > LONGEST {
        return Err("give whole seconds, from 1s to 10 years".into());
    }
    Ok(term)
}
