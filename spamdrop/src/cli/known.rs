//! `known` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Addrs, OutputFormat};

/// The commands of `known`.
#[derive(Debug, Subcommand)]
pub enum KnownVerb {
    /// Show the known senders
    #[command(alias = "ls")]
    List(KnownList),
    /// Make hosts known at once: addresses, or the /64 of an IPv6 pool
    Add(Addrs),
    /// Discard the evidence for hosts: only new evidence or `add` makes them known again
    #[command(aliases = ["rm", "del"])]
    Remove(Addrs),
    /// Make the hosts in a file known, one address a line
    Import(KnownImport),
}

/// Flags of `known list`.
#[derive(Clone, Copy, Debug, Args)]
pub struct KnownList {
    /// Also show sources with too little evidence, and demoted ones
    #[arg(long)]
    pub all: bool,
    /// Output format.
    #[command(flatten)]
    pub output: OutputFormat,
}

/// Arguments of `known import`.
#[derive(Debug, Args)]
pub struct KnownImport {
    /// File to read, in which `#` starts a comment; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
