//! The filter's cache of sources that it dropped within the last seconds, see
//! [`RecentDrop`]. It holds hits and slides that are not in the entries yet.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use spamdrop_common::action::slid_by_recent_drop;
use spamdrop_common::entry::Entry;
use spamdrop_common::recent_drop::{Line, Place, RecentDrop};
use spamdrop_common::settings::Settings;

use spamdrop_core::target::Target;

use super::{Blocklist, fd};
use crate::kernel::bpf;
use crate::kernel::mapped_array::MappedArray;
use crate::kernel::ticks::Ticks;

/// Up to this number of entries, the slots are looked up one by one.
const FEW: usize = 256;

impl Blocklist {
    /// Reads all hits and slides that the filter has not stored in the entries yet.
    pub(super) fn recent_drops(&self) -> Result<RecentDrops> {
        let moment = self.moment()?;
        let line_bits = self.line_bits();
        let mut slots = HashMap::new();
        bpf::for_each(fd(&self.recent_drops), |numbers: &[u32], lines: &[Line]| {
            for (&line, words) in numbers.iter().zip(lines) {
                let all = words.iter().map(|&word| RecentDrop::from_word(word));
                let pending = all.filter(|slot| slot.hits != 0 && moment.is_current(*slot));
                for slot in pending {
                    let place = Place {
                        line,
                        tag: slot.tag,
                    };
                    // A race can give a source two slots. The filter uses the first one.
                    slots.entry(place.source(line_bits)).or_insert(slot);
                }
            }
            Ok(())
        })
        .context("cannot read recent_drops4")?;
        Ok(RecentDrops { slots, moment })
    }

    /// The entry of a target, with the hits and the slide that are only in the cache.
    pub(super) fn host_now(&self, target: Target) -> Result<Option<Entry>> {
        self.host_at(target, &self.moment()?)
    }

    /// As [`Blocklist::host_now`]. The caller reads `moment` once for several targets.
    pub(super) fn host_at(&self, target: Target, moment: &CacheTime) -> Result<Option<Entry>> {
        let Some(mut entry) = self.host(target)? else {
            return Ok(None);
        };
        if let Target::V4(source) = target {
            self.add_recent_drop(&mut entry, source, moment)?;
        }
        Ok(Some(entry))
    }

    /// Adds the hits and slides that are only in the cache to `entries`, which were read
    /// without them.
    pub fn add_recent_drops(&self, entries: &mut HashMap<Target, Entry>) -> Result<()> {
        let moment = self.moment()?;
        // Mapping a large array takes so long that it is not worth it for few entries.
        let lines = match entries.len() > FEW {
            true => Some(MappedArray::new(
                fd(&self.recent_drops),
                self.recent_drops.len(),
            )),
            false => None,
        };
        let lines = lines.transpose().context("cannot map recent_drops4")?;
        for (target, entry) in entries {
            let Target::V4(source) = *target else {
                continue;
            };
            let slot = match &lines {
                Some(lines) => self.recent_drop_in(lines, source),
                None => self.recent_drop(source)?,
            };
            if let Some(slot) = slot {
                moment.add_to(entry, slot);
            }
        }
        Ok(())
    }

    fn recent_drop_in(&self, lines: &MappedArray<Line>, source: [u8; 4]) -> Option<RecentDrop> {
        let place = Place::from_source(source, self.line_bits());
        slot(lines.get(place.line)?, place)
    }

    /// The sources whose packets the filter may drop by its cache now, and that have hits
    /// in it: those with the most hits first, and at most `most`.
    pub fn recently_dropped(&self, most: usize) -> Result<Vec<Target>> {
        let drops = self.recent_drops()?;
        let mut all: Vec<(u32, [u8; 4])> = drops
            .slots
            .iter()
            .filter(|(_, slot)| drops.moment.may_answer(**slot))
            .map(|(source, slot)| (slot.hits, *source))
            .collect();
        all.sort_unstable_by_key(|slot| std::cmp::Reverse(*slot));
        all.truncate(most);
        Ok(all
            .into_iter()
            .map(|(_, source)| Target::V4(source))
            .collect())
    }

