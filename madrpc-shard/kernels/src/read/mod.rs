//! From text to tree: oxc parses, and what it found is taken over as far as it is in the subset. Names are resolved here, and
//! whatever does not depend on types is refused here.

mod arrays;
mod chains;
mod expressions;
mod forms;
mod nesting;
#[cfg(test)]
mod nesting_tests;
mod parser;
mod scopes;
mod statements;

use crate::limits::{MAX_CALL_DEPTH, MAX_DEPTH, MAX_PARAMETERS, MAX_VARIABLES};
use crate::refused::{Reason, Refused};
use crate::text::Text;
use crate::tree::{Captured, Kernel, Parameter, Usage};
use crate::tree::{Function, Target, Variable};
use oxc_allocator::Allocator;
use oxc_ast::ast;
use oxc_parser::Parser;
use oxc_span::{GetSpan, SourceType};
use scopes::Scopes;
use std::sync::Arc;

/// What to do with what is too large.
const SPLIT: &str = "make a kernel of a part of it, and capture that";
const FORM: &str = "write it as `function name(…) { … }`";

/// Reads the function.
///
/// # Errors
/// What is not in the subset.
pub(crate) fn read(text: &Text, captured: &[(Arc<str>, Captured)]) -> Result<Function, Refused> {
    if !text.text.starts_with("function") {
        let what = "an arrow function, a method, a class or an async function is no kernel";
        return Err(text.refuse(Reason::Syntax, 0, what, FORM));
    }
    if text.text.ends_with("[native code]\n}") {
        let what = "a built-in or bound function has no text to compile";
        return Err(text.refuse(Reason::Syntax, 0, what, FORM));
    }
    nesting::check(text)?;
    parser::on_large_stack(text, || parsed(text, captured))
}

fn parsed(text: &Text, captured: &[(Arc<str>, Captured)]) -> Result<Function, Refused> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, &text.text, SourceType::mjs()).parse_expression();
    let parsed = parsed.map_err(|problems| {
        let (at, what) = match problems.first() {
            Some(problem) => {
                let at = problem.labels.first();
                let at = at.map_or(0, oxc_span::LabeledSpan::offset);
                (at, problem.message.as_ref())
            }
            None => (0, "this cannot be parsed"),
        };
        text.refuse(Reason::Syntax, at, what.to_lowercase(), "")
    })?;
    let ast::Expression::FunctionExpression(function) = parsed else {
        return Err(text.refuse(Reason::Syntax, 0, "this is no function", FORM));
    };
    // Which parameters are arrays shows in how they are used, which may be further down, or where they are handed on.
    let mut arrays = vec![false; function.params.items.len()];
    loop {
        let mut reader = Reader::new(text, captured, arrays);
        let read = reader.function(&function)?;
        if reader.more_arrays == reader.arrays {
            return Ok(read);
        }
        arrays = reader.more_arrays;
    }
}

type Read<T> = Result<T, Refused>;

struct Reader<'a> {
    text: &'a Text,
    captured: &'a [(Arc<str>, Captured)],
    name: Arc<str>,
    scopes: Scopes,
    /// Which parameters are known to be arrays, and which turn out to be.
    arrays: Vec<bool>,
    more_arrays: Vec<bool>,
    /// The names of the parameters and variables.
    variables: Vec<Arc<str>>,
    /// Every assignment in order, of which statements take what is theirs.
    assigned: Vec<Variable>,
    expressions: u32,
    depth: usize,
    deepest: usize,
    targets: Vec<OpenTarget>,
    target_count: u32,
    loops: u32,
    /// Where a value is returned, and where none is.
    returns_value: Option<u32>,
    returns_nothing: Option<u32>,
    calls_itself: bool,
    kernels: Vec<Arc<Kernel>>,
}

/// What `break` and `continue` can go to, from where the reader is.
struct OpenTarget {
    target: Target,
    labels: Vec<Arc<str>>,
    kind: TargetKind,
    /// Whether a `break` goes there.
    broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TargetKind {
    Loop,
    Switch,
    Block,
}

impl<'a> Reader<'a> {
    fn new(text: &'a Text, captured: &'a [(Arc<str>, Captured)], arrays: Vec<bool>) -> Self {
        Self {
            text,
            captured,
            name: "".into(),
            scopes: Scopes::default(),
            more_arrays: arrays.clone(),
            arrays,
            variables: Vec::new(),
            assigned: Vec::new(),
            expressions: 0,
            depth: 0,
            deepest: 0,
            targets: Vec::new(),
            target_count: 0,
            loops: 0,
            returns_value: None,
            returns_nothing: None,
            calls_itself: false,
            kernels: Vec::new(),
        }
    }

    fn no<T>(&self, at: u32, what: impl Into<String>, remedy: impl Into<String>) -> Read<T> {
        Err(self.text.refuse(Reason::Syntax, at, what, remedy))
    }

