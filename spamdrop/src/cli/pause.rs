//! Arguments of `pause`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use spamdrop_core::duration::{self, human};
use spamdrop_core::pause::{self, BOUNDS};

/// Arguments of `pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// How long, such as 90s or 10m; at least 1s, at most 1d
    #[arg(value_name = "TIME", value_parser = time)]
    pub time: Duration,
    /// Pause this layer only; may be repeated [default: all layers]
    #[arg(long = "layer", value_name = "LAYER")]
    pub layers: Vec<LayerChoice>,
}

/// The values of `--layer`, as in [`pause::Layer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LayerChoice {
    /// The blocks: nothing that is blocked is dropped
    Drop,
    /// No connection of a blocked sender is ended
    Release,
    /// The gate: no stranger has to wait
    Gate,
    /// The responder: every sender reaches the mail server
    Responder,
}

impl From<LayerChoice> for pause::Layer {
    fn from(layer: LayerChoice) -> Self {
        match layer {
            LayerChoice::Drop => Self::Drop,
            LayerChoice::Release => Self::Release,
            LayerChoice::Gate => Self::Gate,
            LayerChoice::Responder => Self::Responder,
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text).map_err(|error| error.to_string())?;
    let [shortest, longest] = BOUNDS;
    if time < shortest || time > longest {
        let [shortest, longest] = [shortest, longest].map(human);
        return Err(format!("give a time from {shortest} to {longest}"));
    }
    Ok(time)
}
