//! The terminal's abilities that change how `top` is drawn.

use ratatui::style::{Color, Style as CellStyle};

use crate::render::table::Style;

/// The abilities of a terminal.
#[derive(Clone, Copy, Debug)]
pub struct TerminalLook {
    /// Whether colours are used.
    pub style: Style,
    /// Whether characters beyond ASCII are used.
    pub is_utf8: bool,
}

impl TerminalLook {
    pub(super) fn colour(self, colour: Color) -> CellStyle {
        match self.style {
            Style::Coloured => CellStyle::new().fg(colour),
            Style::Plain => CellStyle::new(),
        }
    }
}
