//! Writes tables with aligned columns.

use std::fmt;
use std::io::{self, Write};
use std::iter::repeat_n;

/// How headings are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As plain text.
    Plain,
    /// In bold, for a terminal.
    Coloured,
}

/// Alignment of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// To the left, for words.
    Left,
    /// To the right, for numbers.
    Right,
}

/// A column.
pub struct Column<Row> {
    /// Its heading.
    pub heading: &'static str,
    /// Its alignment.
    pub align: Align,
    /// Appends the text of a row's cell, in ASCII.
    pub cell: Cell<Row>,
}

/// Appends the text of a row's cell. This is twice as fast as returning a
/// string for each cell.
pub type Cell<Row> = fn(&Row, &mut String) -> fmt::Result;

/// A column of words.
pub const fn left<Row>(heading: &'static str, cell: Cell<Row>) -> Column<Row> {
    Column {
        heading,
        align: Align::Left,
        cell,
    }
}

/// A column of numbers.
pub const fn right<Row>(heading: &'static str, cell: Cell<Row>) -> Column<Row> {
    Column {
        heading,
        align: Align::Right,
        cell,
    }
}

/// Writes a heading and the rows. Each cell is rendered twice, first to measure
/// it, so that a million rows need no extra memory.
pub fn write<Row>(
    out: &mut impl Write,
    style: Style,
    columns: &[Column<Row>],
    rows: &[Row],
) -> io::Result<()> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.heading.len()).collect();
    let mut text = String::new();
    for row in rows {
        for (width, column) in widths.iter_mut().zip(columns) {
            text.clear();
            (column.cell)(row, &mut text).map_err(io::Error::other)?;
            *width = text.len().max(*width);
        }
    }
    let (bold, normal) = match style {
        Style::Plain => ("", ""),
        Style::Coloured => ("\x1b[1m", "\x1b[0m"),
    };
    let mut line = String::new();
    for (column, width) in columns.iter().zip(&widths) {
        push(&mut line, column.heading, *width, column.align);
    }
    writeln!(out, "{bold}{}{normal}", line.trim_end())?;
    for row in rows {
        line.clear();
        for (column, width) in columns.iter().zip(&widths) {
            text.clear();
            (column.cell)(row, &mut text).map_err(io::Error::other)?;
            push(&mut line, &text, *width, column.align);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn push(line: &mut String, cell: &str, width: usize, align: Align) {
    let blanks = repeat_n(' ', width.saturating_sub(cell.len()));
    match align {
        Align::Left => {
            line.push_str(cell);
            line.extend(blanks);
        }
        Align::Right => {
            line.extend(blanks);
            line.push_str(cell);
        }
    }
    line.push_str("  ");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fmt::Write as _;

    use super::*;

    const COLUMNS: [Column<(&'static str, u32)>; 2] = [
        right("HITS", |row, text| write!(text, "{}", row.1)),
        left("NAME", |row, text| text.write_str(row.0)),
    ];

    fn text(style: Style, rows: &[(&'static str, u32)]) -> String {
        let mut out = Vec::new();
        write(&mut out, style, &COLUMNS, rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_end_and_words_begin_evenly() {
        assert_eq!(
            text(Style::Plain, &[("a", 7), ("bc", 12345)]),
            " HITS  NAME\n    7  a\n12345  bc\n"
        );
        assert_eq!(text(Style::Plain, &[]), "HITS  NAME\n");
    }

    #[test]
    fn a_terminal_gets_bold_headings() {
        assert_eq!(
            text(Style::Coloured, &[("a", 7)]),
            "\x1b[1mHITS  NAME\x1b[0m\n   7  a\n"
        );
    }
}
