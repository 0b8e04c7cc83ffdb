//! Who sends good mail: what the log tells of a source, kept for weeks.
//!
//! Nothing is refused for not being known. One way, as everywhere: an event's
//! [`Evidence`] → [`EvidenceBuffer`] → a [`Record`] of its source → [`Store`].

mod evidence_buffer;
mod pending_demotions;
mod recipient_failures;
mod record;

pub use evidence_buffer::{EvidenceBuffer, Records};
pub use record::{Record, SenderStanding};
