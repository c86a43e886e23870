//! Walks a module's syntax tree and blanks out what is TypeScript's; what would have to become code is refused.
//!
//! A statement can lose its end with a type, where its author had left the semicolon out: what follows would then be taken
//! for a part of it. In those places a semicolon, or a parenthesis, stands in what was blanked.

use crate::refused::Refusal;
use crate::text::Text;
use oxc_ast::ast::*;
use oxc_ast_visit::{VisitJs, walk_js};
use oxc_span::{GetSpan, Span};
use oxc_syntax::scope::ScopeFlags;

/// Words before a member of a class that say something about its type.
const MODIFIERS: [&str; 7] = [
    "public",
    "private",
    "protected",
    "readonly",
    "override",
    "abstract",
    "declare",
];

/// Other words before a member of a class.
const WORDS: [&str; 5] = ["static", "async", "get", "set", "accessor"];

pub(crate) struct Eraser<'t> {
    text: Text<'t>,
    /// The first thing that cannot be erased.
    refused: Option<Refusal>,
}

/// What becomes of a statement.
enum Fate {
    Stays,
    Goes,
    Refused(Span, &'static str),
}

const ENUM: &str = "an enum is code: write `const NAME = { … } as const`";
const NAMESPACE: &str =
    "a namespace with more than types is code: write a module, and export from there";
const ASSIGNED_IMPORT: &str = "`import … = …` is not JavaScript: write `import … from \"…\"`";

impl<'t> Eraser<'t> {
    pub(crate) fn new(source: &'t str) -> Self {
        Self {
            text: Text::new(source),
            refused: None,
        }
    }

    /// The text without what has been visited.
    pub(crate) fn finish(self) -> Result<String, Refusal> {
        match self.refused {
            Some(refused) => Err(refused),
            None => Ok(self.text.into_erased()),
        }
    }

    fn refuse(&mut self, span: Span, what: &str) {
        self.refused.get_or_insert_with(|| Refusal {
            at: span.start as usize,
            what: what.to_owned(),
        });
    }

    /// A statement or a member of a class goes.
    fn drop(&mut self, span: Span) {
        self.text.blank_span(span);
        // What stands before it may have no semicolon of its own.
        self.text.put(span.start, ';');
    }

    /// An element of a list goes, with the comma after it.
    fn drop_element(&mut self, span: Span) {
        self.text.blank_span(span);
        if let Some(comma) = self.text.next_is(span.end, ",") {
            self.text.blank(comma, comma + 1);
        }
    }

    fn drop_span_of<T: GetSpan>(&mut self, node: Option<&T>) {
        if let Some(node) = node {
            self.text.blank_span(node.span());
        }
    }

    /// A type after an expression goes, with the word before it.
    fn drop_after(&mut self, expression: Span, span: Span) {
        self.text.blank(expression.end, span.end);
        let (next, ends_line) = self.text.next_token(span.end);
        let next = self.text.slice(next, next + 1);
        if ends_line && matches!(next, "(" | "[" | "`") {
            let (word, _) = self.text.next_token(expression.end);
            self.text.put(word, ';');
        }
    }

    /// `?` or `!` after a name goes, and the type after that.
    fn drop_mark(&mut self, from: u32, mark: bool, annotation: Option<&TSTypeAnnotation<'_>>) {
        let end = annotation.map(|annotation| annotation.span.end);
        let mark = mark
            .then(|| {
                ["?", "!"]
                    .iter()
                    .find_map(|mark| self.text.next_is(from, mark))
            })
            .flatten();
        let start = mark.or(annotation.map(|annotation| annotation.span.start));
        if let Some(start) = start {
            self.text.blank(start, end.unwrap_or(start + 1));
        }
    }

    fn fate(statement: &Statement<'_>) -> Fate {
        let is_type = |kind: ImportOrExportKind| match kind {
            ImportOrExportKind::Type => Fate::Goes,
            ImportOrExportKind::Value => Fate::Stays,
        };
        match statement {
            Statement::ImportDeclaration(import) => is_type(import.import_kind),
            Statement::ExportNamedDeclaration(export) => is_type(export.export_kind),
            Statement::ExportFromDeclaration(export) => is_type(export.export_kind),
            Statement::ExportAllDeclaration(export) => is_type(export.export_kind),
            Statement::ExportDeclaration(export) => Self::fate_of(&export.declaration),
            Statement::ExportDefaultDeclaration(export) => match &export.declaration {
                ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => Fate::Goes,
                ExportDefaultDeclarationKind::FunctionDeclaration(function)
                    if function.body.is_none() =>
                {
                    Fate::Goes
                }
                _ => Fate::Stays,
            },
            Statement::TSExportAssignment(export) => Fate::Refused(
                export.span,
                "`export = …` is not JavaScript: write `export default …`",
            ),
            Statement::TSNamespaceExportDeclaration(_) => Fate::Goes,
            statement => match statement.as_declaration() {
                Some(declaration) => Self::fate_of(declaration),
                None => Fate::Stays,
            },
        }
    }

