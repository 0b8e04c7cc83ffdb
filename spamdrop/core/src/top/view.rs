//! The effects of keys in `top`.

use super::filter::SourceFilter;
use super::table::SourceOrder;
use crate::target::Target;

/// The longest filter in characters; an IPv6 prefix has 43.
const LONGEST: usize = 50;
/// Number of rows by which PageUp and PageDown move.
const PAGE: usize = 10;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopKey {
    /// A printable character.
    Char(char),
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first row.
    Home,
    /// To the last row.
    End,
    /// Return.
    Enter,
    /// Escape.
    Escape,
    /// Delete the last character.
    Backspace,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-L.
    Redraw,
}

/// A command about the selected source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopAction {
    /// Unblock it.
    Remove(Target),
    /// Unblock it, and never block it again.
    Allow(Target),
}

impl TopAction {
    /// The arguments of the `spamdrop` command that does it.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        let words = |verb: &[&str], target: Target| {
            let words = verb.iter().map(|word| (*word).to_owned());
            words.chain([target.to_string()]).collect()
        };
        match self {
            Self::Remove(target) => words(&["remove"], target),
            Self::Allow(target) => words(&["allow", "add"], target),
        }
    }
}

/// The part of the screen that takes the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TopMode {
    /// The list of the sources.
    #[default]
    List,
    /// The filter, while it is typed.
    Filter(String),
    /// The help.
    Help,
    /// The question whether to carry out an action.
    Confirm(TopAction),
    /// A text: its title, its lines, and the number of drawn rows that are scrolled out.
    Text(String, Vec<String>, usize),
}

/// The caller's task after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopEffect {
    /// To draw the screen.
    Draw,
    /// To draw every cell of the screen, because something else wrote on it.
    Redraw,
    /// To end.
    Quit,
    /// To show the details of a source.
    Show(Target),
    /// To carry out this action.
    Act(TopAction),
}

/// The state of the screen that the keys change.
#[derive(Clone, Debug, Default)]
pub struct TopView {
    /// The part of the screen that takes the keys.
    pub mode: TopMode,
    /// The order of the sources.
    pub order: SourceOrder,
    /// Which sources are shown.
    pub filter: SourceFilter,
    /// Whether the snapshot is frozen.
    pub is_paused: bool,
    /// The selected source.
    pub selected: Option<Target>,
    /// The row at which the selected source was last.
    row: usize,
    /// Maximum number of rows by which a text can be scrolled: the rows that do not fit in
    /// its window.
    hidden_rows: usize,
}

impl TopView {
    /// Takes a key, while these sources are shown.
    pub fn press(&mut self, key: TopKey, listed: &[Target]) -> TopEffect {
        if key == TopKey::Interrupt {
            return TopEffect::Quit;
        }
        if key == TopKey::Redraw {
            return TopEffect::Redraw;
        }
        match std::mem::take(&mut self.mode) {
            TopMode::List => return self.press_in_list(key, listed),
            TopMode::Filter(text) => self.type_filter(key, text),
            TopMode::Confirm(action) if key == TopKey::Char('y') => {
                return TopEffect::Act(action);
            }
            TopMode::Text(title, lines, above) => {
                let above = move_row(key, above, self.hidden_rows + 1);
                if let Some(above) = above {
                    self.mode = TopMode::Text(title, lines, above);
                }
            }
            // Every other key closes the help or the question.
            TopMode::Help | TopMode::Confirm(_) => {}
        }
        TopEffect::Draw
    }

    fn type_filter(&mut self, key: TopKey, mut text: String) {
        match key {
            TopKey::Enter => return,
            TopKey::Escape => text.clear(),
            TopKey::Backspace => drop(text.pop()),
            TopKey::Char(char) if text.len() < LONGEST && char.is_ascii_graphic() => {
                text.push(char);
            }
            _ => {}
        }
        self.filter = SourceFilter::new(&text);
        if key != TopKey::Escape {
            self.mode = TopMode::Filter(text);
        }
    }