    /// Whether the filter may drop packets of a target by its cache, without the entry.
    pub(super) fn is_cached(&self, target: Target) -> Result<bool> {
        let Target::V4(source) = target else {
            return Ok(false);
        };
        let slot = self.recent_drop(source)?;
        let moment = self.moment()?;
        Ok(slot.is_some_and(|slot| moment.may_answer(slot)))
    }

    fn add_recent_drop(
        &self,
        entry: &mut Entry,
        source: [u8; 4],
        moment: &CacheTime,
    ) -> Result<()> {
        if let Some(slot) = self.recent_drop(source)? {
            moment.add_to(entry, slot);
        }
        Ok(())
    }

    /// The slot of a source.
    fn recent_drop(&self, source: [u8; 4]) -> Result<Option<RecentDrop>> {
        let place = Place::from_source(source, self.line_bits());
        let line = self.recent_drops.get(&place.line, 0);
        Ok(slot(line.context("cannot read recent_drops4")?, place))
    }

    /// Empties old slots, because a slot would be valid again after its age has wrapped
    /// around. The other slots of their lines may lose the hits that are counted meanwhile.
    pub(super) fn empty_old_slots(&mut self) -> Result<()> {
        let now = Ticks::now().unit();
        let is_old = |word: u64| word != 0 && RecentDrop::from_word(word).is_old(now);
        let mut old = Vec::new();
        bpf::for_each(fd(&self.recent_drops), |numbers: &[u32], lines: &[Line]| {
            let each = numbers.iter().zip(lines);
            old.extend(
                each.filter(|(_, line)| line.iter().any(|word| is_old(*word)))
                    .map(|(number, _)| *number),
            );
            Ok(())
        })
        .context("cannot read recent_drops4")?;
        for number in old {
            let line = self.recent_drops.get(&number, 0);
            let line = line.context("cannot read recent_drops4")?;
            let line = line.map(|word| if is_old(word) { 0 } else { word });
            let set = self.recent_drops.set(number, line, 0);
            set.context("cannot write recent_drops4")?;
        }
        Ok(())
    }

    fn line_bits(&self) -> u32 {
        self.recent_drops.len().ilog2()
    }

    pub(super) fn moment(&self) -> Result<CacheTime> {
        Ok(CacheTime {
            epoch: self.settings()?.epoch,
            ticks: Ticks::now(),
        })
    }
}

/// The slot of a source in its line.
fn slot(line: Line, place: Place) -> Option<RecentDrop> {
    let mut words = line.into_iter();
    let word = words.find(|&word| place.is_of(word));
    word.map(RecentDrop::from_word)
}

/// The slots with hits, by source.
pub(super) struct RecentDrops {
    slots: HashMap<[u8; 4], RecentDrop>,
    moment: CacheTime,
}

impl RecentDrops {
    /// Adds to the entry of `source` the hits and the slide that are only in the cache.
    pub(super) fn add_to(&self, entry: &mut Entry, source: [u8; 4]) {
        if let Some(slot) = self.slots.get(&source) {
            self.moment.add_to(entry, *slot);
        }
    }
}

/// The epoch and the time at which slots are read.
pub(super) struct CacheTime {
    epoch: u32,
    ticks: Ticks,
}

impl CacheTime {
    fn may_answer(&self, slot: RecentDrop) -> bool {
        slot.may_answer(self.epoch, self.ticks.unit())
    }

    fn is_current(&self, slot: RecentDrop) -> bool {
        slot.is_after(self.epoch, self.ticks.unit())
    }

    /// Adds the hits and the slide of a slot to its entry.
    fn add_to(&self, entry: &mut Entry, slot: RecentDrop) {
        if !self.is_current(slot) {
            return;
        }
        entry.hits = entry.hits.saturating_add(slot.hits);
        let now = self.ticks.unit();
        if let Some(age) = slot.last_age(now) {
            let last = self.ticks.time(now.saturating_sub(age));
            entry.expires = slid_by_recent_drop(entry, last);
        }
    }
}

/// The value of [`Settings::epoch`] that invalidates everything cached until now.
pub(super) fn current(settings: &Settings) -> u32 {
    let now = Ticks::now().unit();
    // The epoch may be a unit ahead of `now`, because a reading of the ticks may be. An
    // epoch that is still later is damaged, and would turn the cache off until the ticks
    // reach it.
    match settings.epoch <= now + 1 {
        true => settings.epoch.max(now),
        false => now,
    }
}