    fn fate_of(declaration: &Declaration<'_>) -> Fate {
        let unless_erased = |is_erased: bool, span: Span, what| match is_erased {
            true => Fate::Goes,
            false => Fate::Refused(span, what),
        };
        let (is_erased, span, what) = match declaration {
            Declaration::TSTypeAliasDeclaration(_)
            | Declaration::TSInterfaceDeclaration(_)
            | Declaration::TSGlobalDeclaration(_) => return Fate::Goes,
            Declaration::VariableDeclaration(variables) if variables.declare => return Fate::Goes,
            Declaration::FunctionDeclaration(function)
                if function.declare || function.body.is_none() =>
            {
                return Fate::Goes;
            }
            Declaration::ClassDeclaration(class) if class.declare => return Fate::Goes,
            Declaration::TSEnumDeclaration(one) => (one.declare, one.span, ENUM),
            Declaration::TSNamespaceDeclaration(one) => {
                let is_erased = one.declare || Self::is_of_types(&one.body);
                (is_erased, one.span, NAMESPACE)
            }
            Declaration::TSExternalModuleDeclaration(one) => (one.declare, one.span, NAMESPACE),
            Declaration::TSImportEqualsDeclaration(one) => {
                let is_type = one.import_kind == ImportOrExportKind::Type;
                (is_type, one.span, ASSIGNED_IMPORT)
            }
            _ => return Fate::Stays,
        };
        unless_erased(is_erased, span, what)
    }

    /// Whether a namespace has nothing that is code.
    fn is_of_types(body: &TSNamespaceDeclarationBody<'_>) -> bool {
        match body {
            TSNamespaceDeclarationBody::TSNamespaceDeclaration(inner) => {
                Self::is_of_types(&inner.body)
            }
            TSNamespaceDeclarationBody::TSModuleBlock(block) => {
                let mut fates = block.body.iter().map(Self::fate);
                fates.all(|fate| matches!(fate, Fate::Goes))
            }
        }
    }

    /// What stands before a member's name and says something about its type goes.
    fn drop_modifiers(&mut self, member: Span, key: Span) {
        let mut from = member.start;
        loop {
            let (at, word) = self.text.next_word(from);
            let end = at + word.len() as u32;
            if at >= key.start || word.is_empty() {
                return;
            }
            if MODIFIERS.contains(&word) {
                self.text.blank(at, end);
                // The member before may end without a semicolon, and go on with `*` or `[`.
                if at == member.start {
                    self.text.put(at, ';');
                }
            } else if !WORDS.contains(&word) {
                return;
            }
            from = end;
        }
    }

    /// Where a member's name ends, with its bracket.
    fn end_of_key(&self, key: Span, is_computed: bool) -> u32 {
        match is_computed {
            true => self.text.next_is(key.end, "]").map_or(key.end, |at| at + 1),
            false => key.end,
        }
    }

    fn drop_signature(&mut self, function: &Function<'_>) {
        self.drop_span_of(function.type_parameters.as_deref());
        if let Some(this) = &function.this_param {
            self.drop_element(this.span);
        }
        self.drop_span_of(function.return_type.as_deref());
    }
}

impl<'a> VisitJs<'a> for Eraser<'_> {
    fn visit_statement(&mut self, it: &Statement<'a>) {
        match Self::fate(it) {
            Fate::Stays => walk_js::walk_statement(self, it),
            Fate::Goes => self.drop(it.span()),
            Fate::Refused(span, what) => self.refuse(span, what),
        }
    }

    fn visit_import_specifier(&mut self, it: &ImportSpecifier<'a>) {
        if it.import_kind == ImportOrExportKind::Type {
            self.drop_element(it.span);
        }
    }

    fn visit_export_specifier(&mut self, it: &ExportSpecifier<'a>) {
        if it.export_kind == ImportOrExportKind::Type {
            self.drop_element(it.span);
        }
    }

    fn visit_ts_as_expression(&mut self, it: &TSAsExpression<'a>) {
        self.visit_expression(&it.expression);
        self.drop_after(it.expression.span(), it.span);
    }

    fn visit_ts_satisfies_expression(&mut self, it: &TSSatisfiesExpression<'a>) {
        self.visit_expression(&it.expression);
        self.drop_after(it.expression.span(), it.span);
    }

    fn visit_ts_non_null_expression(&mut self, it: &TSNonNullExpression<'a>) {
        self.visit_expression(&it.expression);
        self.text.blank(it.expression.span().end, it.span.end);
    }

    fn visit_ts_type_assertion(&mut self, it: &TSTypeAssertion<'a>) {
        self.refuse(it.span, "`<T>value` is ambiguous: write `value as T`");
    }

    fn visit_ts_instantiation_expression(&mut self, it: &TSInstantiationExpression<'a>) {
        self.visit_expression(&it.expression);
        self.text.blank_span(it.type_arguments.span);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        self.drop_span_of(it.type_arguments.as_deref());
        walk_js::walk_call_expression(self, it);
    }

