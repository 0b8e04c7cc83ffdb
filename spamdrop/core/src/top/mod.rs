//! The model of `top`: which sources are worth a look every second, their rates,
//! the course of the last minute, and what the keys do.
//!
//! A million entries take half a second to read. So they are all read rarely,
//! within a [`ReadBudget`], and in between only the candidates are looked up.

mod budget;
mod candidates;
mod course;
mod filter;
mod table;
mod view;

pub use budget::ReadBudget;
pub use candidates::CandidatePool;
pub use course::{MinuteCourse, SECONDS};
pub use filter::SourceFilter;
pub use table::{SourceKey, SourceOrder, SourceRate, SourceTable};
pub use view::{TopAction, TopEffect, TopKey, TopMode, TopView};
