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

/// The distance between two columns.
const GAP: usize = 2;

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
    write_within(out, style, columns, rows, usize::MAX, &[]).map(drop)
}

/// As [`write`], in lines of at most `width` characters: leaves out as many of the
/// columns with the headings in `optional` as needed, the first one first. Returns
/// how many it has left out. If that is not enough, the lines are cut.
pub fn write_within<Row>(
    out: &mut impl Write,
    style: Style,
    columns: &[Column<Row>],
    rows: &[Row],
    width: usize,
    optional: &[&str],
) -> io::Result<usize> {
    let mut columns: Vec<_> = columns.iter().zip(widths(columns, rows)?).collect();
    let mut left_out = 0;
    for heading in optional {
        let total: usize = columns.iter().map(|(_, width)| width + GAP).sum();
        if total <= width.saturating_add(GAP) {
            break;
        }
        columns.retain(|(column, _)| column.heading != *heading);
        left_out += 1;
    }
    let (bold, normal) = match style {
        Style::Plain => ("", ""),
        Style::Coloured => ("\x1b[1m", "\x1b[0m"),
    };
    let (mut line, mut text) = (String::new(), String::new());
    for (column, width) in &columns {
        push(&mut line, column.heading, *width, column.align);
    }
    writeln!(out, "{bold}{}{normal}", cut(&line, width))?;
    for row in rows {
        line.clear();
        for (column, width) in &columns {
            text.clear();
            (column.cell)(row, &mut text).map_err(io::Error::other)?;
            push(&mut line, &text, *width, column.align);
        }
        writeln!(out, "{}", cut(&line, width))?;
    }
    Ok(left_out)
}

/// The width of each column.
fn widths<Row>(columns: &[Column<Row>], rows: &[Row]) -> io::Result<Vec<usize>> {
    let mut widths: Vec<usize> = columns.iter().map(|column| column.heading.len()).collect();
    let mut text = String::new();
    for row in rows {
        for (width, column) in widths.iter_mut().zip(columns) {
            text.clear();
            (column.cell)(row, &mut text).map_err(io::Error::other)?;
            *width = text.len().max(*width);
        }
    }
    Ok(widths)
}

/// Cuts a line to `width` characters, and removes the blanks at its end.
fn cut(line: &str, width: usize) -> &str {
    let line = line.trim_end();
    if line.len() <= width {
        return line;
    }
    let end = line
        .char_indices()
        .nth(width)
        .map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or(line).trim_end()
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
    line.extend(repeat_n(' ', GAP));
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

    fn format_rows(style: Style, rows: &[(&'static str, u32)]) -> String {
        let mut out = Vec::new();
        write(&mut out, style, &COLUMNS, rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_end_and_words_begin_evenly() {
        assert_eq!(
            format_rows(Style::Plain, &[("a", 7), ("bc", 12345)]),
            " HITS  NAME\n    7  a\n12345  bc\n"
        );
        assert_eq!(format_rows(Style::Plain, &[]), "HITS  NAME\n");
    }

    #[test]
    fn a_narrow_table_has_fewer_columns() {
        let rows = [("a", 7), ("bc", 12345)];
        let within = |width, optional| {
            let mut out = Vec::new();
            let left_out =
                write_within(&mut out, Style::Plain, &COLUMNS, &rows, width, optional).unwrap();
            (left_out, String::from_utf8(out).unwrap())
        };
        let all = (0, " HITS  NAME\n    7  a\n12345  bc\n".to_owned());
        assert_eq!(within(11, &["NAME", "HITS"]), all);
        let one = (1, " HITS\n    7\n12345\n".to_owned());
        assert_eq!(within(10, &["NAME", "HITS"]), one);
        let cut = (0, " HITS  N\n    7  a\n12345  b\n".to_owned());
        assert_eq!(within(8, &[]), cut);
    }

    #[test]
    fn a_terminal_gets_bold_headings() {
        assert_eq!(
            format_rows(Style::Coloured, &[("a", 7)]),
            "\x1b[1mHITS  NAME\x1b[0m\n   7  a\n"
        );
    }
}
