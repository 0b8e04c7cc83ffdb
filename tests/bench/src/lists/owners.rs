//! Owners: a million entries of one list, and a second list that is replaced.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::{MANY, Spamdrop, addresses, printed, write};
use crate::packets::{capacity, say};
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

const MILLION: &str = "/run/million";
/// Two versions of the second list, which replace each other in turn. They have half of
/// their addresses in common.
const LISTS: [&str; 2] = ["/run/first", "/run/second"];
const LENGTH: u32 = 100_000;

/// Measures `list --owner` of a million entries, and `import --replace` of a list of
/// 100,000 addresses while the million entries exist.
///
/// # Errors
///
/// A command fails or has a wrong result.
pub fn measure(rounds: usize) -> Result<Vec<Case>> {
    say("owners of a million");
    let spamdrop = Spamdrop::new(capacity(MANY + 2 * LENGTH))?;
    write(&spamdrop.host, MILLION, lines(0, MANY)?)?;
    for (path, begin) in LISTS.into_iter().zip([MANY, MANY + LENGTH / 2]) {
        write(&spamdrop.host, path, lines(begin, LENGTH)?)?;
    }
    spamdrop.time(&["attach", "eth0"])?;
    spamdrop.time(&["import", "--owner", "million", "--for", "1d", MILLION])?;
    spamdrop.time(&["import", "--owner", "short", "--for", "1d", LISTS[0]])?;
    let (mut list, mut replace) = (Sample::default(), Sample::default());
    for round in 0..rounds {
        let time = spamdrop.time(&["list", "--owner", "million"])?;
        list.0.push(time.as_secs_f64());
        let lines = printed(&spamdrop.host, "\n")?;
        ensure!(lines == MANY as usize + 2, "{lines} lines were listed");
        let path = LISTS[(round + 1) % LISTS.len()];
        let swap = [
            "import",
            "--owner",
            "short",
            "--replace",
            "--for",
            "1d",
            path,
        ];
        replace.0.push(spamdrop.time(&swap)?.as_secs_f64());
        let said = printed(&spamdrop.host, "removed 50000 entries\n")?;
        ensure!(said == 1, "half of the list was not removed");
    }
    spamdrop.time(&["detach"])?;
    let case = |name: &str, sample, most| {
        Case::new(name, Unit::Milliseconds, "spamdrop", sample).with_bar(Bar::AtMost(most))
    };
    Ok(vec![
        case("list --owner, 1,000,000", list, 1.0),
        case("import --replace, 100,000 beside 1,000,000", replace, 0.5),
    ])
}

fn lines(begin: u32, number: u32) -> Result<String> {
    let mut text = String::new();
    let (begin, all) = (begin as usize, begin + number);
    for addr in addresses(all).skip(begin) {
        writeln!(text, "{addr}")?;
    }
    Ok(text)
}
