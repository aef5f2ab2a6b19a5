//! A syntax tree as text: the same text for the same expression, however it was spaced and bracketed.

use cel::common::ast::{CallExpr, EntryExpr, Expr as Tree, IdedExpr, LiteralValue, operators};

use super::super::operators::sign;

/// The text of `node`.
pub(super) fn text_of(node: &IdedExpr) -> String {
    match &node.expr {
        Tree::Unspecified => String::new(),
        Tree::Ident(name) => name.clone(),
        Tree::Literal(literal) => literal_text(literal),
        Tree::Select(select) if select.test => format!("has({}.{})", operand(&select.operand), select.field),
        Tree::Select(select) => field_text(&select.operand, &select.field),
        Tree::Call(call) => call_text(call),
        Tree::List(list) => format!("[{}]", joined(&list.elements)),
        Tree::Map(map) => format!("{{{}}}", entries(map.entries.iter().map(|entry| &entry.expr))),
        Tree::Struct(object) => {
            format!("{}{{{}}}", object.type_name, entries(object.entries.iter().map(|entry| &entry.expr)))
        }
        Tree::Comprehension(fold) => format!(
            "{}.fold({}, {}, {}, {}, {})",
            operand(&fold.iter_range),
            fold.iter_var,
            text_of(&fold.accu_init),
            text_of(&fold.loop_cond),
            text_of(&fold.loop_step),
            text_of(&fold.result)
        ),
    }
}

fn literal_text(literal: &LiteralValue) -> String {
    match literal {
        LiteralValue::Boolean(value) => value.inner().to_string(),
        LiteralValue::Double(value) => format!("{:?}", value.inner()),
        LiteralValue::Int(value) => value.inner().to_string(),
        LiteralValue::Null => "null".to_owned(),
        LiteralValue::String(text) => quoted(text.inner()),
        LiteralValue::UInt(value) => value.inner().to_string(),
        LiteralValue::Bytes(bytes) => format!("b{:?}", bytes.inner()),
    }
}

fn quoted(text: &str) -> String {
    if text.contains(['\'', '\\']) || text.chars().any(char::is_control) {
        format!("{text:?}")
    } else {
        format!("'{text}'")
    }
}

fn field_text(of: &IdedExpr, field: &str) -> String {
    let is_name = field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !field.is_empty();
    if is_name { format!("{}.{field}", operand(of)) } else { format!("{}[{}]", operand(of), quoted(field)) }
}

fn call_text(call: &CallExpr) -> String {
    if let Some(target) = &call.target {
        return format!("{}.{}({})", operand(target), call.func_name, joined(&call.args));
    }
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::INDEX, [of, at]) => match &at.expr {
            Tree::Literal(LiteralValue::String(field)) => field_text(of, field.inner()),
            _ => format!("{}[{}]", operand(of), text_of(at)),
        },
        (operators::CONDITIONAL, [condition, yes, no]) => {
            format!("{} ? {} : {}", operand(condition), operand(yes), operand(no))
        }
        (operator @ (operators::LOGICAL_NOT | operators::NEGATE), [of]) => format!("{}{}", sign(operator), operand(of)),
        (operator, [left, right]) if is_sign(operator) => {
            format!("{} {} {}", operand(left), sign(operator), operand(right))
        }
        (name, arguments) => format!("{name}({})", joined(arguments)),
    }
}

fn is_sign(operator: &str) -> bool {
    operator.starts_with(['_', '@'])
}

/// In brackets where it would otherwise bind differently.
fn operand(node: &IdedExpr) -> String {
    let binds = match &node.expr {
        Tree::Call(call) => call.target.is_none() && call.func_name != operators::INDEX && sign_like(&call.func_name),
        _ => false,
    };
    if binds { format!("({})", text_of(node)) } else { text_of(node) }
}

fn sign_like(name: &str) -> bool {
    is_sign(name) || matches!(name, operators::LOGICAL_NOT | operators::NEGATE)
}

fn joined(nodes: &[IdedExpr]) -> String {
    nodes.iter().map(text_of).collect::<Vec<_>>().join(", ")
}

fn entries<'e>(entries: impl Iterator<Item = &'e EntryExpr>) -> String {
    let texts: Vec<String> = entries
        .map(|entry| match entry {
            EntryExpr::StructField(field) => format!("{}: {}", field.field, text_of(&field.value)),
            EntryExpr::MapEntry(entry) => format!("{}: {}", text_of(&entry.key), text_of(&entry.value)),
        })
        .collect();
    texts.join(", ")
}
