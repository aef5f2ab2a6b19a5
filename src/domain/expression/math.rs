//! `math.round` and its like, of one number. Rounding gives a number, as in cel-go; `int(…)` makes an integer of it.

use super::code::{Code, Typed, run};
use super::operators::{finite, overflow};
use super::types::Type;

/// `math.name(number)`, its argument checked.
pub(super) fn of_number(name: &str, arguments: Vec<Typed>) -> Typed {
    let Some(number) = arguments.into_iter().next() else { return Typed::integer(|_| Ok(None)) };
    if number.ty == Type::Integer && matches!(name, "abs" | "sign") {
        let is_abs = name == "abs";
        let number = number.scalar::<i64>();
        return Typed::integer(move |env| match number(env)? {
            Some(value) if is_abs => value.checked_abs().map(Some).ok_or_else(overflow),
            Some(value) => Ok(Some(value.signum())),
            None => Ok(None),
        });
    }
    let change: fn(f64) -> f64 = match name {
        "round" => f64::round,
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        "trunc" => f64::trunc,
        "abs" => f64::abs,
        _ => |number| if number == 0.0 { 0.0 } else { number.signum() },
    };
    let number = number.scalar::<f64>();
    let code = run(move |env| number(env)?.map(|number| finite(change(number))).transpose());
    Typed::code_of(Type::Number, Code::Number(code))
}
