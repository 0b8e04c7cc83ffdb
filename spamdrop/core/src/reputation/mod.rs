//! Sender reputation: the evidence of the log about a source, kept for weeks.
//!
//! No mail is refused because its sender is unknown. Data flows one way: an
//! event's [`Evidence`] → [`EvidenceBuffer`] → a [`Record`] of its source →
//! [`Store`].

mod evidence_buffer;
mod pending_demotions;
mod recipient_failures;
mod record;

pub use evidence_buffer::{EvidenceBuffer, Records};
pub use record::{Record, SenderStanding};
