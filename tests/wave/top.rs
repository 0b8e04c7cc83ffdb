//! `top` in real terminals during a wave: its figures are those of the maps and of
//! `status` at the same second.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use regex::Regex;
use serde_json::Value;
use spamdrop_lab::wait::until;
use spamdrop_lab::wave::Mode;
use spamdrop_lab::{Site, Tmux, Wave};

use super::gate::count;
use super::{SEED, SPAMDROP, scale};

/// Time limit for the screen to change; it is drawn every second.
const SOON: Duration = Duration::from_secs(10);

fn open<'a>(site: &'a Site, name: &str, size: [&str; 2], env: &[&str]) -> Tmux<'a> {
    let config = site.path("spamdrop.toml");
    let words = [SPAMDROP, "--config", config.to_str().unwrap(), "top"];
    let words = [&["env"], env, &words].concat();
    Tmux::open(&site.server, site.path(name), size, &words).unwrap()
}

fn json(site: &Site, args: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&site.spamdrop(args)?)?)
}

/// The number on the screen between two texts.
fn number(screen: &str, before: &str, after: &str) -> Option<u64> {
    let (start, _) = screen.split_once(after)?;
    let (_, digits) = start.rsplit_once(before)?;
    digits.trim().parse().ok()
}

fn refused(screen: &str) -> Option<u64> {
    number(screen, "; ", " SYNs were refused")
}

fn blocked(screen: &str) -> Option<u64> {
    number(screen, "port 25: ", " blocked")
}

/// The figures that only rise in a wave: SYNs refused, and live blocks.
fn figures(site: &Site) -> [u64; 2] {
    let list = json(site, &["list", "--json"]).unwrap();
    [
        count(site, "gate_refused"),
        list.as_array().unwrap().len() as u64,
    ]
}

/// The age of the screen's number of blocks, in whole seconds: the screen says how long
/// ago all entries were read.
fn read_ago(screen: &str) -> u64 {
    number(screen, "all read ", "s ago").unwrap_or(0)
}

/// Reads the figures from the maps, waits for a screen with newer figures, and reads the
/// maps again. The screen's figures must lie between those of the maps.
fn compare_screen(site: &Site, terminal: &Tmux<'_>) {
    let (start, before) = (Instant::now(), figures(site));
    let counted = start.elapsed();
    let old = refused(&terminal.screen().unwrap());
    let is_new = |screen: &str| {
        let age = Duration::from_secs(read_ago(screen) + 2);
        refused(screen) != old && start.elapsed() > counted + age
    };
    let screen = terminal.wait_for("new figures", SOON, is_new).unwrap();
    let after = figures(site);
    let shown = [refused(&screen), blocked(&screen)];
    for ((before, shown), after) in before.into_iter().zip(shown).zip(after) {
        let shown = shown.unwrap_or_else(|| panic!("{screen}"));
        assert!(
            (before..=after).contains(&shown),
            "{before}, {after}: {screen}"
        );
    }
}

/// Whether the hits of each source in `top --json` lie between those of `list` before and
/// after it. The drops must always lie between those of `stats`.
fn hits_lie_between(site: &Site) -> bool {
    let hits = || -> HashMap<String, u64> {
        let list = json(site, &["list", "--json"]).unwrap();
        list.as_array().unwrap().iter().map(addr_and_hits).collect()
    };
    let dropped = || count(site, "open_dropped") + count(site, "sealed_dropped");
    let (hits_before, dropped_before) = (hits(), dropped());
    let top = json(site, &["top", "--json"]).unwrap();
    let (dropped_after, hits_after) = (dropped(), hits());
    let shown = top["figures"]["dropped"].as_u64().unwrap();
    assert!((dropped_before..=dropped_after).contains(&shown), "{top}");
    let sources = top["sources"].as_array().unwrap();
    assert!(!sources.is_empty(), "{top}");
    sources.iter().map(addr_and_hits).all(|(addr, hits)| {
        let least = hits_before.get(&addr).copied().unwrap_or(0);
        (least..=hits_after[&addr]).contains(&hits)
    })
}

fn addr_and_hits(entry: &Value) -> (String, u64) {
    let addr = entry["addr"].as_str().unwrap().to_owned();
    (addr, entry["hits"].as_u64().unwrap())
}

/// Checks that the figures of `top --json` lie between those of the maps before and
/// after it.
fn compare_json(site: &Site) {
    // A hit counts twice for a reader that reads the filter's cache and then the entry,
    // if the filter stores the cached hits in between. This is soon over.
    let between = || Ok(hits_lie_between(site).then_some(()));
    until("hits that lie between those of `list`", SOON, between).unwrap();
    // The daemon writes its state each second. `top` must show the state that `status`
    // shows right before or right after it.
    let state = |status: &Value| status["daemon"]["state"]["gate"].clone();
    let same = until("the state that `status` shows", SOON, || {
        let before: Value = serde_json::from_str(&site.status(&["--json"])?)?;
        let top = json(site, &["top", "--json"])?;
        let after: Value = serde_json::from_str(&site.status(&["--json"])?)?;
        let shown = state(&top["status"]);
        Ok((shown == state(&before) || shown == state(&after)).then_some(top))
    });
    let top = same.unwrap();
    assert_eq!(top["gate"]["open"], state(&top["status"])["open"], "{top}");
}

#[test]
fn top_shows_a_wave_as_the_maps_and_status_have_it() {
    let wave = Wave::new(Path::new(SPAMDROP), Mode::Admit, scale(), SEED).unwrap();
    let site = &wave.site;
    let small = open(site, "small", ["80", "24"], &["LC_ALL=C.UTF-8"]);
    let large = open(site, "large", ["200", "60"], &["LC_ALL=C", "NO_COLOR=1"]);
    thread::scope(|scope| {
        let running = scope.spawn(|| wave.run().unwrap());
        let is_busy = |screen: &str| {
            refused(screen) > Some(0)
                && screen.contains("strangers have to wait")
                && screen.contains("wave    since ")
        };
        for terminal in [&small, &large] {
            let screen = terminal.wait_for("the wave", scale().length, is_busy);
            screen.unwrap();
        }
        let comparisons =
            [&small, &large].map(|terminal| scope.spawn(move || compare_screen(site, terminal)));
        for comparison in comparisons {
            comparison.join().unwrap();
        }
        compare_json(site);
        assert!(!running.is_finished(), "the wave was over");
        let [utf8, ascii] = [&small, &large].map(|terminal| terminal.screen().unwrap());
        assert!(utf8.contains('█') || utf8.contains('▁'), "{utf8}");
        assert!(ascii.is_ascii(), "{ascii}");
        let colours = |terminal: &Tmux<'_>| terminal.ask(&["capture-pane", "-p", "-e"]).unwrap();
        let colour = Regex::new("\x1b\\[([0-9;]*;)?(3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]").unwrap();
        assert!(!colour.is_match(&colours(&large)), "{ascii}");
        small
            .ask(&["resize-window", "-x", "200", "-y", "60"])
            .unwrap();
        large
            .ask(&["resize-window", "-x", "80", "-y", "24"])
            .unwrap();
        let is_wide = |screen: &str| screen.contains("  ZONE") && screen.contains("  REASON");
        small.wait_for("the wide screen", SOON, is_wide).unwrap();
        let is_small = |screen: &str| screen.contains("ZONE OR REASON") && is_busy(screen);
        large.wait_for("the small screen", SOON, is_small).unwrap();
        compare_screen(site, &small);
        assert!(!running.is_finished(), "the wave was over");
    });
}
