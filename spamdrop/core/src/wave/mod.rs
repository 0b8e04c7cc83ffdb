//! Waves: when the server's slots ran short, and what became of whom.
//!
//! Pure but for the [`Store`]: what is seen once a second, and who was refused
//! or heard of in the log → [`Recorder`] → a [`Wave`] and its course.

mod points;
mod record;
mod recorder;
mod sample;
mod sources;

pub use points::Point;
pub use record::Wave;
pub use recorder::{News, Recorder, Snapshot};
pub use sample::{Sample, Totals};
pub use sources::{Counts, Heard};
