//! Which variable a name stands for.

use crate::tree::Variable;
use std::collections::HashMap;

#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) variable: Variable,
    pub(super) constant: bool,
    /// Whether its declaration has been passed.
    pub(super) initialised: bool,
}

#[derive(Default)]
pub(super) struct Scopes {
    scopes: Vec<HashMap<String, Binding>>,
}

impl Scopes {
    pub(super) fn enter(&mut self) {
        self.scopes.push(HashMap::new());
    }

    pub(super) fn leave(&mut self) {
        self.scopes.pop();
    }

    /// False: the scope has that name already.
    pub(super) fn declare(&mut self, name: &str, variable: Variable, constant: bool) -> bool {
        let binding = Binding {
            variable,
            constant,
            initialised: false,
        };
        match self.scopes.last_mut() {
            Some(scope) => scope.insert(name.to_owned(), binding).is_none(),
            None => false,
        }
    }

    pub(super) fn initialise(&mut self, variable: Variable) {
        let bindings = self.scopes.iter_mut().rev().flat_map(HashMap::values_mut);
        for binding in bindings {
            if binding.variable == variable {
                binding.initialised = true;
                return;
            }
        }
    }

    pub(super) fn look_up(&self, name: &str) -> Option<Binding> {
        self.scopes
            .iter()
            .rev()
            .find_map(|scope| scope.get(name))
            .copied()
    }

    /// The variable that the innermost scope has by that name.
    pub(super) fn innermost(&self, name: &str) -> Option<Binding> {
        self.scopes
            .last()
            .and_then(|scope| scope.get(name))
            .copied()
    }
}
