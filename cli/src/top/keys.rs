//! Which key does what.

use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    SortByNext,
    Reverse,
    Up,
    Down,
    Pause,
    Faster,
    Slower,
    /// The window has another size: draw again.
    Redraw,
}

pub(super) fn action(event: &Event) -> Option<Action> {
    let key = match event {
        Event::Resize(..) => return Some(Action::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if has_control => Some(Action::Quit),
        KeyCode::Char('l') if has_control => Some(Action::Redraw),
        KeyCode::Char('q') | KeyCode::Esc => Some(Action::Quit),
        KeyCode::Char('s') => Some(Action::SortByNext),
        KeyCode::Char('r') => Some(Action::Reverse),
        KeyCode::Char('p' | ' ') => Some(Action::Pause),
        KeyCode::Char('+') => Some(Action::Faster),
        KeyCode::Char('-') => Some(Action::Slower),
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Down),
        _ => None,
    }
}
