//! The sockets that answer listed senders.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, SockMap};
use spamdrop_common::names;

use super::{data, pins, typed};

/// The map of the responder's sockets, open. The kernel takes out each that is
/// closed, be it by a crash.
pub struct Responder(SockMap<MapData>);

impl Responder {
    /// Opens the pinned map.
    ///
    /// # Errors
    ///
    /// It is not pinned, or of another version or layout.
    pub fn open(pin_dir: &Path) -> Result<Self> {
        pins::ensure_current(pin_dir)?;
        let dir = pins::maps_dir(pin_dir);
        pins::check(&dir, None)?;
        Ok(Self(typed(data(&dir, names::RESPONDER)?, Map::SockMap)?))
    }

    /// Makes a listening socket the one that answers in its family, whatever
    /// address it is bound to; another is replaced.
    ///
    /// # Errors
    ///
    /// The kernel refuses the socket.
    pub fn set(&mut self, listener: &TcpListener) -> Result<()> {
        let is_ipv6 = listener.local_addr().is_ok_and(|addr| addr.is_ipv6());
        let slot = if is_ipv6 {
            names::RESPONDER6
        } else {
            names::RESPONDER4
        };
        self.0
            .set(slot, listener, 0)
            .context("the kernel refuses the responder's socket")
    }
}
