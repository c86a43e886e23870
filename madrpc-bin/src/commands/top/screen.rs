//! What the screen remembers between two drawings, and what keys do to it.

use super::model::Model;
use super::panes::{Order, Pane};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Longer filters than any name are of no use.
const FILTER_MAX: usize = 64;

/// What is shown, and how.
#[derive(Default)]
pub(super) struct Screen {
    pub(super) address: String,
    pub(super) interval_ms: u64,
    pub(super) pane: Pane,
    pub(super) order: Order,
    pub(super) filter: String,
    /// Whether keys are letters of the filter.
    pub(super) is_typing: bool,
    pub(super) has_help: bool,
    /// What is shown while it is paused.
    pub(super) paused: Option<Box<Model>>,
    /// Of each pane, the first line that is shown.
    pub(super) offsets: [usize; Pane::ALL.len()],
    /// How many lines of the selected pane were shown at the last drawing.
    pub(super) page: usize,
}

impl Screen {
    pub(super) fn new(address: &str, interval_ms: u64) -> Self {
        Self {
            address: address.to_owned(),
            interval_ms,
            page: 1,
            ..Self::default()
        }
    }

    /// Does what the key says; says whether that is to leave.
    pub(super) fn on_key(&mut self, key: &KeyEvent, model: &Model) -> bool {
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return true;
        }
        if self.is_typing {
            self.on_letter(key.code);
            return false;
        }
        if self.has_help {
            self.has_help = false;
            return key.code == KeyCode::Char('q');
        }
        match key.code {
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('?' | 'h') => self.has_help = true,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char(' ') => {
                self.paused = match self.paused {
                    Some(_) => None,
                    None => Some(Box::new(model.clone())),
                };
            }
            KeyCode::Tab => self.pane = self.pane.after(1),
            KeyCode::BackTab => self.pane = self.pane.after(Pane::ALL.len() - 1),
            KeyCode::Char(digit) if let Some(pane) = Pane::of_key(digit) => self.pane = pane,
            code => self.scroll(code),
        }
        false
    }

    /// A key while the filter is typed.
    fn on_letter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(letter) if self.filter.chars().count() < FILTER_MAX => {
                self.filter.push(letter);
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            _ => {}
        }
        self.offsets = Default::default();
    }

    /// Scrolls; the next drawing keeps it within the table.
    fn scroll(&mut self, key: KeyCode) {
        let offset = &mut self.offsets[self.pane as usize];
        *offset = match key {
            KeyCode::Up | KeyCode::Char('k') => offset.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => offset.saturating_add(1),
            KeyCode::PageUp => offset.saturating_sub(self.page),
            KeyCode::PageDown => offset.saturating_add(self.page),
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => *offset,
        };
    }

    /// Whether one of these names has the filter in it, whatever the case.
    pub(super) fn lets_through(&self, names: &[&str]) -> bool {
        let filter = self.filter.to_lowercase();
        names
            .iter()
            .any(|name| name.to_lowercase().contains(&filter))
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::snapshot;
    use super::*;

    fn type_in(screen: &mut Screen, model: &Model, keys: &[KeyCode]) -> bool {
        let keys = keys.iter().map(|&code| KeyEvent::from(code));
        keys.map(|key| screen.on_key(&key, model))
            .fold(false, |_, leaves| leaves)
    }

    #[test]
    fn a_filter_is_typed_and_taken_back() {
        let (mut screen, model) = (Screen::new("a:1", 250), Model::new());
        let typed = ['/', 'q', 'X'].map(KeyCode::Char);
        assert!(!type_in(&mut screen, &model, &typed));
        assert_eq!((screen.filter.as_str(), screen.is_typing), ("qX", true));
        assert!(screen.lets_through(&["a:1", "the Qx"]) && !screen.lets_through(&["q"]));
        type_in(&mut screen, &model, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!((screen.filter.as_str(), screen.is_typing), ("q", false));
        // The first takes the filter back, the second leaves.
        assert!(!type_in(&mut screen, &model, &[KeyCode::Esc]));
        assert!(screen.filter.is_empty() && screen.lets_through(&[""]));
        assert!(type_in(&mut screen, &model, &[KeyCode::Esc]));
        assert!(type_in(&mut screen, &model, &[KeyCode::Char('q')]));
        type_in(&mut screen, &model, &[KeyCode::Char('/')]);
        type_in(&mut screen, &model, &[KeyCode::Char('é'); 2 * FILTER_MAX]);
        assert_eq!(screen.filter.chars().count(), FILTER_MAX);
        let leave = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(screen.on_key(&leave, &model));
    }

    #[test]
    fn panes_are_chosen_and_pausing_keeps_what_is_shown() {
        let (mut screen, mut model) = (Screen::new("a:1", 250), Model::new());
        type_in(&mut screen, &model, &[KeyCode::Tab, KeyCode::Tab]);
        assert_eq!(screen.pane, Pane::ALL[2]);
        type_in(
            &mut screen,
            &model,
            &[KeyCode::BackTab, KeyCode::BackTab, KeyCode::BackTab],
        );
        assert_eq!(Some(&screen.pane), Pane::ALL.last());
        type_in(&mut screen, &model, &['4', '9'].map(KeyCode::Char));
        assert_eq!(screen.pane, Pane::ALL[3]);
        model.succeeded(snapshot(1000, vec![]));
        type_in(&mut screen, &model, &[KeyCode::Char(' ')]);
        model.succeeded(snapshot(2000, vec![]));
        let shown = screen.paused.as_ref().and_then(|model| model.latest());
        assert_eq!(shown.map(|shown| shown.uptime_ms), Some(1000));
        type_in(&mut screen, &model, &[KeyCode::Char(' ')]);
        assert!(screen.paused.is_none());
        // Any key ends the help, and is no more than that.
        type_in(&mut screen, &model, &['?', '2'].map(KeyCode::Char));
        assert_eq!((screen.has_help, screen.pane), (false, Pane::ALL[3]));
    }
}
