//! `report`: the waves of a period, or one wave.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::slice;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use rustix::system::uname;
use spamdrop_common::time::UnixSeconds;

use super::period::TimeRange;
use super::terminal;
use crate::cli;
use crate::clock;
use crate::config::{Admit, AnswerMode, Config};
use crate::exit::{Exit, Failure};
use crate::lock;
use crate::render::page::ReportPage;
use crate::render::picture::{Picture, PictureSubject, Switches};
use crate::render::wave_detail::{self, WaveDetail};
use crate::render::waves::{self, NumberedWave, WaveReport};
use crate::render::{json, table::Style};
use crate::store::{Store, VERB_WAIT};
use spamdrop_core::wave::Point;

/// The default period: a week.
const PERIOD: Duration = Duration::from_secs(7 * 86_400);
/// Line width if the output is not a terminal, such as in a mail.
const COLUMNS: usize = 80;
/// Number of waves, from the newest, whose course a page shows.
const COURSES: usize = 5;

/// Runs the verb.
///
/// # Errors
///
/// The period is not valid, see [`TimeRange::new`] ([`Exit::Usage`]); there is no such
/// wave, the store cannot be read, or a file cannot be written.
pub fn run(config: &Config, args: &cli::Report, out: &mut impl Write, style: Style) -> Result<()> {
    let zone = TimeZone::system();
    let store = Store::open_existing(&config.store_file(), VERB_WAIT)?;
    let source = WaveSource {
        config,
        store: store.as_ref(),
    };
    let has_period = args.since.is_some() || args.until.is_some();
    let number = match args.wave {
        None if args.svg.is_some() && !has_period => source.newest()?,
        given => given,
    };
    let report = match number {
        Some(number) => source.one(number)?,
        None => source.period(args, &zone)?,
    };
    if let Some(path) = &args.svg {
        let picture = source.picture(&report, &zone)?;
        return write(path, &picture, out);
    }
    if let Some(path) = &args.html {
        let page = source.page(&report, &zone)?;
        return write(path, &page, out);
    }
    let width = terminal::columns().unwrap_or(COLUMNS);
    match (args.wave, &report.waves[..]) {
        (Some(_), [wave]) => {
            let detail = WaveDetail {
                points: source
                    .points(slice::from_ref(wave))?
                    .pop()
                    .unwrap_or_default(),
                numbered: wave.clone(),
            };
            match args.json {
                true => json::object(out, &detail)?,
                false => wave_detail::write_detail(out, style, width, &detail, &zone)?,
            }
        }
        _ if args.json => json::object(out, &report)?,
        _ => waves::write_report(out, style, width, &report, &zone)?,
    }
    Ok(())
}

/// The configuration, and the database of the waves; `None`: nothing was recorded.
#[derive(Clone, Copy)]
struct WaveSource<'a> {
    config: &'a Config,
    store: Option<&'a Store>,
}

impl WaveSource<'_> {
    /// The waves of the period that the command line names.
    fn period(self, args: &cli::Report, zone: &TimeZone) -> Result<WaveReport> {
        let now = clock::unix_seconds();
        let TimeRange { since, until } =
            TimeRange::new(args.since, args.until, Some(PERIOD), now, zone)?;
        let mut waves = self.waves(since)?;
        waves.retain(|numbered| until.is_none_or(|until| numbered.wave.start_unix_s < until.get()));
        Ok(WaveReport {
            has_end: until.is_some(),
            ..self.report(since, until.unwrap_or(now), waves)
        })
    }

    /// One wave, with its own period.
    fn one(self, number: i64) -> Result<WaveReport> {
        let mut waves = self.waves(UnixSeconds::default())?;
        waves.retain(|numbered| numbered.number == number);
        let Some(found) = waves.first() else {
            let message =
                format!("there is no wave {number}; `spamdrop report --since 365d` lists them");
            return Err(Failure::new(Exit::Failed, message));
        };
        let ends = [found.wave.start_unix_s, found.wave.end_unix_s()];
        let [since, until] = ends.map(UnixSeconds::new);
        Ok(self.report(since, until, waves))
    }

    /// The number of the newest wave of all.
    fn newest(self) -> Result<Option<i64>> {
        let waves = self.waves(UnixSeconds::default())?;
        Ok(waves.last().map(|newest| newest.number))
    }

    fn waves(self, since: UnixSeconds) -> Result<Vec<NumberedWave>> {
        let Some(store) = self.store else {
            return Ok(Vec::new());
        };
        // A daemon that was killed did not record the end of its wave.
        let is_watched = lock::daemon_pid(&self.config.run_dir).is_some();
        let waves = store.waves_since(since)?.into_iter();
        let numbered = waves.map(|(number, mut wave)| {
            wave.ongoing &= is_watched;
            NumberedWave { number, wave }
        });
        Ok(numbered.collect())
    }

    fn report(
        self,
        since: UnixSeconds,
        until: UnixSeconds,
        waves: Vec<NumberedWave>,
    ) -> WaveReport {
        WaveReport {
            recording: self.config.admit != Admit::Off,
            since_unix_s: since.get(),
            until_unix_s: until.get(),
            has_end: true,
            waves,
        }
    }

    /// The courses of waves, in their order.
    fn points(self, waves: &[NumberedWave]) -> Result<Vec<Vec<Point>>> {
        let numbers: Vec<i64> = waves.iter().map(|wave| wave.number).collect();
        let all = self.store.map(|store| store.wave_points(&numbers));
        all.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// A picture of the waves as bars, or of the course of a single one.
    fn picture(self, report: &WaveReport, zone: &TimeZone) -> Result<String> {
        let points;
        let subject = match &report.waves[..] {
            [wave] => {
                points = self.points(&report.waves)?.concat();
                PictureSubject::Wave(wave, &points)
            }
            _ => PictureSubject::Period(report),
        };
        let picture = Picture {
            subject,
            switches: self.switches(report),
            zone,
        };
        Ok(picture.file())
    }

    fn page(self, report: &WaveReport, zone: &TimeZone) -> Result<String> {
        let first = report.waves.len().saturating_sub(COURSES);
        let newest = report.waves.get(first..).unwrap_or_default();
        let courses: Vec<_> = newest.iter().cloned().zip(self.points(newest)?).collect();
        let machine = uname();
        let page = ReportPage {
            host: &machine.nodename().to_string_lossy(),
            report,
            courses: &courses,
            switches: self.switches(report),
            zone,
        };
        Ok(page.html()?)
    }

    fn switches(self, report: &WaveReport) -> Switches {
        let mut waves = report.waves.iter();
        Switches {
            gate: report.recording,
            responder: self.config.answer == AnswerMode::On
                || waves.any(|numbered| numbered.wave.totals.answered > 0),
        }
    }
}

fn write(path: &Path, text: &str, out: &mut impl Write) -> Result<()> {
    if path.as_os_str() == "-" {
        out.write_all(text.as_bytes())?;
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
