//! Which types the variables and expressions have, for arguments of certain kinds: a fixpoint over all kernels that are compiled
//! together. Bounds of whole numbers are found with the types, so that indices and counters stay integers.

mod expressions;
pub(crate) mod lattice;
mod refine;
mod statements;
mod truths;

use crate::abi::{ArgumentKind, ElementKind};
use crate::limits::{Budget, MAX_STEPS, MAX_TOGETHER};
use crate::refused::{Reason, Refused};
use crate::tree::Variable;
use crate::tree::{Kernel, Usage};
use lattice::{Range, Type};
use refine::Refinements;
use std::collections::HashMap;
pub(crate) use truths::truths;

/// After so many rounds, bounds that still move are given up.
const PATIENCE: usize = 20;

/// All kernels that are compiled together. The first is the one that is called.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) instances: Vec<Instance<'a>>,
}

/// A kernel for arrays of certain kinds. Its numbers are what all its callers pass.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    pub(crate) kernel: &'a Kernel,
    /// The kinds of the parameters that are arrays.
    pub(crate) arrays: Vec<Option<ElementKind>>,
    pub(crate) variables: Vec<Type>,
    /// By the number of the expression.
    pub(crate) expressions: Vec<Type>,
    pub(crate) result: Type,
    /// The instances that are called, by the number of the expression that calls.
    pub(crate) calls: HashMap<u32, usize>,
}

type Key = (*const Kernel, Vec<Option<ElementKind>>);

/// Finds the types.
///
/// # Errors
/// Kinds that do not fit the parameters, types that do not fit each other, and more than [`MAX_TOGETHER`] or what is left of
/// the budget.
pub(crate) fn infer<'a>(
    kernel: &'a Kernel,
    kinds: &[ArgumentKind],
    budget: &mut Budget,
) -> Result<Program<'a>, Refused> {
    let function = &kernel.function;
    let refuse = |what: String, remedy| Err(kernel.text.refuse(Reason::Type, 0, what, remedy));
    let name = kernel.called();
    if kinds.len() != function.parameters.len() {
        let wants = function.parameters.len();
        let what = format!("{name} takes {wants} arguments, not {}", kinds.len());
        return refuse(what, "pass as many");
    }
    let mut arrays = Vec::new();
    for (number, (kind, parameter)) in kinds.iter().zip(&function.parameters).enumerate() {
        let number = number + 1;
        let parameter_name = &parameter.name;
        arrays.push(match (kind, parameter.usage) {
            (ArgumentKind::Array(kind), Usage::Array) => Some(*kind),
            (ArgumentKind::Array(kind), Usage::Scalar) => {
                let what = kind.array_name();
                let what = format!(
                    "argument {number} of {name} ({parameter_name}) is a number there, not a {what}"
                );
                return refuse(what, "pass a number");
            }
            (kind, Usage::Array) => {
                let what = format!(
                    "argument {number} of {name} ({parameter_name}) is a typed array there, not a {kind}"
                );
                return refuse(what, "pass a typed array");
            }
            (_, Usage::Scalar) => None,
        });
    }
    let mut inference = Inference::new(budget.steps);
    // A kernel by itself is never too large.
    inference.instance(kernel, arrays);
    for (variable, kind) in kinds.iter().enumerate() {
        let known = match kind {
            ArgumentKind::Int32 => Type::INT32,
            ArgumentKind::Double => Type::Double,
            ArgumentKind::Boolean => Type::Boolean,
            ArgumentKind::Array(_) => continue,
        };
        inference.instances[0].variables[variable] = known;
    }
    let found = inference.run();
    budget.steps = inference.steps;
    found?;
    Ok(Program {
        instances: inference.instances,
    })
}

struct Inference<'a> {
    /// How many steps are left.
    steps: usize,
    instances: Vec<Instance<'a>>,
    known: HashMap<Key, usize>,
    /// The instance that is gone through.
    at: usize,
    refinements: Refinements,
    changed: bool,
    /// All expressions of all instances.
    together: usize,
    /// There is more than may be: what is found from here on is nothing.
    over: bool,
    round: usize,
    /// The last round: what does not fit is an error now.
    last: bool,
    refused: Option<Refused>,
}

impl<'a> Inference<'a> {
    fn new(steps: usize) -> Self {
        Self {
            steps,
            instances: Vec::new(),
            known: HashMap::new(),
            at: 0,
            refinements: Refinements::default(),
            changed: false,
            together: 0,
            over: false,
            round: 0,
            last: false,
            refused: None,
        }
    }

    /// Counts steps; false once there are too many.
    fn count(&mut self, steps: usize) -> bool {
        match self.steps.checked_sub(steps) {
            Some(left) => self.steps = left,
            None => {
                self.steps = 0;
                self.over = true;
            }
        }
        !self.over
    }

