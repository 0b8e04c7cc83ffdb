//! `cargo xtask pictures`: writes the pictures of the guide and, with `--look`,
//! checks the pages of `report --html` in a browser.
//!
//! The test suite compares the pictures and parses the pages. The check in a
//! browser is not part of it, because Chromium is several times as large as all
//! other tools together. Use `--look` after a change of the pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::command::{cargo, command_line, find, run as run_command};
use crate::{say, setup};

/// The directory of the pages, and of the browser's images of them.
const WORK: &str = "target/pictures";
/// The widths of a telephone and of a large screen, in pixels.
const WIDTHS: [u32; 2] = [400, 1_400];
/// The names of the colour schemes, and Blink's numbers for them.
const SCHEMES: [(&str, u32); 2] = [("dark", 0), ("light", 1)];
/// The script that measures a page in the browser.
const PROBE: &str = include_str!("pictures/probe.js");

/// Options of `cargo xtask pictures`.
#[derive(Args)]
pub struct Options {
    /// Also open the pages in Chromium: images of them in target/pictures, and an
    /// error for each text that touches another, is cut off, or is hard to read
    #[arg(long)]
    look: bool,
}

/// Writes the pictures, and looks at the pages if the options say so.
///
/// # Errors
///
/// The tests cannot be built, or the look at a page found faults.
pub fn run(options: &Options) -> Result<()> {
    setup::building()?;
    let work = std::env::current_dir()?.join(WORK);
    let mut test = cargo(["test", "--quiet", "--package", "spamdrop", "--test", "cli"]);
    test.arg("report::pictures");
    test.env("SPAMDROP_PAGES", &work);
    test.env("SPAMDROP_WRITE_PICTURES", "1");
    run_command(&mut test)?;
    say(&format!("wrote spamdrop/docs/pictures and {WORK}"));
    if options.look {
        look(&work)?;
    }
    Ok(())
}

fn look(work: &Path) -> Result<()> {
    let browser = find("chromium").context("there is no Chromium: apt-get install chromium")?;
    let mut findings = String::new();
    let mut pages = 0;
    for entry in fs::read_dir(work)? {
        let page = entry?.path();
        let is_page = page
            .extension()
            .is_some_and(|extension| extension == "html");
        let is_probe = page.to_string_lossy().ends_with(".probe.html");
        if is_page && !is_probe {
            pages += 1;
            findings += &look_at(&browser, &page)?;
        }
    }
    ensure!(pages > 0, "there are no pages in {WORK}");
    ensure!(findings.is_empty(), "the pages:{findings}");
    say(&format!(
        "looked at {pages} pages; their images are in {WORK}"
    ));
    Ok(())
}

fn look_at(browser: &Path, page: &Path) -> Result<String> {
    let mut findings = String::new();
    for width in WIDTHS {
        let probe = write_probe(page, width)?;
        for (scheme, number) in SCHEMES {
            let name = page.file_stem().unwrap_or_default().to_string_lossy();
            let image = page.with_file_name(format!("{name}-{width}-{scheme}.png"));
            let open = |path: &Path, what: String| {
                let mut command = Command::new(browser);
                command.args(["--headless", "--disable-gpu", "--hide-scrollbars"]);
                // Chromium's sandbox does not work for root. The pages are our own.
                command.args(["--no-sandbox", "--enable-logging=stderr", "--log-level=0"]);
                command.arg(format!("--blink-settings=preferredColorScheme={number}"));
                command.arg(format!("--window-size={width},4000")).arg(what);
                command.arg(format!("file://{}", path.display()));
                output(&mut command)
            };
            let (_, log) = open(page, format!("--screenshot={}", image.display()))?;
            let refused = log
                .lines()
                .filter(|line| line.contains("Content Security Policy"));
            let refused: Vec<&str> = refused.collect();
            let (dom, _) = open(&probe, "--dump-dom".into())?;
            let (_, text) = dom
                .split_once("<pre id=\"findings\">")
                .context("no findings")?;
            let (text, _) = text
                .split_once("</pre>")
                .context("no end of the findings")?;
            let expected = format!("dark: {}\nwidth: {width}", scheme == "dark");
            let Some(found) = text.strip_prefix(&expected) else {
                bail!("Chromium shows {}: {text}", image.display());
            };
            for line in found.lines().filter(|line| !line.is_empty()).chain(refused) {
                findings += &format!("\n{name}, {width} pixels, {scheme}: {line}");
            }
        }
    }
    Ok(findings)
}

/// Writes a copy of a page with the script that measures it. The copy has no
/// Content-Security-Policy, because that would refuse the script. The copy is in a frame
/// of the wanted width, because Chromium's windows are at least 500 pixels wide.
fn write_probe(page: &Path, width: u32) -> Result<PathBuf> {
    let text = fs::read_to_string(page)?;
    let (head, policy) = text
        .split_once("<meta http-equiv=\"Content-Security-Policy\"")
        .with_context(|| format!("{} has no policy", page.display()))?;
    let (_, rest) = policy.split_once("/>").context("no end of the policy")?;
    let (body, end) = rest.split_once("</body>").context("no end of the page")?;
    let text = format!("{head}{body}<script>{PROBE}</script></body>{end}");
    let text = text.replace('&', "&amp;").replace('"', "&quot;");
    let probe = page.with_extension("probe.html");
    fs::write(
        &probe,
        format!(
            "<!DOCTYPE html><meta charset=utf-8><style>:root{{color-scheme:light dark}}\
             iframe{{border:0}}</style><iframe width={width} height=4000 srcdoc=\"{text}\"></iframe>"
        ),
    )?;
    Ok(probe)
}

/// Runs a command; returns its output and its messages.
fn output(command: &mut Command) -> Result<(String, String)> {
    command.stdin(Stdio::null());
    let line = command_line(command);
    let done = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (out, messages) = (text(done.stdout), text(done.stderr));
    ensure!(
        done.status.success(),
        "`{line}`: {}\n{messages}",
        done.status
    );
    Ok((out, messages))
}
