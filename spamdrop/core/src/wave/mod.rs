//! Waves: periods in which the server's slots run short, and what became of the
//! sources that came.
//!
//! One [`Sample`] a second, the delayed sources and the evidence of the log →
//! [`Recorder`] → a [`Wave`] and its points.

mod points;
mod record;
mod recorder;
mod sample;
mod sources;

pub use points::Point;
pub use record::Wave;
pub use recorder::{News, Recorder, Snapshot};
pub use sample::{Sample, Totals};
pub use sources::{SourceCounts, WaveEvidence};
