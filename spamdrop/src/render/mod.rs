//! Renders results as text or JSON into a writer, whose errors the functions
//! return.
//!
//! Nothing here reads maps, clocks or files: the commands gather the values. The
//! structs that derive `Serialize` are the output of `--json`, and their
//! documentation is that of the JSON.

pub mod allowed;
pub mod check;
pub mod counters;
pub mod daemon;
pub mod entries;
pub mod entry_selection;
pub mod exposition;
pub mod history;
pub mod json;
pub mod known;
pub mod listing;
mod local;
pub mod lookup;
mod markup;
pub mod metrics;
pub mod noun;
pub mod page;
pub mod picture;
pub mod prediction;
mod prediction_blocks;
mod prediction_difference;
mod prediction_figures;
pub mod prediction_json;
pub mod recent;
mod recommendation;
pub mod scan;
pub mod settings;
pub mod setup;
pub mod show;
pub mod status;
pub mod table;
pub mod top;
pub mod trust;
pub mod wave;
pub mod wave_detail;
pub mod waves;
pub mod why;
mod wrap;
