//! The socket that answers listed senders.

use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, SockMap};
use spamdrop_common::names;

use super::{data, pins, typed};

/// The map of the responder's socket, open. The kernel empties it when the
/// socket is closed, be it by a crash.
pub struct Responder(SockMap<MapData>);

impl Responder {
    /// Opens the map that is pinned in `dir`.
    ///
    /// # Errors
    ///
    /// It is not pinned, or of another layout.
    pub fn open(dir: &Path) -> Result<Self> {
        pins::check(dir, None)?;
        Ok(Self(typed(data(dir, names::RESPONDER)?, Map::SockMap)?))
    }

    /// Makes a listening TCP socket the one that answers, whatever address it
    /// is bound to; another is replaced.
    ///
    /// # Errors
    ///
    /// The kernel refuses the socket.
    pub fn set(&mut self, listener: &impl AsRawFd) -> Result<()> {
        self.0
            .set(0, listener, 0)
            .context("the kernel refuses the responder's socket")
    }
}
