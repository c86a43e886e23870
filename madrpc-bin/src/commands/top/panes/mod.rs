//! What can be looked at: each pane makes a sheet of what the server has said.

mod errors;
mod functions;
mod nodes;
mod server;
mod shards;

pub(super) use functions::Order;

use super::model::Model;
use super::screen::Screen;
use super::sheet::Sheet;
use ratatui::style::{Modifier, Style};

/// In the order of their keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Functions,
    Nodes,
    Shards,
    Errors,
    Memory,
}

impl Pane {
    pub(super) const ALL: [Self; 5] = [
        Self::Functions,
        Self::Nodes,
        Self::Shards,
        Self::Errors,
        Self::Memory,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Functions => "functions",
            Self::Nodes => "nodes",
            Self::Shards => "shards",
            Self::Errors => "errors",
            Self::Memory => "memory, network",
        }
    }

    /// The pane that its digit stands for.
    pub(super) fn of_key(digit: char) -> Option<Self> {
        let number = digit.to_digit(10)?.checked_sub(1)?;
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The digit that stands for it.
    pub(super) const fn key(self) -> usize {
        self as usize + 1
    }

    /// The one so many further on.
    pub(super) const fn after(self, steps: usize) -> Self {
        Self::ALL[(self as usize + steps) % Self::ALL.len()]
    }

    /// What it shows, in so many cells of width.
    pub(super) fn sheet(self, model: &Model, screen: &Screen, width: usize) -> Sheet {
        match self {
            Self::Functions => functions::sheet(model, screen, width),
            Self::Nodes => nodes::sheet(model, screen, width),
            Self::Shards => shards::sheet(model, width),
            Self::Errors => errors::sheet(model, screen, width),
            Self::Memory => server::sheet(model, width),
        }
    }
}

/// Something that is not as it should be, to be seen with and without colours.
fn warning() -> Style {
    Style::new().yellow().add_modifier(Modifier::BOLD)
}

/// A rate where it is known.
fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), super::text::rate)
}
