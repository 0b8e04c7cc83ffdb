//! Layers that the administrator has paused for a while.

use std::time::Duration;

use spamdrop_common::settings::Settings;
use spamdrop_common::time::MonotonicNs;

use crate::duration::human;

/// The shortest and the longest pause.
pub const BOUNDS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(86_400)];

/// A layer of the protection that can be paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Entries and prefixes drop packets.
    Drop,
    /// Connections of blocked peers are ended.
    Release,
    /// Strangers wait while slots run short.
    Gate,
    /// Listed senders get their rejection from the responder.
    Responder,
}

impl Layer {
    /// Every layer.
    pub const ALL: [Self; 4] = [Self::Drop, Self::Release, Self::Gate, Self::Responder];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Release => "release",
            Self::Gate => "gate",
            Self::Responder => "responder",
        }
    }

    /// The end of its last pause in the filter's settings.
    pub const fn end(self, settings: &mut Settings) -> &mut MonotonicNs {
        match self {
            Self::Drop => &mut settings.drop_paused_until,
            Self::Release => &mut settings.release_paused_until,
            Self::Gate => &mut settings.gate_paused_until,
            Self::Responder => &mut settings.responder_paused_until,
        }
    }
}

/// A layer that is paused, and the end of its pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerPause {
    /// The layer.
    pub layer: Layer,
    /// When it works again.
    pub until: MonotonicNs,
}

/// The layers that are paused at `now`.
#[must_use]
pub fn pauses(mut settings: Settings, now: MonotonicNs) -> Vec<LayerPause> {
    let pauses = Layer::ALL.map(|layer| LayerPause {
        layer,
        until: *layer.end(&mut settings),
    });
    let is_paused = |pause: &LayerPause| now < pause.until;
    pauses.into_iter().filter(is_paused).collect()
}

/// Names layers: `drop, release and gate`.
#[must_use]
pub fn names(layers: &[Layer]) -> String {
    let names: Vec<&str> = layers.iter().map(|layer| layer.name()).collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// A layer that is paused, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PausedLayer {
    /// The layer.
    pub layer: Layer,
    /// The time that is left.
    pub remaining: Duration,
}

impl LayerPause {
    /// The layer, and the rest of its pause at `now`.
    #[must_use]
    pub fn layer_at(self, now: MonotonicNs) -> PausedLayer {
        PausedLayer {
            layer: self.layer,
            remaining: self.until.elapsed_since(now),
        }
    }
}

/// Names paused layers and how long each remains paused: `drop and gate for 9m
/// 59s`. Layers whose pauses end in the same second stand together.
#[must_use]
pub fn describe(paused: &[PausedLayer]) -> String {
    let mut groups: Vec<(u64, Vec<Layer>)> = Vec::new();
    for PausedLayer { layer, remaining } in paused {
        // Rounded up, so that a pause that is not over has a second left.
        let left = remaining.as_secs() + u64::from(remaining.subsec_nanos() != 0);
        match groups.iter_mut().find(|(other, _)| *other == left) {
            Some((_, layers)) => layers.push(*layer),
            None => groups.push((left, vec![*layer])),
        }
    }
    let text = |(left, layers): &(u64, Vec<Layer>)| {
        let left = human(Duration::from_secs(*left));
        format!("{} for {left}", names(layers))
    };
    let texts: Vec<String> = groups.iter().map(text).collect();
    texts.join(", ")
}

/// The pauses at the last update, to find the changes for the daemon's log.
#[derive(Debug, Default)]
pub struct PauseWatch(Vec<LayerPause>);

/// The changes to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseChanges {
    /// Pauses that began, or whose end has changed.
    pub begun: Vec<LayerPause>,
    /// Layers whose pause ended.
    pub ended: Vec<Layer>,
}

impl PauseWatch {
    /// Takes the current pauses. `None`: nothing changed.
    pub fn update(&mut self, pauses: Vec<LayerPause>) -> Option<PauseChanges> {
        let is_paused = |layer| pauses.iter().any(|pause| pause.layer == layer);
        let old = self.0.iter().map(|pause| pause.layer);
        let ended: Vec<Layer> = old.filter(|layer| !is_paused(*layer)).collect();
        let begun = pauses.iter().filter(|pause| !self.0.contains(pause));
        let begun: Vec<LayerPause> = begun.copied().collect();
        self.0 = pauses;
        (!begun.is_empty() || !ended.is_empty()).then_some(PauseChanges { begun, ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: u32) -> MonotonicNs {
        MonotonicNs::from_second(seconds)
    }

    fn until(layer: Layer, second: u32) -> LayerPause {
        let until = moment(second);
        LayerPause { layer, until }
    }

    #[test]
    fn a_layer_is_paused_until_its_own_end() {
        let settings = Settings {
            drop_paused_until: moment(10),
            gate_paused_until: moment(20),
            ..Settings::default()
        };
        let both = [until(Layer::Drop, 10), until(Layer::Gate, 20)];
        assert_eq!(pauses(settings, moment(9)), both);
        assert_eq!(pauses(settings, moment(10)), both[1..]);
        assert_eq!(pauses(settings, moment(20)), []);
    }

    #[test]
    fn each_layer_has_an_end_of_its_own() {
        let mut settings = Settings::default();
        for (second, layer) in (1..).zip(Layer::ALL) {
            *layer.end(&mut settings) = moment(second);
        }
        assert_eq!(settings.drop_paused_until, moment(1));
        assert_eq!(settings.release_paused_until, moment(2));
        assert_eq!(settings.gate_paused_until, moment(3));
        assert_eq!(settings.responder_paused_until, moment(4));
    }

    #[test]
    fn layers_with_the_same_end_are_named_together() {
        let pauses = [
            until(Layer::Drop, 600),
            until(Layer::Release, 60),
            until(Layer::Gate, 600),
            until(Layer::Responder, 600),
        ];
        let remaining = |pauses: &[LayerPause], now| {
            let paused: Vec<_> = pauses.iter().map(|pause| pause.layer_at(now)).collect();
            describe(&paused)
        };
        assert_eq!(
            remaining(&pauses, moment(1)),
            "drop, gate and responder for 9m 59s, release for 59s"
        );
        let half = moment(59).plus(Duration::from_millis(500));
        assert_eq!(remaining(&pauses[1..2], half), "release for 1s");
    }

    #[test]
    fn each_change_is_told_once() {
        let mut watch = PauseWatch::default();
        assert_eq!(watch.update(Vec::new()), None);
        let (drop, gate) = (until(Layer::Drop, 10), until(Layer::Gate, 20));
        let changes = |begun: &[LayerPause], ended: &[Layer]| {
            let (begun, ended) = (begun.to_vec(), ended.to_vec());
            Some(PauseChanges { begun, ended })
        };
        assert_eq!(watch.update(vec![drop]), changes(&[drop], &[]));
        assert_eq!(watch.update(vec![drop]), None);
        let longer = until(Layer::Drop, 30);
        assert_eq!(watch.update(vec![longer]), changes(&[longer], &[]));
        assert_eq!(watch.update(vec![gate]), changes(&[gate], &[Layer::Drop]));
        assert_eq!(watch.update(Vec::new()), changes(&[], &[Layer::Gate]));
    }
}
