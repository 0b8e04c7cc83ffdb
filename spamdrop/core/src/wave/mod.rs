//! Waves: periods in which slots run short, and the fate of the sources in
//! them.
//!
//! One [`Sample`] a second, the delayed sources and the evidence of the log →
//! [`Recorder`] → a [`Wave`] and its points.

mod course;
mod known_sender_delays;
mod points;
mod record;
mod recorder;
mod sample;
mod sources;

pub use course::CourseColumns;
pub use known_sender_delays::KnownSenderDelays;
pub use points::Point;
pub use record::{WantedWait, Wave};
pub use recorder::{News, Recorder, Snapshot};
pub use sample::{Sample, Totals};
pub use sources::{SourceCounts, WaveEvidence};
