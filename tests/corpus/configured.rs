//! Reads the log lines of the corpora, and inputs from the field, with the
//! settings of a configuration.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cases;
mod lines;
mod needles;

use lines::{NOW, SERVERS, corpus, directory, unix_time};