    fn too_deep<T>(&self, at: u32) -> Read<T> {
        let what = format!("statements and expressions nested more than {MAX_DEPTH} deep");
        Err(self.text.refuse(Reason::TooLarge, at, what, SPLIT))
    }

    fn function(&mut self, function: &ast::Function) -> Read<Function> {
        let at = function.span.start;
        if function.generator || function.r#async {
            return self.no(at, "a generator or an async function is no kernel", FORM);
        }
        if let Some(id) = &function.id {
            self.name = id.name.as_str().into();
            if self.captured.iter().any(|(name, _)| *name == self.name) {
                let what = format!("{} is the kernel's own name and a captured one", self.name);
                return self.no(id.span.start, what, "capture it under another name");
            }
        }
        let parameters = &function.params;
        if let Some(rest) = &parameters.rest {
            let what = "a rest parameter is not for kernels";
            return self.no(rest.span.start, what, "name each parameter");
        }
        if parameters.items.len() > MAX_PARAMETERS {
            let what = format!(
                "{} parameters; the most is {MAX_PARAMETERS}",
                parameters.items.len()
            );
            let remedy = "put numbers that belong together into a typed array";
            return self.no(parameters.span.start, what, remedy);
        }
        self.scopes.enter();
        for parameter in &parameters.items {
            let at = parameter.span.start;
            if parameter.initializer.is_some() {
                let what = "a default value is not for kernels";
                return self.no(at, what, "pass the value");
            }
            let (name, at) = self.binding(&parameter.pattern)?;
            let variable = self.declare(name, at, false)?;
            self.scopes.initialise(variable);
        }
        let Some(body) = &function.body else {
            return self.no(at, "a function without a body", FORM);
        };
        let (body_read, ends) = self.list(&body.statements)?;
        self.scopes.leave();
        let end = function.span.end.saturating_sub(1);
        if let Some(value) = self.returns_value
            && (ends || self.returns_nothing.is_some())
        {
            let place = self.text.place(value);
            let what = format!(
                "no value is returned here, but one in line {} is",
                place.line
            );
            let at = self.returns_nothing.unwrap_or(end);
            return self.no(at, what, "return a number or a boolean on each way");
        }
        let below = self.kernels.iter().map(|kernel| kernel.function.call_depth);
        let call_depth = 1 + below.max().unwrap_or(0);
        if call_depth > MAX_CALL_DEPTH {
            let what = format!("kernels that call kernels more than {MAX_CALL_DEPTH} deep");
            let remedy = "let some of them do themselves what they call others for";
            return Err(self.text.refuse(Reason::TooLarge, at, what, remedy));
        }
        let parameters = self.variables.iter().zip(&self.more_arrays);
        let parameters = parameters.map(|(name, array)| Parameter {
            name: Arc::clone(name),
            usage: match array {
                true => Usage::Array,
                false => Usage::Scalar,
            },
        });
        Ok(Function {
            name: Arc::clone(&self.name),
            parameters: parameters.collect(),
            variables: std::mem::take(&mut self.variables),
            body: body_read,
            targets: self.target_count,
            expressions: self.expressions,
            returns: self.returns_value.is_some(),
            calls_itself: self.calls_itself,
            depth: self.deepest,
            call_depth,
            kernels: std::mem::take(&mut self.kernels),
        })
    }

    /// The name that a declaration gives.
    fn binding<'b>(&self, pattern: &'b ast::BindingPattern) -> Read<(&'b str, u32)> {
        match pattern {
            ast::BindingPattern::BindingIdentifier(id) => Ok((id.name.as_str(), id.span.start)),
            other => {
                let at = other.span().start;
                self.no(
                    at,
                    "destructuring is not for kernels",
                    "name each value by itself",
                )
            }
        }
    }

    /// Makes a name known in the innermost scope, where it may not be used before it has a value.
    fn declare(&mut self, name: &str, at: u32, constant: bool) -> Read<Variable> {
        let variable = self.variable(name, at)?;
        if !self.scopes.declare(name, variable, constant) {
            return self.no(at, format!("{name} is declared twice"), "use another name");
        }
        Ok(variable)
    }

    /// One more variable. It is in no scope.
    fn variable(&mut self, name: &str, at: u32) -> Read<Variable> {
        let variable = self.variables.len() as Variable; // Fewer than there are bytes of text.
        self.variables.push(name.into());
        if self.variables.len() > MAX_VARIABLES {
            let what = format!("more than {MAX_VARIABLES} variables in one kernel");
            let remedy = "split it, or use a typed array";
            return Err(self.text.refuse(Reason::TooLarge, at, what, remedy));
        }
        Ok(variable)
    }

    fn is_array(&self, variable: Variable) -> bool {
        self.arrays.get(variable as usize) == Some(&true)
    }
}