    fn press_in_list(&mut self, key: TopKey, listed: &[Target]) -> TopEffect {
        let about = |action: fn(Target) -> TopAction| match self.selected {
            Some(target) => TopMode::Confirm(action(target)),
            None => TopMode::Text("no source is selected".into(), vec![SELECT.into()], 0),
        };
        match key {
            TopKey::Char('q') => return TopEffect::Quit,
            TopKey::Char('s') => self.order = self.order.next(),
            TopKey::Char('p' | ' ') => self.is_paused = !self.is_paused,
            TopKey::Char('?' | 'h') => self.mode = TopMode::Help,
            TopKey::Char('/' | 'f') => self.mode = TopMode::Filter(self.filter.as_str().to_owned()),
            TopKey::Char('r') => self.mode = about(TopAction::Remove),
            TopKey::Char('a') => self.mode = about(TopAction::Allow),
            TopKey::Enter => match self.selected {
                Some(target) => return TopEffect::Show(target),
                None => self.select(0, listed),
            },
            TopKey::Escape if self.selected.is_none() => self.filter = SourceFilter::default(),
            TopKey::Escape => self.selected = None,
            key => {
                let row = match self.selected {
                    Some(_) => move_row(key, self.row, listed.len()),
                    // Without a selection, each key that moves selects the first row.
                    None => move_row(key, 0, listed.len()).map(|_| 0),
                };
                if let Some(row) = row {
                    self.select(row, listed);
                }
            }
        }
        TopEffect::Draw
    }

    fn select(&mut self, row: usize, listed: &[Target]) {
        self.selected = listed.get(row).copied();
        self.row = row;
    }

    /// Follows the selected source to its row in a new list. A source that is not
    /// shown any more is not selected: a key must not act on another source.
    pub fn follow(&mut self, listed: &[Target]) -> Option<usize> {
        let selected = self.selected?;
        let row = listed.iter().position(|target| *target == selected);
        match row {
            Some(row) => self.row = row,
            None => self.selected = None,
        }
        row
    }
}

impl TopView {
    /// Sets the number of rows of the drawn text for which its window has no room. No
    /// more rows than these can be scrolled out.
    pub fn limit_scroll(&mut self, hidden_rows: usize) {
        self.hidden_rows = hidden_rows;
        if let TopMode::Text(_, _, above) = &mut self.mode {
            *above = (*above).min(hidden_rows);
        }
    }
}

const SELECT: &str = "Select one with the arrow keys first.";

