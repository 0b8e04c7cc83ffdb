//! Sites with a real mail server.

use std::path::Path;

use anyhow::Result;

use super::{ORDINARY, Site};
use crate::courier::{self, Courier};
use crate::debian::{self, Packaged, Software};

impl Site<Courier> {
    /// Builds the site with a real Courier. The daemon runs as [`ORDINARY`].
    ///
    /// # Errors
    ///
    /// As [`Site::new`].
    pub fn with_courier(spamdrop: &Path, options: &courier::Options) -> Result<Self> {
        let mut site = Self::build(spamdrop, |server, dir| Courier::start(server, dir, options))?;
        site.user = ORDINARY;
        site.configure("")?;
        Ok(site)
    }
}

impl Site<Packaged> {
    /// Builds the site with a real Postfix or Exim, and the number of its slots
    /// in the configuration. The daemon runs as [`ORDINARY`].
    ///
    /// # Errors
    ///
    /// As [`Site::new`].
    pub fn with_packaged(
        spamdrop: &Path,
        software: Software,
        options: &debian::Options,
    ) -> Result<Self> {
        let mut site = Self::build(spamdrop, |server, dir| {
            Packaged::start(server, dir, software, options)
        })?;
        site.user = ORDINARY;
        site.software = Some((software, options.slots));
        site.configure("")?;
        Ok(site)
    }
}