    fn visit_new_expression(&mut self, it: &NewExpression<'a>) {
        self.drop_span_of(it.type_arguments.as_deref());
        walk_js::walk_new_expression(self, it);
    }

    fn visit_tagged_template_expression(&mut self, it: &TaggedTemplateExpression<'a>) {
        self.drop_span_of(it.type_arguments.as_deref());
        walk_js::walk_tagged_template_expression(self, it);
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        self.drop_mark(it.id.span().end, it.definite, it.type_annotation.as_deref());
        walk_js::walk_variable_declarator(self, it);
    }

    fn visit_catch_parameter(&mut self, it: &CatchParameter<'a>) {
        self.drop_span_of(it.type_annotation.as_deref());
        walk_js::walk_catch_parameter(self, it);
    }

    fn visit_formal_parameter(&mut self, it: &FormalParameter<'a>) {
        if it.accessibility.is_some() || it.readonly || it.r#override {
            let what = "a parameter that makes a property is code: declare the property, and assign it in the constructor";
            self.refuse(it.span, what);
        }
        self.drop_mark(
            it.pattern.span().end,
            it.optional,
            it.type_annotation.as_deref(),
        );
        walk_js::walk_formal_parameter(self, it);
    }

    fn visit_formal_parameter_rest(&mut self, it: &FormalParameterRest<'a>) {
        self.drop_span_of(it.type_annotation.as_deref());
        walk_js::walk_formal_parameter_rest(self, it);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        self.drop_signature(it);
        walk_js::walk_function(self, it, flags);
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        let params = it.params.span;
        if let Some(types) = &it.type_parameters {
            self.text.blank_span(types.span);
            // No line may end after `async` or `return`.
            if self.text.has_line_end(types.span.start, params.start) {
                self.text.blank(params.start, params.start + 1);
                self.text.put(types.span.start, '(');
            }
        }
        if let Some(result) = &it.return_type {
            self.text.blank_span(result.span);
            // Nor before `=>`.
            if self.text.has_line_end(params.end, result.span.end) {
                self.text.blank(params.end - 1, params.end);
                let last = self.text.slice(result.span.start, result.span.end);
                let last = last.chars().next_back().map_or(1, char::len_utf8);
                self.text.put(result.span.end - last as u32, ')');
            }
        }
        walk_js::walk_arrow_function_expression(self, it);
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        let (word, abstracted) = self.text.next_word(it.span.start);
        let mut end = word;
        if abstracted == "abstract" {
            self.text.blank(word, word + abstracted.len() as u32);
            end = self.text.next_token(word + abstracted.len() as u32).0;
        }
        end += "class".len() as u32;
        if let Some(id) = &it.id {
            end = id.span.end;
        }
        if let Some(types) = &it.type_parameters {
            self.text.blank_span(types.span);
            end = types.span.end;
        }
        if let Some(heritage) = &it.heritage {
            end = heritage.expression.span().end;
            if let Some(types) = &heritage.type_arguments {
                self.text.blank_span(types.span);
                end = types.span.end;
            }
        }
        if !it.implements.is_empty() {
            self.text.blank(end, it.body.span.start);
        }
        walk_js::walk_class(self, it);
    }

    fn visit_class_element(&mut self, it: &ClassElement<'a>) {
        let goes = match it {
            ClassElement::StaticBlock(_) => false,
            ClassElement::TSIndexSignature(_) => true,
            ClassElement::MethodDefinition(method) => method.value.body.is_none(),
            ClassElement::PropertyDefinition(property) => {
                property.declare
                    || property.r#type == PropertyDefinitionType::TSAbstractPropertyDefinition
            }
            ClassElement::AccessorProperty(property) => {
                property.r#type == AccessorPropertyType::TSAbstractAccessorProperty
            }
        };
        match goes {
            true => self.drop(it.span()),
            false => walk_js::walk_class_element(self, it),
        }
    }

    fn visit_method_definition(&mut self, it: &MethodDefinition<'a>) {
        let key = it.key.span();
        self.drop_modifiers(it.span, key);
        self.drop_mark(self.end_of_key(key, it.computed), it.optional, None);
        walk_js::walk_method_definition(self, it);
    }

    fn visit_property_definition(&mut self, it: &PropertyDefinition<'a>) {
        let key = it.key.span();
        self.drop_modifiers(it.span, key);
        let end = self.end_of_key(key, it.computed);
        let is_marked = it.optional || it.definite;
        self.drop_mark(end, is_marked, it.type_annotation.as_deref());
        // A name like `get` would begin the next member.
        if it.value.is_none() && (is_marked || it.type_annotation.is_some()) {
            let (mark, _) = self.text.next_token(end);
            self.text.put(mark, ';');
        }
        walk_js::walk_property_definition(self, it);
    }

    fn visit_accessor_property(&mut self, it: &AccessorProperty<'a>) {
        let what = "the engine has no `accessor` fields: write a getter and a setter";
        self.refuse(it.span, what);
    }

    fn visit_decorator(&mut self, it: &Decorator<'a>) {
        let what = "the engine has no decorators: call a function instead";
        self.refuse(it.span, what);
    }
}
