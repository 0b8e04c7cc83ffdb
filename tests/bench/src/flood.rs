//! The highest rate of a SYN flood at which strangers still get through: with the gate
//! on, and with the kernel's SYN cookies alone.

use std::fs;
use std::net::IpAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use spamdrop_lab::Site;
use spamdrop_lab::frame::{FrameSpec, tcp_frame};
use spamdrop_lab::site::SERVER4;
use spamdrop_lab::strangers::{Arrivals, banners, seconds};

use crate::machine::Cores;
use crate::packets::say;
use crate::packets::traffic::{FIRST_FORGED, FORGED_NETWORK, Generator, SERVER_MAC, Sources};
use crate::sample::Sample;
use crate::table::{Case, Unit};

/// The rates in SYNs per second, each twice the one before.
const RATES: [u32; 8] = [
    25_000, 50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000,
];
/// Number of strangers at each rate.
const STRANGERS: u8 = 12;
/// Maximum wait for the banner: a flood keeps strangers out if one of them waits longer.
const LONGEST: Duration = Duration::from_secs(5);
const ARRIVALS: Arrivals = Arrivals {
    apart: Duration::from_millis(250),
    timeout: LONGEST,
};
/// Time from the start of a flood to the first stranger.
const HEAD_START: Duration = Duration::from_secs(2);
/// Values of `admit`, each with the name of the defence: where the gate only observes,
/// the kernel's SYN cookies are the only one.
const MODES: [(&str, &str); 2] = [("observe", "SYN cookies alone"), ("on", "spamdrop")];

/// For each mode in turn, raises the rate of a flood until a stranger waits longer than
/// [`LONGEST`], or until less than half of the rate is reached. The figure is the rate
/// before that. One core makes the SYNs and handles them.
///
/// # Errors
///
/// The site could not be built, or a system call failed.
pub fn cases(cores: Cores, quick: bool) -> Result<Vec<Case>> {
    let rounds = if quick { 1 } else { 3 };
    let mut samples = [Sample::default(), Sample::default()];
    for _ in 0..rounds {
        for ((mode, name), sample) in MODES.iter().zip(&mut samples) {
            sample.0.push(capacity(cores, mode, name)?);
        }
    }
    let [cookies, spamdrop] = samples;
    let name = "SYN flood that lets strangers in";
    let mut case = Case::new(name, Unit::PacketsPerSecond, "spamdrop", spamdrop);
    case.beside("SYN cookies", cookies, None);
    Ok(vec![case])
}

/// The highest rate of the flood, in SYNs per second as sent, at which no
/// stranger waits too long.
fn capacity(cores: Cores, mode: &str, name: &str) -> Result<f64> {
    let mut best = 0.0;
    for rate in RATES {
        let (sent, waits) = attack(cores, mode, rate)?;
        say(&format!(
            "{name}, {sent:.0} SYNs a second: strangers wait {} s",
            seconds(&waits)
        ));
        if waits.iter().any(Option::is_none) || sent < f64::from(rate) / 2.0 {
            break;
        }
        best = sent;
    }
    Ok(best)
}

/// Sends a flood, and returns its rate and the waits of the strangers.
fn attack(cores: Cores, mode: &str, rate: u32) -> Result<(f64, Vec<Option<Duration>>)> {
    let site = Site::new(&spamdrop_lab::binary("spamdrop")?, |_| {})?;
    site.configure(&format!("admit = {mode:?}"))?;
    let mac = SERVER_MAC.map(|byte| format!("{byte:02x}")).join(":");
    site.server
        .exec(["ip", "link", "set", "eth0", "address", &mac])?;
    // Without a route back, the kernel drops a SYN before it makes a cookie.
    site.server
        .exec(["ip", "route", "add", FORGED_NETWORK, "via", "198.51.100.1"])?;
    let daemon = site.run_logging("info", &[])?;
    let interface = site.world.run(|| {
        let text = fs::read_to_string("/sys/class/net/eth0/ifindex")?;
        anyhow::Ok(text.trim().parse()?)
    })?;
    let frame = tcp_frame(&FrameSpec::syn(FIRST_FORGED.into(), SERVER4.into()));
    let generator = Generator::with_frame(Sources::forged(), frame, interface)?;
    let (stop, stopped) = mpsc::channel();
    let outcome = thread::scope(|scope| {
        let start = std::time::Instant::now();
        let (generator, world) = (&generator, &site.world);
        let stream = move || generator.stream(world, cores.generator, rate, &stopped);
        let flood = scope.spawn(stream);
        thread::sleep(HEAD_START);
        let strangers = (1..=STRANGERS).map(|number| IpAddr::from([100, 65, number, 7]));
        let waits = banners(&site, strangers.collect(), ARRIVALS);
        drop(stop);
        let sent = flood.join().map_err(|_| anyhow!("the flood panicked"))?;
        let sent = sent.context("the flood")? as f64 / start.elapsed().as_secs_f64();
        Ok((sent, waits))
    });
    drop(daemon);
    outcome
}