    /// The number of an instance; none if that would be one too many.
    fn instance(&mut self, kernel: &'a Kernel, arrays: Vec<Option<ElementKind>>) -> Option<usize> {
        let key = (std::ptr::from_ref(kernel), arrays);
        if let Some(known) = self.known.get(&key) {
            return Some(*known);
        }
        let number = self.instances.len();
        let function = &kernel.function;
        // Counted before there is one more: each order of the kinds of arrays is an instance, and a single round could make
        // them all.
        let together = self.together + (function.expressions as usize).max(1);
        if together > MAX_TOGETHER {
            self.over = true;
            return None;
        }
        self.together = together;
        self.instances.push(Instance {
            kernel,
            arrays: key.1.clone(),
            variables: vec![Type::Never; function.variables.len()],
            expressions: vec![Type::Never; function.expressions as usize],
            result: Type::Never,
            calls: HashMap::new(),
        });
        self.known.insert(key, number);
        self.changed = true;
        Some(number)
    }

    fn run(&mut self) -> Result<(), Refused> {
        self.settle()?;
        // A kernel that never returns, or only what it would return to itself, returns anything.
        let mut moved = false;
        for instance in &mut self.instances {
            if instance.kernel.function.returns && instance.result == Type::Never {
                instance.result = Type::Double;
                moved = true;
            }
        }
        if moved {
            self.settle()?;
        }
        self.last = true;
        self.round()?;
        match self.refused.take() {
            Some(refused) => Err(refused),
            None => Ok(()),
        }
    }

    fn settle(&mut self) -> Result<(), Refused> {
        loop {
            self.changed = false;
            self.round()?;
            if !self.changed {
                return Ok(());
            }
            self.round += 1;
        }
    }

    fn round(&mut self) -> Result<(), Refused> {
        let mut at = 0;
        while at < self.instances.len() {
            self.at = at;
            let kernel = self.instances[at].kernel;
            let variables = kernel.function.variables.len();
            if self.count(variables) {
                self.refinements = Refinements::new(variables);
                self.statements(&kernel.function.body);
            }
            if self.over {
                return Err(self.too_large());
            }
            at += 1;
        }
        Ok(())
    }

    fn too_large(&self) -> Refused {
        let what = match self.steps {
            0 => format!("more than {MAX_STEPS} steps to find its types"),
            _ => format!("more than {MAX_TOGETHER} operations, with the kernels that it calls"),
        };
        let text = &self.instances[0].kernel.text;
        text.refuse(Reason::TooLarge, 0, what, "split it")
    }

    fn this(&self) -> &Instance<'a> {
        &self.instances[self.at]
    }

    fn refuse(&mut self, at: u32, what: impl Into<String>, remedy: &str) {
        if self.last && self.refused.is_none() {
            let text = &self.this().kernel.text;
            self.refused = Some(text.refuse(Reason::Type, at, what, remedy));
        }
    }

    /// A value comes to a variable of an instance.
    fn assign(&mut self, instance: usize, variable: Variable, value: Type) {
        let patient = self.round < PATIENCE;
        let known = &mut self.instances[instance].variables[variable as usize];
        let mut widened = known.widened(value);
        if widened != *known {
            if !patient && widened.is_number() {
                widened = Type::Double;
            }
            *known = widened;
            self.changed = true;
        }
    }

    fn give_back(&mut self, value: Type) {
        let known = self.this().result;
        let mut widened = known.widened(value);
        if widened != known {
            if self.round >= PATIENCE && widened.is_number() {
                widened = Type::Double;
            }
            self.instances[self.at].result = widened;
            self.changed = true;
        }
    }

    /// What a variable holds here.
    fn variable(&self, variable: Variable) -> Type {
        match self.this().variables[variable as usize] {
            Type::Integer(range) => match self.refinements.within(variable, range) {
                Some(range) => Type::Integer(range),
                None => Type::Never,
            },
            other => other,
        }
    }
}

/// What an element is.
pub(crate) fn element(kind: ElementKind) -> Type {
    let range = |low, high| Type::Integer(Range::new(low, high));
    match kind {
        ElementKind::Int8 => range(-128, 127),
        ElementKind::Uint8 | ElementKind::Uint8Clamped => range(0, 255),
        ElementKind::Int16 => range(-32768, 32767),
        ElementKind::Uint16 => range(0, 65535),
        ElementKind::Int32 => Type::INT32,
        ElementKind::Uint32 => range(0, u32::MAX.into()),
        ElementKind::Float16 | ElementKind::Float32 | ElementKind::Float64 => Type::Double,
    }
}
