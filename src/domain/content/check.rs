//! What is asked of a template before it is compiled: that its tags are of bounded size, that every name it uses is
//! declared, and that no value in it can grow out of proportion to its input (`a ~ a`, over and over, doubles each
//! time).
//!
//! It walks the engine's own syntax tree, so places are exact and variables of loops and `set` are known with their
//! types.

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, ForLoop, Stmt};
use minijinja::machinery::{Span, Token, parse, tokenize};
use smol_str::SmolStr;

use super::filters::{FILTERS, FUNCTIONS, MAPPED, TESTS};
use crate::domain::expression::{FieldPath, Fields, Root, Schemas, SourceError, Type};
use crate::domain::limits;
use crate::domain::suggest::{did_you_mean, nearest};

/// Checks `source`; the fields it reads, sorted.
pub(super) fn check(source: &str, schemas: &Schemas) -> Result<Vec<FieldPath>, Vec<SourceError>> {
    check_size(source).map_err(|error| vec![error])?;
    let tree = parse(source, "template", Default::default()).map_err(|error| vec![syntax(source, &error)])?;
    let mut checker = Checker { source, schemas, scopes: vec![Vec::new()], reads: Vec::new(), errors: Vec::new() };
    checker.statement(&tree);
    if !checker.errors.is_empty() {
        checker.errors.sort_by_key(|error| error.offset);
        return Err(checker.errors);
    }
    checker.reads.sort();
    checker.reads.dedup();
    Ok(checker.reads)
}

/// An error of the engine's parser or compiler.
pub(super) fn syntax(source: &str, error: &minijinja::Error) -> SourceError {
    let line = || source.split_inclusive('\n').take(error.line().unwrap_or(1).saturating_sub(1)).map(str::len).sum();
    let offset = source.floor_char_boundary(error.range().map_or_else(line, |range| range.start).min(source.len()));
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let suggestion = message.strip_prefix("unknown statement ").map(|statement| {
        let known = ["for", "if", "set", "with", "raw", "else", "elif", "endfor", "endif", "endwith", "endraw"];
        match nearest(statement, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "a template stands alone: there are no includes, imports, blocks or macros".to_owned(),
        }
    });
    SourceError { offset, code: "template_syntax", message, suggestion }
}

/// Bounds that hold before the parser sees the text.
fn check_size(source: &str) -> Result<(), SourceError> {
    let too_complex = |offset: usize, message: String| {
        Err(SourceError { offset, code: "too_complex", message, suggestion: Some("make it shorter".to_owned()) })
    };
    if source.len() > limits::TEMPLATE_BYTES_MAX {
        let message =
            format!("template has {} bytes; at most {} are allowed", source.len(), limits::TEMPLATE_BYTES_MAX);
        return too_complex(0, message);
    }
    let (mut in_tag, mut elifs) = (0_usize, 0_usize);
    for token in tokenize(source, false, Default::default()) {
        // What can't be told apart into tokens is the parser's to report.
        let Ok((token, span)) = token else { break };
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => in_tag = 0,
            Token::Ident("elif") => elifs += 1,
            _ => {}
        }
        in_tag += 1;
        if in_tag > limits::TEMPLATE_TAG_TOKENS_MAX || elifs > limits::TEMPLATE_ELIFS_MAX {
            let (tokens, elifs) = (limits::TEMPLATE_TAG_TOKENS_MAX, limits::TEMPLATE_ELIFS_MAX);
            let message = format!("a tag has more than {tokens} words, or the template more than {elifs} `elif`");
            return too_complex(start(span), message);
        }
    }
    Ok(())
}

fn start(span: Span) -> usize {
    span.start_offset as usize
}

/// What is known of a value in a template.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// A root as a whole.
    Root(Root),
    /// A value of a schema's type.
    Typed(Type),
    /// A number made in the template.
    Number,
    /// The `loop` variable.
    Loop,
    /// Anything.
    Any,
}

/// A checked expression.
#[derive(Clone, Debug)]
struct Seen {
    shape: Shape,
    /// How many inputs' worth of text it may hold.
    weight: u32,
    /// Index of the read it stands for, which a field behind it makes longer.
    read: Option<usize>,
    /// How it is written, for messages.
    name: String,
}

