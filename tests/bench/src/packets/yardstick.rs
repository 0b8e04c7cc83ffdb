//! Programs of the bench that do a part of the filter's work.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, PerCpuArray};
use aya::programs::Xdp;
use aya::programs::xdp::XdpMode;
use aya::{Ebpf, EbpfLoader};
use spamdrop_lab::Host;

use super::lane::Drops;
use super::sink::Sink;
use super::traffic::Sources;
use super::{OBJECT, capacity};

/// One of the bench's programs, loaded.
pub struct Yardstick {
    object: Ebpf,
    name: &'static str,
}

impl Yardstick {
    /// Loads a program with room for this number of sources.
    ///
    /// # Errors
    ///
    /// The kernel refuses it.
    pub fn load(name: &'static str, sources: u32) -> Result<Self> {
        let mut object = EbpfLoader::new()
            .map_max_entries("expiries", sources)
            .load(OBJECT)?;
        program_mut(&mut object, name)?.load()?;
        Ok(Self { object, name })
    }

    /// Loads `plain` with room for these sources, and blocks them; without
    /// sources, it has spamdrop's default capacity.
    ///
    /// # Errors
    ///
    /// A system call failed.
    pub fn plain(sources: Option<Sources>) -> Result<Self> {
        let mut plain = Self::load("plain", capacity(sources.map_or(0, Sources::number)))?;
        if let Some(sources) = sources {
            plain.list(sources.each())?;
        }
        Ok(plain)
    }

    /// Attaches the program to a sink's interface.
    ///
    /// # Errors
    ///
    /// The kernel refuses it.
    pub fn attach(mut self, sink: &Sink) -> Result<Self> {
        let interface = sink.interface;
        sink.host.run(move || {
            program_mut(&mut self.object, self.name)?.attach(interface, XdpMode::Driver)?;
            Ok(self)
        })
    }

    /// The loaded program.
    ///
    /// # Errors
    ///
    /// Never, for the object that this crate built.
    pub fn program(&self) -> Result<&Xdp> {
        let program = self.object.program(self.name).context("no such program")?;
        Ok(program.try_into()?)
    }

    /// A map of the object.
    ///
    /// # Errors
    ///
    /// Never, for a map of the object that this crate built.
    pub fn map_mut(&mut self, name: &str) -> Result<&mut Map> {
        self.object.map_mut(name).context("no such map")
    }

    /// The loaded program, for attaching by other means.
    ///
    /// # Errors
    ///
    /// Never, for the object that this crate built.
    pub fn program_mut(&mut self) -> Result<&mut Xdp> {
        program_mut(&mut self.object, self.name)
    }

    fn counted(&self) -> Result<u64> {
        let map = self.object.map("counted").context("no such map")?;
        let counted: PerCpuArray<_, u64> = map.try_into()?;
        Ok(counted.get(&0, 0)?.iter().sum())
    }

    fn list(&mut self, addrs: impl Iterator<Item = Ipv4Addr>) -> Result<()> {
        let mut expiries: HashMap<_, [u8; 4], u64> = self.map_mut("expiries")?.try_into()?;
        for addr in addrs {
            expiries.insert(addr.octets(), u64::MAX, 0)?;
        }
        Ok(())
    }
}

fn program_mut<'object>(object: &'object mut Ebpf, name: &str) -> Result<&'object mut Xdp> {
    let program = object.program_mut(name).context("no such program")?;
    Ok(program.try_into()?)
}

/// Attaches a yardstick that needs no list to a sink.
///
/// # Errors
///
/// A system call failed.
pub fn without_list(name: &'static str, sink: &Sink) -> Result<Drops> {
    Ok(drops(Yardstick::load(name, LEAST)?.attach(sink)?))
}

/// Capacity of a map that is not used: an LRU map needs some entries for each
/// CPU, so 1 is too small.
pub const LEAST: u32 = 1024;

/// Attaches `plain`, with its list, to a sink.
///
/// # Errors
///
/// A system call failed.
pub fn plain(sink: &Sink, sources: Sources) -> Result<Drops> {
    Ok(drops(Yardstick::plain(Some(sources))?.attach(sink)?))
}

fn drops(yardstick: Yardstick) -> Drops {
    Box::new(move |_: &Host| yardstick.counted())
}
