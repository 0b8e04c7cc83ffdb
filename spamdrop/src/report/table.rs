//! Aligned columns.

use std::io::{self, Write};

/// Whether the reader is a terminal that wants colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// Headings in bold.
    Coloured,
}

/// The side at which a column's cells end evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column.
pub struct Column<Row> {
    /// Its heading.
    pub heading: &'static str,
    /// Its alignment.
    pub align: Align,
    /// The text of a row's cell, in ASCII.
    pub cell: fn(&Row) -> String,
}

/// A column of words.
pub const fn left<Row>(heading: &'static str, cell: fn(&Row) -> String) -> Column<Row> {
    Column {
        heading,
        align: Align::Left,
        cell,
    }
}

/// A column of numbers.
pub const fn right<Row>(heading: &'static str, cell: fn(&Row) -> String) -> Column<Row> {
    Column {
        heading,
        align: Align::Right,
        cell,
    }
}

/// Writes a heading and the rows. Cells are made twice, once to measure them,
/// so that a million rows need no memory of their own.
///
/// # Errors
///
/// The writer fails.
pub fn write<Row>(
    out: &mut impl Write,
    style: Style,
    columns: &[Column<Row>],
    rows: &[Row],
) -> io::Result<()> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.heading.len()).collect();
    for row in rows {
        for (width, column) in widths.iter_mut().zip(columns) {
            *width = (*width).max((column.cell)(row).len());
        }
    }
    let aligns = columns.iter().map(|column| column.align);
    let layout: Vec<(usize, Align)> = widths.into_iter().zip(aligns).collect();
    let (bold, normal) = match style {
        Style::Plain => ("", ""),
        Style::Coloured => ("\x1b[1m", "\x1b[0m"),
    };
    let headings = columns.iter().map(|column| column.heading.to_owned());
    writeln!(out, "{bold}{}{normal}", line(&layout, headings))?;
    for row in rows {
        let cells = columns.iter().map(|column| (column.cell)(row));
        writeln!(out, "{}", line(&layout, cells))?;
    }
    Ok(())
}

fn line(layout: &[(usize, Align)], cells: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for ((width, align), cell) in layout.iter().zip(cells) {
        let blanks = " ".repeat(width.saturating_sub(cell.len()));
        let (before, after) = match align {
            Align::Left => ("", blanks.as_str()),
            Align::Right => (blanks.as_str(), ""),
        };
        text.extend([before, &cell, after, "  "]);
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const COLUMNS: [Column<(&'static str, u32)>; 2] = [
        right("HITS", |row| row.1.to_string()),
        left("NAME", |row| row.0.into()),
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