impl Seen {
    fn new(shape: Shape, weight: u32) -> Self {
        Self { shape, weight, read: None, name: "value".to_owned() }
    }

    fn is_number(&self) -> bool {
        matches!(self.shape, Shape::Number | Shape::Typed(Type::Integer | Type::Number | Type::Boolean))
    }
}

struct Checker<'s> {
    source: &'s str,
    schemas: &'s Schemas,
    scopes: Vec<Vec<(String, Seen)>>,
    reads: Vec<FieldPath>,
    errors: Vec<SourceError>,
}

impl Checker<'_> {
    fn report(&mut self, offset: usize, code: &'static str, message: String, suggestion: Option<String>) {
        let error = SourceError { offset: offset.min(self.source.len()), code, message, suggestion };
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => {
                let _ = self.expression(&emit.expr);
            }
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(each) => self.each(each),
            Stmt::IfCond(condition) => {
                let _ = self.expression(&condition.expr);
                self.statements(&condition.true_body);
                self.statements(&condition.false_body);
            }
            Stmt::WithBlock(with) => {
                self.scopes.push(Vec::new());
                for (target, value) in &with.assignments {
                    let seen = self.expression(value);
                    self.assign(target, seen);
                }
                self.statements(&with.body);
                self.scopes.pop();
            }
            Stmt::Set(set) => {
                let seen = self.expression(&set.expr);
                self.assign(&set.target, seen);
            }
            Stmt::SetBlock(block) => self.unsupported(block.span(), "a `set` block", "write `{% set name = … %}`"),
            Stmt::FilterBlock(block) => {
                self.unsupported(block.span(), "a `filter` block", "write `{{ value|filter }}`");
            }
            Stmt::AutoEscape(block) => {
                self.unsupported(
                    block.span(),
                    "`autoescape`",
                    "write `{{ value|safe }}` where a value is HTML already",
                );
            }
            Stmt::Do(call) => self.unsupported(call.span(), "`do`", "write `{{ … }}`"),
        }
    }

    fn unsupported(&mut self, span: Span, what: &str, instead: &str) {
        let message = format!("{what} is not supported");
        self.report(start(span), "unsupported", message, Some(instead.to_owned()));
    }

    fn each(&mut self, each: &ForLoop<'_>) {
        let over = self.expression(&each.iter);
        let item = match &over.shape {
            Shape::Typed(Type::List(item)) => Shape::Typed((**item).clone()),
            Shape::Typed(ty @ (Type::Integer | Type::Number | Type::Boolean | Type::Timestamp)) => {
                let message = format!("`for` runs over a list, not {ty}");
                self.report(start(each.iter.span()), "type_mismatch", message, None);
                Shape::Any
            }
            _ => Shape::Any,
        };
        self.scopes.push(vec![("loop".to_owned(), Seen::new(Shape::Loop, 1))]);
        self.assign(&each.target, Seen::new(item, over.weight));
        if let Some(filter) = &each.filter_expr {
            let _ = self.expression(filter);
        }
        self.statements(&each.body);
        self.scopes.pop();
        self.scopes.push(Vec::new());
        self.statements(&each.else_body);
        self.scopes.pop();
    }

    /// Names a value. A name given twice keeps the greater weight: which of two branches of an `if` runs is not known.
    fn assign(&mut self, target: &Expr<'_>, seen: Seen) {
        match target {
            Expr::Var(variable) => {
                let scope = self.scopes.last_mut().expect("a scope stays open while the template is walked");
                let seen = Seen { read: None, name: variable.id.to_owned(), ..seen };
                match scope.iter_mut().find(|(name, _)| name == variable.id) {
                    Some((_, known)) => {
                        let shape = if known.shape == seen.shape { seen.shape } else { Shape::Any };
                        *known = Seen { shape, weight: known.weight.max(seen.weight), ..seen };
                    }
                    None => scope.push((variable.id.to_owned(), seen)),
                }
            }
            Expr::List(list) => self.assign_each(&list.items, &seen),
            Expr::Tuple(tuple) => self.assign_each(&tuple.items, &seen),
            other => self.unsupported(other.span(), "setting this", "set a plain name"),
        }
    }

    fn assign_each(&mut self, targets: &[Expr<'_>], seen: &Seen) {
        for target in targets {
            self.assign(target, Seen::new(Shape::Any, seen.weight));
        }
    }

    /// Checks an expression that stands for a value: a root alone does not.
    fn expression(&mut self, expr: &Expr<'_>) -> Seen {
        let seen = self.reach(expr);
        if let Shape::Root(root) = seen.shape {
            let fields = self.schemas.fields(root).unwrap_or_default();
            let suggestion = fields.first().map(|(field, _)| format!("name a field, e.g. `{}.{field}`", root.word()));
            let message = format!("`{}` as a whole is no value", root.word());
            self.report(start(expr.span()), "type_mismatch", message, suggestion);
        }
        if seen.weight > limits::TEMPLATE_GROWTH_MAX {
            let message = "value grows too large: it joins more texts than a message may hold".to_owned();
            let suggestion = Some("print the parts one after the other".to_owned());
            self.report(start(expr.span()), "too_complex", message, suggestion);
            // Reported where it happened; what is made of it need not be reported again.
            return Seen { weight: 1, ..seen };
        }
        seen
    }

    /// The sum of the weights of several.
    fn all<'e>(&mut self, items: impl IntoIterator<Item = &'e Expr<'e>>) -> u32 {
        items.into_iter().fold(0_u32, |sum, item| sum.saturating_add(self.expression(item).weight))
    }

    fn reach(&mut self, expr: &Expr<'_>) -> Seen {
        match expr {
            Expr::Var(variable) => self.variable(variable.id, variable.span()),
            Expr::Const(constant) => {
                let shape = if constant.value.is_number() { Shape::Number } else { Shape::Any };
                Seen::new(shape, 1)
            }
            Expr::GetAttr(get) => {
                let owner = self.reach(&get.expr);
                let from = get.expr.span().end_offset as usize;
                let found = self.source.get(from..).and_then(|rest| rest.find(get.name));
                self.field(&owner, get.name, found.map_or(start(get.span()), |at| from + at))
            }
            Expr::GetItem(get) => self.item(&get.expr, &get.subscript_expr),
            Expr::Slice(slice) => {
                let seen = self.expression(&slice.expr);
                self.all([&slice.start, &slice.stop, &slice.step].into_iter().flatten());
                Seen { read: None, ..seen }
            }
            Expr::UnaryOp(unary) => {
                let _ = self.expression(&unary.expr);
                Seen::new(Shape::Number, 1)
            }
            Expr::BinOp(binary) => self.binary(binary.op, &binary.left, &binary.right, start(binary.span())),
            Expr::Compare(compare) => {
                let _ = self.expression(&compare.expr);
                self.all(compare.ops.iter().map(|op| &op.expr));
                Seen::new(Shape::Number, 1)
            }
            Expr::IfExpr(choice) => {
                let _ = self.expression(&choice.test_expr);
                let yes = self.expression(&choice.true_expr);
                let no = choice.false_expr.as_ref().map(|no| self.expression(no));
                let weight = yes.weight.max(no.as_ref().map_or(0, |no| no.weight));
                let same = no.is_none_or(|no| no.shape == yes.shape);
                Seen::new(if same { yes.shape } else { Shape::Any }, weight)
            }
            Expr::Filter(filter) => {
                let value = filter.expr.as_ref().map_or_else(|| Seen::new(Shape::Any, 1), |expr| self.expression(expr));
                self.filter(filter.name, value, &filter.args, start(filter.span()))
            }
            Expr::Test(test) => {
                let _ = self.expression(&test.expr);
                self.arguments(&test.args);
                if !TESTS.contains(&test.name) && test.name.starts_with(|c: char| c.is_alphabetic()) {
                    self.unknown("unknown_test", "test", test.name, &TESTS, test.span());
                }
                Seen::new(Shape::Number, 1)
            }
            Expr::Call(call) => self.call(&call.expr, &call.args, call.span()),
            Expr::List(list) => Seen::new(Shape::Any, self.all(&list.items).max(1)),
            Expr::Tuple(tuple) => Seen::new(Shape::Any, self.all(&tuple.items).max(1)),
            Expr::Map(map) => Seen::new(Shape::Any, self.all(map.keys.iter().chain(&map.values)).max(1)),
        }
    }

    fn variable(&mut self, name: &str, span: Span) -> Seen {
        let local = self.scopes.iter().rev().flatten().find(|(known, _)| known == name);
        if let Some((_, seen)) = local {
            return seen.clone();
        }
        let Some(root) = Root::from_word(name) else {
            let words = || Root::ALL.iter().map(|root| root.word());
            let owner = Root::ALL.into_iter().find(|root| {
                self.schemas.fields(*root).is_some_and(|fields| fields.iter().any(|(field, _)| field == name))
            });
            let suggestion = match (owner, nearest(name, words())) {
                (Some(root), _) => format!("did you mean `{}.{name}`?", root.word()),
                (None, Some(word)) => format!("did you mean `{word}`?"),
                (None, None) => "names start with a root: `profile`, `event`, `last`, `journey`, …".to_owned(),
            };
            self.report(start(span), "unknown_field", format!("unknown name `{name}`"), Some(suggestion));
            return Seen::new(Shape::Any, 1);
        };
        if self.schemas.fields(root).is_none() {
            let message = format!("`{name}` is not available here");
            self.report(start(span), "root_not_available", message, None);
            return Seen::new(Shape::Any, 1);
        }
        Seen { name: name.to_owned(), ..Seen::new(Shape::Root(root), 1) }
    }

    /// `owner.name`, checked where the schema says what is there.
    fn field(&mut self, owner: &Seen, name: &str, offset: usize) -> Seen {
        let fields: Fields = match &owner.shape {
            Shape::Root(root) => self.schemas.fields(*root).unwrap_or_default(),
            Shape::Typed(Type::Object(fields)) => fields.clone(),
            Shape::Typed(ty) => {
                let message = format!("`{}` is of type {ty} and has no field `{name}`", owner.name);
                self.report(offset, "type_mismatch", message, None);
                return Seen::new(Shape::Any, owner.weight);
            }
            Shape::Loop => return Seen::new(Shape::Number, 1),
            Shape::Number | Shape::Any => return Seen::new(Shape::Any, owner.weight),
        };
        let Some((_, ty)) = fields.iter().find(|(field, _)| field == name) else {
            let message = format!("`{}` has no field `{name}`", owner.name);
            let near = nearest(name, fields.iter().map(|(field, _)| field.as_str()));
            let suggestion = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare it in the schema of `{}`", owner.name),
            };
            self.report(offset, "unknown_field", message, Some(suggestion));
            return Seen::new(Shape::Any, owner.weight);
        };
        let read = match owner.shape {
            Shape::Root(root) => {
                self.reads.push(FieldPath { root, path: vec![root.kept_as(name)] });
                Some(self.reads.len() - 1)
            }
            _ => {
                if let Some(read) = owner.read.and_then(|read| self.reads.get_mut(read)) {
                    read.path.push(SmolStr::new(name));
                }
                owner.read
            }
        };
        Seen { shape: Shape::Typed(ty.clone()), weight: owner.weight, read, name: format!("{}.{name}", owner.name) }
    }

    /// `owner[key]`: a literal text is a field; a root has no other key.
    fn item(&mut self, owner: &Expr<'_>, key: &Expr<'_>) -> Seen {
        if let Expr::Const(constant) = key
            && let Some(name) = constant.value.as_str()
        {
            let owner = self.reach(owner);
            return self.field(&owner, name, start(constant.span()));
        }
        let owner = self.expression(owner);
        let _ = self.expression(key);
        let shape = match owner.shape {
            Shape::Typed(Type::List(item)) => Shape::Typed(*item),
            _ => Shape::Any,
        };
        Seen { name: owner.name, ..Seen::new(shape, owner.weight) }
    }

    fn binary(&mut self, op: BinOpKind, left: &Expr<'_>, right: &Expr<'_>, offset: usize) -> Seen {
        let (left, right) = (self.expression(left), self.expression(right));
        let sum = left.weight.saturating_add(right.weight);
        match op {
            BinOpKind::Add if left.is_number() && right.is_number() => Seen::new(Shape::Number, 1),
            BinOpKind::Add | BinOpKind::Concat => Seen::new(Shape::Any, sum),
            BinOpKind::ScAnd | BinOpKind::ScOr => Seen::new(Shape::Any, left.weight.max(right.weight)),
            BinOpKind::Mul if !(left.is_number() && right.is_number()) => {
                let message = "`*` takes numbers".to_owned();
                let suggestion = Some("write `|int` or `|float` behind what is not known to be a number".to_owned());
                self.report(offset, "type_mismatch", message, suggestion);
                Seen::new(Shape::Number, 1)
            }
            _ => Seen::new(Shape::Number, 1),
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) -> u32 {
        let expression = |argument: &CallArg<'_>, this: &mut Self| match argument {
            CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => {
                this.expression(expr).weight
            }
        };
        arguments.iter().fold(0_u32, |sum, argument| sum.saturating_add(expression(argument, self)))
    }

    fn filter(&mut self, name: &str, value: Seen, arguments: &[CallArg<'_>], offset: usize) -> Seen {
        let weight = value.weight.saturating_add(self.arguments(arguments)).max(1);
        if !FILTERS.contains(&name) {
            let place = self.source.get(offset..).and_then(|rest| rest.find(name)).map_or(offset, |at| offset + at);
            self.unknown_at("unknown_filter", "filter", name, &FILTERS, place);
            return Seen::new(Shape::Any, weight);
        }
        if name == "map" {
            self.check_map(arguments, offset);
        }
        let shape = match (name, value.shape) {
            ("length" | "count" | "int" | "float" | "abs" | "round" | "bool", _) => Shape::Number,
            ("first" | "last" | "min" | "max", Shape::Typed(Type::List(item))) => Shape::Typed(*item),
            ("sort" | "reverse" | "unique" | "list" | "select" | "reject" | "selectattr" | "rejectattr", shape) => {
                shape
            }
            ("default" | "d", shape @ Shape::Typed(_)) if arguments.is_empty() => shape,
            _ => Shape::Any,
        };
        Seen::new(
            if name == "list" && !matches!(shape, Shape::Typed(Type::List(_))) { Shape::Any } else { shape },
            weight,
        )
    }

    /// `map` takes a filter by its name, so the name must be one that can't make much out of little.
    fn check_map(&mut self, arguments: &[CallArg<'_>], offset: usize) {
        for argument in arguments {
            match argument {
                CallArg::Pos(Expr::Const(constant)) if constant.value.as_str().is_some_and(|f| MAPPED.contains(&f)) => {
                }
                CallArg::Kwarg("attribute" | "default", _) => {}
                _ => {
                    let message = "`map` takes the name of a filter without arguments, or `attribute='…'`".to_owned();
                    let suggestion = Some("write a `for` loop".to_owned());
                    self.report(offset, "unsupported", message, suggestion);
                    return;
                }
            }
        }
    }

    /// Calls: the two functions, and `loop.cycle(…)`, `loop.changed(…)`.
    fn call(&mut self, function: &Expr<'_>, arguments: &[CallArg<'_>], span: Span) -> Seen {
        let weight = self.arguments(arguments).max(1);
        let known = match function {
            Expr::Var(variable) => {
                let shadowed = self.scopes.iter().flatten().any(|(name, _)| name == variable.id);
                !shadowed && FUNCTIONS.contains(&variable.id)
            }
            Expr::GetAttr(get) => {
                let owner = self.reach(&get.expr);
                owner.shape == Shape::Loop && matches!(get.name, "cycle" | "changed")
            }
            _ => false,
        };
        if !known {
            let name = match function {
                Expr::Var(variable) => variable.id,
                Expr::GetAttr(get) => get.name,
                _ => "call",
            };
            self.unknown("unknown_function", "function", name, &FUNCTIONS, span);
        }
        Seen::new(Shape::Any, weight)
    }

    fn unknown(&mut self, code: &'static str, kind: &str, name: &str, known: &[&str], span: Span) {
        self.unknown_at(code, kind, name, known, start(span));
    }

    fn unknown_at(&mut self, code: &'static str, kind: &str, name: &str, known: &[&str], offset: usize) {
        let suggestion = if FILTERS.contains(&name) && code == "unknown_function" {
            Some(format!("write `value|{name}`"))
        } else {
            did_you_mean(name, known.iter().copied())
        };
        self.report(offset, code, format!("unknown {kind} `{name}`"), suggestion);
    }
}
