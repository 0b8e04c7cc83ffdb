//! The keys of the terminal.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use spamdrop_core::top::TopKey;

/// The key that was pressed. `None`: the event is no key press that `top` uses.
pub(super) fn read_key(event: KeyEvent) -> Option<TopKey> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c') => Some(TopKey::Interrupt),
            KeyCode::Char('l') => Some(TopKey::Redraw),
            _ => None,
        };
    }
    Some(match event.code {
        KeyCode::Char(char) => TopKey::Char(char),
        KeyCode::Up => TopKey::Up,
        KeyCode::Down => TopKey::Down,
        KeyCode::PageUp => TopKey::PageUp,
        KeyCode::PageDown => TopKey::PageDown,
        KeyCode::Home => TopKey::Home,
        KeyCode::End => TopKey::End,
        KeyCode::Enter => TopKey::Enter,
        KeyCode::Esc => TopKey::Escape,
        KeyCode::Backspace => TopKey::Backspace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_c_ends_control_l_redraws_and_no_other_control_key_is_a_letter() {
        let event = |char, modifiers| KeyEvent::new(KeyCode::Char(char), modifiers);
        assert_eq!(
            read_key(event('q', KeyModifiers::NONE)),
            Some(TopKey::Char('q'))
        );
        assert_eq!(
            read_key(event('R', KeyModifiers::SHIFT)),
            Some(TopKey::Char('R'))
        );
        assert_eq!(
            read_key(event('c', KeyModifiers::CONTROL)),
            Some(TopKey::Interrupt)
        );
        assert_eq!(
            read_key(event('l', KeyModifiers::CONTROL)),
            Some(TopKey::Redraw)
        );
        assert_eq!(read_key(event('r', KeyModifiers::CONTROL)), None);
    }
}
