//! The output of the demo.

use std::io::{IsTerminal as _, Stdout, Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Width of the column with the expectation; the result follows it.
const EXPECTED_WIDTH: usize = 44;

/// Prints steps, each with the expectation and the result.
pub struct Story {
    out: Stdout,
    is_terminal: bool,
    has_colour: bool,
    steps: u32,
    start: Instant,
}

#[derive(Clone, Copy)]
enum Style {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
}

impl Story {
    /// Starts the output. Colour is used on terminals, unless `NO_COLOR` is
    /// set.
    pub fn new() -> Self {
        let out = stdout();
        let is_terminal = out.is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out,
            is_terminal,
            has_colour: is_terminal && !no_colour,
            steps: 0,
            start: Instant::now(),
        }
    }

    /// Prints a headline.
    ///
    /// # Errors
    ///
    /// Standard output is closed; the same holds for the other methods.
    pub fn scene(&mut self, title: &str) -> Result<()> {
        Ok(writeln!(self.out, "\n{}", self.styled(Style::Bold, title))?)
    }

    /// Runs and prints one step. `look` returns the result, or fails if it
    /// differs from the expectation.
    ///
    /// # Errors
    ///
    /// `look` failed; the error names the step.
    pub fn step(&mut self, expected: &str, look: impl FnOnce() -> Result<String>) -> Result<()> {
        if self.is_terminal {
            write!(self.out, "  … {expected}")?;
            self.out.flush()?;
        }
        let seen = look();
        let (mark, style, text) = match &seen {
            Ok(seen) => ("✓", Style::Green, seen.clone()),
            Err(error) => ("✗", Style::Red, format!("{error:#}")),
        };
        let mark = self.styled(style, mark);
        let again = if self.is_terminal { "\r" } else { "" };
        writeln!(
            self.out,
            "{again}  {mark} {expected:<EXPECTED_WIDTH$}  {text}"
        )?;
        self.steps += 1;
        seen.map(drop)
            .with_context(|| format!("not as expected: {expected}"))
    }

    /// Prints a command and its output.
    ///
    /// # Errors
    ///
    /// As [`Story::scene`].
    pub fn shows<'a>(
        &mut self,
        command: &str,
        lines: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        let command = self.styled(Style::Dim, &format!("$ {command}"));
        writeln!(self.out, "  {command}")?;
        for line in lines {
            writeln!(self.out, "    {line}")?;
        }
        Ok(())
    }

    /// Prints the last line.
    ///
    /// # Errors
    ///
    /// As [`Story::scene`].
    pub fn end(mut self) -> Result<()> {
        let (steps, took) = (self.steps, human(self.start.elapsed()));
        self.scene(&format!("All {steps} steps went as expected, in {took}."))
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.has_colour {
            format!("\x1b[{}m{text}\x1b[0m", style as u8)
        } else {
            text.to_owned()
        }
    }
}

/// Formats a duration as `12 ms` or `3.4 s`.
pub fn human(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