/// The row to which a key moves; `None`: it is not a key that moves.
fn move_row(key: TopKey, row: usize, rows: usize) -> Option<usize> {
    let row = match key {
        TopKey::Up | TopKey::Char('k') => row.saturating_sub(1),
        TopKey::Down | TopKey::Char('j') => row + 1,
        TopKey::PageUp => row.saturating_sub(PAGE),
        TopKey::PageDown => row + PAGE,
        TopKey::Home => 0,
        TopKey::End => usize::MAX,
        _ => return None,
    };
    Some(row.min(rows.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn targets(texts: &[&str]) -> Vec<Target> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn three() -> Vec<Target> {
        targets(&["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    }

    fn press(view: &mut TopView, keys: &str) -> TopEffect {
        let mut effect = TopEffect::Draw;
        for char in keys.chars() {
            let key = match char {
                '\n' => TopKey::Enter,
                '\x1b' => TopKey::Escape,
                '\x08' => TopKey::Backspace,
                '\x03' => TopKey::Interrupt,
                char => TopKey::Char(char),
            };
            effect = view.press(key, &three());
        }
        effect
    }

    #[test]
    fn the_selection_keeps_its_source_when_the_order_changes() {
        let mut view = TopView::default();
        assert_eq!(view.follow(&three()), None);
        press(&mut view, "jj");
        assert_eq!(view.selected, Some(three()[1]));
        let other = targets(&["192.0.2.2", "192.0.2.3", "192.0.2.1"]);
        assert_eq!(view.follow(&other), Some(0));
        assert_eq!(view.press(TopKey::Down, &other), TopEffect::Draw);
        assert_eq!(view.selected, Some(other[1]));
        for (key, row) in [
            (TopKey::End, 2),
            (TopKey::Up, 1),
            (TopKey::PageUp, 0),
            (TopKey::PageDown, 2),
            (TopKey::Down, 2),
            (TopKey::Home, 0),
        ] {
            view.press(key, &other);
            assert_eq!(view.selected, Some(other[row]), "{key:?}");
        }
    }

    #[test]
    fn a_source_that_is_gone_is_not_selected() {
        let mut view = TopView::default();
        press(&mut view, "j");
        assert_eq!(view.follow(&three()[1..]), None);
        assert_eq!(view.selected, None);
        press(&mut view, "r");
        assert!(matches!(view.mode, TopMode::Text(..)), "{:?}", view.mode);
    }

    #[test]
    fn a_change_needs_a_yes() {
        let mut view = TopView::default();
        let first = three()[0];
        for (keys, action) in [
            ("r", TopAction::Remove(first)),
            ("a", TopAction::Allow(first)),
        ] {
            press(&mut view, "j");
            view.press(TopKey::Home, &three());
            press(&mut view, keys);
            assert_eq!(view.mode, TopMode::Confirm(action));
            for no in ["n", "\n", "\x1b"] {
                press(&mut view, keys);
                view.mode = TopMode::Confirm(action);
                assert_eq!(press(&mut view, no), TopEffect::Draw);
                assert_eq!(view.mode, TopMode::List);
            }
            view.mode = TopMode::Confirm(action);
            assert_eq!(press(&mut view, "y"), TopEffect::Act(action));
            assert_eq!(view.mode, TopMode::List);
        }
        let words = TopAction::Allow(first).words();
        assert_eq!(words, ["allow", "add", "192.0.2.1"]);
        assert_eq!(TopAction::Remove(first).words(), ["remove", "192.0.2.1"]);
        // The command names an address, a /64 and another prefix as they were blocked.
        for text in ["2001:db8::1/128", "2001:db8::/64", "2001:db8::/32"] {
            let action = TopAction::Remove(text.parse().unwrap());
            assert_eq!(action.words(), ["remove", text]);
        }
    }

    #[test]
    fn a_filter_is_typed_and_taken_back() {
        let mut view = TopView::default();
        press(&mut view, "/192.0.2.1x\x08\n");
        assert_eq!(view.mode, TopMode::List);
        assert_eq!(view.filter.as_str(), "192.0.2.1");
        // While a filter is typed, the keys of the list are letters of the filter.
        press(&mut view, "/qs");
        assert_eq!(view.filter.as_str(), "192.0.2.1qs");
        assert_eq!(view.order, SourceOrder::Rate);
        press(&mut view, "\x1b");
        assert!(view.filter.is_empty() && view.mode == TopMode::List);
        press(&mut view, "/7\n\x1b");
        assert!(view.filter.is_empty());
    }

    #[test]
    fn keys_sort_pause_show_and_quit() {
        let mut view = TopView::default();
        let orders = ["s", "s", "s"].map(|key| {
            press(&mut view, key);
            view.order.name()
        });
        assert_eq!(orders, ["hits", "expiry", "hits/s"]);
        press(&mut view, "p");
        assert!(view.is_paused);
        press(&mut view, "p");
        assert!(!view.is_paused);
        assert_eq!(press(&mut view, "j\n"), TopEffect::Show(three()[0]));
        press(&mut view, "?");
        assert_eq!(view.mode, TopMode::Help);
        // The key that ends the help does nothing else.
        assert_eq!(press(&mut view, "q"), TopEffect::Draw);
        assert_eq!(press(&mut view, "q"), TopEffect::Quit);
        press(&mut view, "/");
        assert_eq!(press(&mut view, "\x03"), TopEffect::Quit);
    }

    #[test]
    fn a_long_text_scrolls_and_any_other_key_ends_it() {
        let mut view = TopView::default();
        let lines: Vec<String> = (0..5).map(|line| line.to_string()).collect();
        view.mode = TopMode::Text("title".into(), lines.clone(), 0);
        // Two of its rows do not fit in the window.
        view.limit_scroll(2);
        press(&mut view, "jjj");
        assert_eq!(view.mode, TopMode::Text("title".into(), lines.clone(), 2));
        assert_eq!(view.press(TopKey::Redraw, &three()), TopEffect::Redraw);
        // The window was made larger.
        view.limit_scroll(1);
        assert_eq!(view.mode, TopMode::Text("title".into(), lines, 1));
        press(&mut view, "\x1b");
        assert_eq!(view.mode, TopMode::List);
    }
}
