//! Functions and methods: finds what a call means, checks its arguments, and hands it to the file that owns its kind:
//! `text`, `pattern`, `lists`, `aggregates`, `math`, `dates`, `time`, `conversion`, `draw`. Their names are in `names`.

use cel::common::ast::{CallExpr, Expr as Tree, IdedExpr};

use super::code::Typed;
use super::compile::{Compiler, Problem, bridge};
use super::names::{self, BY_KEY, GLOBAL, METHODS, Of, SPACED, Space};
use super::parse::At;
use super::time;
use super::types::Type;

impl Compiler<'_> {
    pub(super) fn function(&mut self, id: u64, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        let Some(target) = &call.target else { return self.global(id, name, &call.args) };
        if let Tree::Ident(word) = &target.expr
            && let Some(space) = Space::named(word)
            && self.variable(word).is_none()
        {
            return self.spaced(At::Before(id, name.to_owned()), space, word, call);
        }
        self.method(At::Before(id, name.to_owned()), target, call)
    }

    fn method(&mut self, at: At, target: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        if BY_KEY.contains(&name) {
            return self.by_key(at, name, target, &call.args);
        }
        let part = time::Part::named(name);
        if part.is_none() && !METHODS.iter().any(|method| method.name == name) {
            return self.unknown(at, name, names::method_hint(name));
        }
        let typed = self.node(target);
        let arguments = self.arguments(&call.args);
        let (typed, arguments) = (typed?, arguments?);
        if let Some(part) = part {
            return self.part(&at, name, part, typed, arguments);
        }
        let Some(method) = METHODS.iter().find(|method| method.name == name && method.of.includes(&typed.ty)) else {
            return self.no_such_method(at, name, &typed.ty);
        };
        self.check_arguments(&at, name, &call.args, &arguments, method.takes, method.needs)?;
        match method.of {
            Of::Sized if name == "isEmpty" => Some(super::text::is_empty(typed)),
            Of::Sized => self.size(at, typed),
            Of::Text => self.text_method(call, typed, arguments),
            Of::List => self.list_method(at, call, typed, arguments),
            Of::Time => self.time_method(&at, call, typed, arguments),
        }
    }

    /// `math.name(…)` and its like.
    fn spaced(&mut self, at: At, space: Space, word: &str, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        let Some(function) = SPACED.iter().find(|function| function.of == space && function.name == name) else {
            return self.unknown(at, &format!("{word}.{name}"), names::spaced_hint(space, word, name));
        };
        let arguments = self.arguments(&call.args)?;
        if matches!(name, "greatest" | "least") {
            return self.extreme(at, name, call, arguments);
        }
        self.check_arguments(&at, name, &call.args, &arguments, function.takes, function.needs)?;
        match space {
            Space::Math => Some(super::math::of_number(name, arguments)),
            Space::Regex if name == "replace" => self.replace_matches(call, arguments),
            Space::Regex => self.split_at_matches(call, arguments),
            Space::Strings => Some(super::text::quote(arguments)),
        }
    }

    fn global(&mut self, id: u64, name: &str, nodes: &[IdedExpr]) -> Option<Typed> {
        let at = At::Node(id);
        if !GLOBAL.contains(&name) {
            return self.unknown(at, name, names::function_hint(name));
        }
        if let ("timestamp" | "string", [value, zone]) = (name, nodes) {
            let (value, zone) = (self.node(value), self.node(zone));
            return self.with_zone(at, name, value?, zone?);
        }
        let [argument] = nodes else {
            let wanted = if matches!(name, "timestamp" | "string") { "one or two arguments" } else { "one argument" };
            return self.wrong_arguments(at, name, wanted, nodes.len());
        };
        let argument = self.node(argument)?;
        match name {
            "size" => self.size(at, argument),
            // Its type stays known; elsewhere `dyn` is how numbers of two types are compared.
            "dyn" => Some(argument),
            "millis" | "timestampMillis" | "durationMillis" => self.millis(at, name, argument),
            "draw" | "uuid" => self.drawn(at, name, argument),
            _ => self.conversion(at, name, argument),
        }
    }

    fn arguments(&mut self, nodes: &[IdedExpr]) -> Option<Vec<Typed>> {
        let arguments: Vec<Option<Typed>> = nodes.iter().map(|node| self.node(node)).collect();
        arguments.into_iter().collect()
    }

    /// Whether there are as many arguments as needed, each of its type.
    fn check_arguments(
        &mut self,
        at: &At,
        name: &str,
        nodes: &[IdedExpr],
        arguments: &[Typed],
        takes: &[Type],
        needs: usize,
    ) -> Option<()> {
        if !(needs..=takes.len()).contains(&arguments.len()) {
            const COUNTS: [&str; 5] = ["no", "one", "two", "three", "four"];
            let plural = if takes.len() == 1 { "" } else { "s" };
            let wanted = match COUNTS[needs] {
                least if needs < takes.len() => format!("{least} to {} argument{plural}", COUNTS[takes.len()]),
                exactly => format!("{exactly} argument{plural}"),
            };
            return self.wrong_arguments(at.clone(), name, &wanted, arguments.len());
        }
        for ((argument, wanted), node) in arguments.iter().zip(takes).zip(nodes) {
            if *wanted != Type::Null && !argument.ty.fits(wanted) {
                let message = format!("`{name}` takes {wanted} here, not {}", argument.ty);
                return self.mismatch(At::Node(node.id), message, bridge(&argument.ty, wanted));
            }
        }
        Some(())
    }

    fn no_such_method(&mut self, at: At, name: &str, ty: &Type) -> Option<Typed> {
        let owners: Vec<&str> = METHODS.iter().filter(|m| m.name == name).map(|m| m.of.word()).collect();
        let hint = match (name, ty) {
            ("contains", Type::List(_)) => Some("write `item in list`".to_owned()),
            ("indexOf", Type::List(_)) => Some("write `item in list` to ask whether it is there".to_owned()),
            _ if owners.contains(&Of::Text.word()) => bridge(ty, &Type::String),
            _ if owners.contains(&Of::Time.word()) => bridge(ty, &Type::Timestamp),
            _ => None,
        };
        let message = format!("`{name}` is a function of {}, not of {ty}", owners.join(" and "));
        self.mismatch(at, message, hint)
    }

    pub(super) fn wrong_arguments<T>(&mut self, at: At, name: &str, wanted: &str, found: usize) -> Option<T> {
        let message = format!("`{name}` takes {wanted}, not {found}");
        self.report(at, Problem { code: "wrong_arguments", message, suggestion: None })
    }

    fn unknown<T>(&mut self, at: At, name: &str, suggestion: Option<String>) -> Option<T> {
        let message = format!("unknown function `{name}`");
        self.report(at, Problem { code: "unknown_function", message, suggestion })
    }

    fn size(&mut self, at: At, typed: Typed) -> Option<Typed> {
        match &typed.ty {
            Type::String | Type::Null => {
                let text = typed.text();
                Some(Typed::integer(move |env| {
                    let Some(text) = text(env)? else { return Ok(None) };
                    env.charge_text(text.len())?;
                    Ok(Some(text.chars().count() as i64))
                }))
            }
            Type::List(_) => {
                let list = typed.list();
                Some(Typed::integer(move |env| Ok(list(env)?.map(|list| list.len() as i64))))
            }
            Type::Object(_) => {
                let map = typed.map();
                Some(Typed::integer(move |env| Ok(map(env)?.map(|map| map.0.len() as i64))))
            }
            ty => {
                let message = format!("`size` is a function of texts, lists and objects, not of {ty}");
                self.mismatch(at, message, None)
            }
        }
    }
}
