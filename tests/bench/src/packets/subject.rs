//! spamdrop's filter, attached and filled by spamdrop's own code.

use std::path::Path;

use anyhow::Result;
use aya::maps::ProgramArray;
use aya::programs::Xdp;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;
use spamdrop::clock;
use spamdrop::config::Config;
use spamdrop::install::{FilterSettings, install};
use spamdrop::kernel::attach::{AttachMode, Filter};
use spamdrop::kernel::blocklist::Blocklist;
use spamdrop::lock::WriteLock;
use spamdrop_common::counter::Reason;
use spamdrop_common::entry::SEALED;
use spamdrop_core::owners::{OwnerBit, OwnerMask};
use spamdrop_core::policy::Protected;
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;
use spamdrop_lab::Host;

use super::capacity;
use super::lane::Drops;
use super::sink::Sink;
use super::traffic::Sources;
use super::yardstick::{LEAST, Yardstick};

/// Targets per write to the kernel.
const CHUNK: usize = 1 << 20;
const TTL_S: u32 = 600;

/// The filter on a sink's interface.
pub struct Subject {
    filter: Filter,
    list: Blocklist,
    /// The program that precedes the filter to slow it down.
    slow: Option<Yardstick>,
}

impl Subject {
    /// Attaches the filter; the sources are sealed entries, which each hit
    /// extends to ten minutes.
    ///
    /// # Errors
    ///
    /// A system call failed.
    pub fn attach(sink: &Sink, sources: Option<Sources>, slow: bool) -> Result<Self> {
        let interface = sink.interface;
        sink.host.run(move || start(interface, sources, slow))
    }

    /// The program on the interface.
    ///
    /// # Errors
    ///
    /// Never after [`Subject::attach`].
    pub fn program(&self) -> Result<&Xdp> {
        match &self.slow {
            Some(slow) => slow.program(),
            None => self.filter(),
        }
    }

    /// The filter itself.
    ///
    /// # Errors
    ///
    /// Never after [`Subject::attach`].
    pub fn filter(&self) -> Result<&Xdp> {
        self.filter.program()
    }

    /// Converts the subject into a reader of its drop counter.
    pub fn into_drops(self) -> Drops {
        Box::new(move |_: &Host| {
            // The reader owns both programs, so that they stay loaded: `slow` calls the
            // filter.
            let _ = (&self.filter, &self.slow);
            Ok(self.list.counters()?.get(Reason::SealedDropped))
        })
    }
}

/// Attaches the filter as `spamdrop attach` does, with an empty allowlist.
fn start(interface: &str, sources: Option<Sources>, slow: bool) -> Result<Subject> {
    let config = Config {
        mode: AttachMode::Native,
        capacity4: capacity(sources.map_or(0, Sources::number)),
        allow_file: "/run/no-allowlist".into(),
        ..Config::default()
    };
    let lock = WriteLock::acquire(&config.run_dir)?;
    let installed = install(
        &lock,
        &FilterSettings::new(&config),
        &[interface.into()],
        &Protected::new([]),
        0,
    )?;
    let mut list = installed.blocklist;
    if let Some(sources) = sources {
        fill(&mut list, &lock, sources)?;
    }
    let pin = config.pin_dir.join(format!("link_{interface}"));
    let slow = slow
        .then(|| slow_down(&installed.filter, &pin))
        .transpose()?;
    Ok(Subject {
        filter: installed.filter,
        list,
        slow,
    })
}

fn fill(list: &mut Blocklist, turn: &WriteLock, sources: Sources) -> Result<()> {
    let term = Term {
        start: clock::monotonic_ns(),
        ttl_s: TTL_S,
        slides: true,
        hard_limit_s: 0,
    };
    let entry = OwnerMask::from(OwnerBit::HAND).of_entry(term.entry(SEALED));
    let mut targets = sources
        .each()
        .map(|addr| (Target::V4(addr.octets()), entry));
    loop {
        let chunk: Vec<_> = targets.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        list.put_all(turn, chunk)?;
    }
}

/// Replaces the attached filter by a program that adds look-ups and then calls
/// the filter.
fn slow_down(filter: &Filter, pin: &Path) -> Result<Yardstick> {
    let mut slow = Yardstick::load("slow", LEAST)?;
    let mut next: ProgramArray<_> = slow.map_mut("next")?.try_into()?;
    next.set(0, filter.program()?.fd()?, 0)?;
    let link = XdpLink::try_from(FdLink::from(PinnedLink::from_pin(pin)?))?;
    slow.program_mut()?.attach_to_link(link)?;
    Ok(slow)
}
