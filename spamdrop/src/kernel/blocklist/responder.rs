//! The sockets to which connections of listed senders are steered.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, SockMap};
use spamdrop_common::names;

use super::{data, pins, typed};

/// The open map of the responder's sockets. The kernel removes a socket when it
/// is closed, even by a crash.
pub struct Responder(SockMap<MapData>);

impl Responder {
    /// Opens the pinned map.
    ///
    /// # Errors
    ///
    /// The map is not pinned, or has another version or layout.
    pub fn open(pin_dir: &Path) -> Result<Self> {
        pins::ensure_current(pin_dir)?;
        let dir = pins::maps_dir(pin_dir);
        pins::check(&dir, None)?;
        Ok(Self(typed(data(&dir, names::RESPONDER)?, Map::SockMap)?))
    }

    /// Makes a listening socket the responder for its address family, whatever
    /// address it is bound to. An earlier socket of this family is replaced.
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
