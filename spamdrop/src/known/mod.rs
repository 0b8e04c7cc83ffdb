//! Who sends good mail: what the log tells of a source, kept for weeks.
//!
//! Nothing is refused for not being known. One way, as everywhere: an event's
//! [`Lesson`] → [`Pupil`] → a [`Record`] of its source → [`Store`].

mod held;
mod pupil;
mod record;
mod store;
mod strikes;

pub use pupil::{Lesson, Pupil, Records};
pub use record::{Record, Standing};
pub use store::Store;
