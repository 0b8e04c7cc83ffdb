//! Sender reputation: the evidence of the log about a source, kept for weeks.
//!
//! No mail is refused because its sender is unknown. Data flows one way: an
//! event's [`Evidence`](crate::event::Evidence) → [`EvidenceBuffer`] → a
//! [`Record`] of its source → the database.

mod contacts;
mod deliveries;
mod evidence_buffer;
mod pending_demotions;
mod recipient_failures;
mod record;

pub use contacts::{CAPACITY as CONTACTS, Contacts, Network, StoredContacts};
pub use deliveries::{DELIVERIES, Deliveries, Delivery, Recipient};
pub(crate) use evidence_buffer::date;
pub use evidence_buffer::{DemotionReason, EvidenceBuffer, Records};
pub use record::{Record, SenderStanding};
