//! The settings and results of a dry run.

use std::net::IpAddr;
use std::time::Duration;

use super::super::EngineSettings;
use super::BlockTerm;
use crate::target::Target;

/// The settings of a dry run.
#[derive(Clone, Debug)]
pub struct DryRunSettings {
    /// The settings of the engine.
    pub engine: EngineSettings,
    /// The lifetime of a block.
    pub term: BlockTerm,
    /// Time from a rejection to the end of the peer's connections; `None`: they
    /// are not ended.
    pub grace: Option<Duration>,
    /// Number of connections that the mail server serves at once, if it is
    /// known.
    pub slots: Option<u32>,
}

/// A block that would have been made or renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBlock {
    /// The offender.
    pub addr: IpAddr,
    /// The addresses that are blocked.
    pub target: Target,
    /// Whether `target` was blocked already, so that its block is renewed.
    pub is_renewed: bool,
}
