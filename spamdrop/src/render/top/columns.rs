//! The columns of the table of sources.

use spamdrop_core::duration::human;

use super::TopRow;
use super::cut::fit;
use super::look::TerminalLook;

/// From this width on, a source's zone and its reason have columns of their own.
const WIDE: u16 = 110;
/// The widths of the columns of the sources.
pub(super) struct SourceColumns {
    address: usize,
    why: usize,
    is_wide: bool,
    look: TerminalLook,
}

/// The width of the columns between the address and the reason, with their blanks.
const BETWEEN: usize = "  HITS/S       HITS  EXPIRES   BY        ".len();
/// The width of the column of the owners.
const BY: usize = 8;
/// The width of the column of the zone on a wide screen.
const ZONE: usize = 28;

impl SourceColumns {
    /// The columns of a screen of this width, for addresses of up to this length.
    pub fn new(width: u16, address: usize, look: TerminalLook) -> Self {
        let is_wide = width >= WIDE;
        let width = usize::from(width);
        let address = address.clamp(15, (width / 3).max(15));
        let zone = if is_wide { ZONE + 2 } else { 0 };
        Self {
            address,
            why: width.saturating_sub(address + BETWEEN + zone),
            is_wide,
            look,
        }
    }

    /// The names of the columns.
    pub fn format_heading(&self) -> String {
        let address = self.address;
        let mut line = format!(
            "{:<address$}  HITS/S       HITS  EXPIRES   BY        ",
            "ADDRESS"
        );
        match self.is_wide {
            true => line += &format!("{:<ZONE$}  {:<2$}", "ZONE", "REASON", self.why),
            false => line += &format!("{:<1$}", "ZONE OR REASON", self.why),
        }
        line
    }

    /// The line of a source.
    pub fn format_row(&self, row: &TopRow) -> String {
        let address = self.address;
        let target = row.entry.target.to_string();
        let mut line = format!(
            "{:<address$}  {:>6.1} {:>10}  {:<8}  {:<BY$}  ",
            fit(&target, address, self.look),
            row.hits_per_s,
            row.entry.hits,
            human(row.entry.expires_in).to_string(),
            fit(&row.entry.owners.to_string(), BY, self.look)
        );
        let zone = row.zone.as_deref();
        let why = match self.is_wide {
            true => {
                line += &format!("{:<ZONE$}  ", fit(zone.unwrap_or("-"), ZONE, self.look));
                end_of(&row.reason, self.why)
            }
            false => match zone {
                Some(zone) => fit(zone, self.why, self.look),
                None => end_of(&row.reason, self.why),
            },
        };
        line + &format!("{why:<0$}", self.why)
    }
}

/// The end of a text, because a log line states the reason at its end.
fn end_of(text: &str, width: usize) -> String {
    if text.len() <= width {
        return text.to_owned();
    }
    let start = text.len() - width.saturating_sub(2);
    format!("..{}", text.get(start..).unwrap_or_default())
}
