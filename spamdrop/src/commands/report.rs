//! `report`: the waves of a period.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use spamdrop_common::time::UnixSeconds;

use crate::cli::{self, Since};
use crate::clock;
use crate::config::{Admit, Config};
use crate::exit::{Exit, Failure};
use crate::lock;
use crate::render::timeline::{self, Timeline};
use crate::render::waves::{self, WaveReport};
use crate::render::{json, table::Style};
use crate::store::{Store, VERB_WAIT};
use spamdrop_core::wave::{Point, Wave};

/// The default period: a week.
const PERIOD_S: u64 = 7 * 86_400;

/// Runs the verb.
///
/// # Errors
///
/// The store cannot be read, or the picture cannot be written.
pub fn run(config: &Config, args: &cli::Report, out: &mut impl Write, style: Style) -> Result<()> {
    let (now, zone) = (clock::unix_seconds(), TimeZone::system());
    let since = since(args.since, now, &zone)?;
    let store = Store::open_existing(&config.store_file(), VERB_WAIT)?;
    let mut found = match &store {
        Some(store) => store.waves_since(since)?,
        None => Vec::new(),
    };
    // A daemon that was killed did not record the end of its wave.
    let watched = lock::daemon_pid(&config.run_dir).is_some();
    for (_, wave) in &mut found {
        wave.ongoing &= watched;
    }
    if let Some(path) = &args.svg {
        let period = args.since.map(|_| (since, now));
        let picture = timeline::svg(&timeline(store.as_ref(), &found, period, now)?, &zone);
        return write(path, &picture, out);
    }
    let report = WaveReport {
        recording: config.admit != Admit::Off,
        since_unix_s: since.get(),
        waves: found.into_iter().map(|(_, wave)| wave).collect(),
    };
    if args.json {
        json::object(out, &report)?;
    } else {
        waves::text(out, style, &report, &zone)?;
    }
    Ok(())
}

/// Determines the start of the period.
fn since(since: Option<Since>, now: UnixSeconds, zone: &TimeZone) -> Result<UnixSeconds> {
    since.map_or_else(|| Ok(before(now, PERIOD_S)), |since| time(since, now, zone))
}

/// The time at which a period begins or ends.
///
/// # Errors
///
/// There is no such time in the time zone ([`Exit::Usage`]).
pub(super) fn time(at: Since, now: UnixSeconds, zone: &TimeZone) -> Result<UnixSeconds> {
    let second = match at {
        Since::Ago(time) => return Ok(before(now, time.as_secs())),
        Since::At(at) => at.as_second(),
        Since::Local(at) => {
            let zoned = at.to_zoned(zone.clone()).map_err(|error| {
                let message = format!("`{at}` is not a time in this zone: {error}");
                Failure::new(Exit::Usage, message)
            })?;
            zoned.timestamp().as_second()
        }
    };
    Ok(UnixSeconds::new(u64::try_from(second).unwrap_or(0)))
}

fn before(time: UnixSeconds, seconds: u64) -> UnixSeconds {
    UnixSeconds::new(time.get().saturating_sub(seconds))
}

/// The waves of the period; without a period, the last wave.
fn timeline(
    store: Option<&Store>,
    found: &[(i64, Wave)],
    period: Option<(UnixSeconds, UnixSeconds)>,
    now: UnixSeconds,
) -> Result<Timeline> {
    let waves = match period {
        Some(_) => found,
        None => found.last().map_or(&[][..], std::slice::from_ref),
    };
    let (ids, starts): (Vec<i64>, Vec<u64>) = waves
        .iter()
        .map(|(id, wave)| (*id, wave.start_unix_s))
        .unzip();
    let points = store.map_or_else(|| Ok(Vec::new()), |store| store.wave_points(&ids))?;
    let courses: Vec<_> = starts.into_iter().zip(points).collect();
    let (start_unix_s, end_unix_s) = match (period, waves) {
        (Some((start, end)), _) => (start.get(), end.get()),
        (None, [.., (_, wave)]) => (wave.start_unix_s, end(wave, &courses)),
        (None, []) => (before(now, PERIOD_S).get(), now.get()),
    };
    let slots = waves.iter().map(|(_, wave)| wave.slots);
    Ok(Timeline {
        start_unix_s,
        end_unix_s,
        slots: slots.max().unwrap_or(0),
        observed: !waves.is_empty() && waves.iter().all(|(_, wave)| wave.observed),
        courses,
    })
}

/// The end of the chart's time axis, which includes the seconds recorded after
/// the wave.
fn end(wave: &Wave, courses: &[(u64, Vec<Point>)]) -> u64 {
    let last = courses.last().and_then(|(_, points)| points.last());
    let seen = last.map_or(0, |point| point.at_s.into());
    wave.end_unix_s()
        .max(wave.start_unix_s.saturating_add(seen))
}

fn write(path: &Path, picture: &str, out: &mut impl Write) -> Result<()> {
    if path.as_os_str() == "-" {
        out.write_all(picture.as_bytes())?;
        return Ok(());
    }
    fs::write(path, picture).with_context(|| format!("cannot write {}", path.display()))
}
