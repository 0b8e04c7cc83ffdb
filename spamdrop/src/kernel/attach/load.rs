//! Loads the object that contains the programs and maps.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use spamdrop_common::abi::MAPS;
use spamdrop_common::names;
use spamdrop_common::recent_drop::{line_bits, unit_bits};

use super::{Plan, verifier};
use crate::clock;
use crate::kernel::blocklist::pins;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/spamdrop-ebpf"));

/// The filter as it was loaded. Dropping it does not detach it.
pub struct Filter {
    pub(in crate::kernel) object: Ebpf,
    name: &'static str,
    ip_name: Option<&'static str>,
}

impl Filter {
    /// The program that the kernel accepted: the multi-buffer one, or the plain
    /// one on kernels before 5.18.
    ///
    /// # Errors
    ///
    /// None, for an object that this crate built.
    pub fn program(&self) -> Result<&Xdp> {
        let program = self.object.program(self.name);
        let program = program.with_context(|| no_program(self.name))?;
        Ok(program.try_into()?)
    }

    /// The program for links whose packets begin with the IP header. The first
    /// call loads it.
    ///
    /// # Errors
    ///
    /// The kernel refuses the program.
    pub fn ip_program(&mut self) -> Result<&mut Xdp> {
        let name = match self.ip_name {
            Some(name) => name,
            None => load_either(
                &mut self.object,
                names::PROGRAM_IP_FRAGS,
                names::PROGRAM_IP_PLAIN,
            )?,
        };
        self.ip_name = Some(name);
        xdp(&mut self.object, name)
    }
}

/// Loads the filter. Its maps are pinned below `pin_dir`, or reused from there;
/// the caller must have checked the layout of the pinned maps first ([`pins::check`]).
///
/// # Errors
///
/// The kernel refuses the maps or the program.
pub fn load(pin_dir: &Path, plan: Plan) -> Result<Filter> {
    load_into(&pins::maps_dir(pin_dir), plan)
}

pub(super) fn load_into(maps_dir: &Path, plan: Plan) -> Result<Filter> {
    let mut loader = EbpfLoader::new();
    loader.override_global(
        aya_log::LEVEL,
        &plan.log_level,
        cfg!(feature = "packet-log"),
    );
    let line_bits = line_bits(plan.capacity.v4);
    loader.override_global(names::RECENT_DROP_LINE_BITS, &line_bits, true);
    let unit_bits = unit_bits(clock::tick_ns());
    loader.override_global(names::RECENT_DROP_UNIT_BITS, &unit_bits, true);
    for spec in &MAPS {
        loader.map_pin_path(spec.name, maps_dir.join(spec.name));
        loader.map_max_entries(spec.name, spec.room.elements(plan.capacity));
    }
    let mut object = loader
        .load(OBJECT)
        .map_err(|error| verifier::explain_maps(error.into()))?;
    let name = load_either(&mut object, names::PROGRAM_FRAGS, names::PROGRAM_PLAIN)?;
    Ok(Filter {
        object,
        name,
        ip_name: None,
    })
}

/// Loads the multi-buffer program, or the plain one if the kernel has no
/// multi-buffer support. Returns the name of the one that was loaded.
fn load_either(
    object: &mut Ebpf,
    frags: &'static str,
    plain: &'static str,
) -> Result<&'static str> {
    match xdp(object, frags)?.load() {
        Ok(()) => Ok(frags),
        Err(error) => {
            log::debug!("the multi-buffer program is refused; loading the plain one: {error}");
            xdp(object, plain)?.load().map_err(verifier::explain)?;
            Ok(plain)
        }
    }
}

fn xdp<'object>(object: &'object mut Ebpf, name: &str) -> Result<&'object mut Xdp> {
    let program = object.program_mut(name);
    Ok(program.with_context(|| no_program(name))?.try_into()?)
}

pub(super) fn no_program(name: &str) -> String {
    format!("the object holds no program `{name}`")
}
