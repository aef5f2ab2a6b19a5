//! What conditions ask about, and the states it can be in that they can tell apart.
//!
//! A subject is a stored field, a root such as `now`, any other expression, or the order of two of them. Of its values only
//! those matter that conditions compare it with: between two of them lies one state. So a handful of states stands for
//! every document there is. Where two states might be one in truth (no text lies between `'a'` and the text after it) they
//! are kept apart: what is impossible in all states is impossible then, though not everything impossible is found.

use std::cmp::Ordering;

use smol_str::SmolStr;

use super::super::read;
use super::super::types::Type;
use crate::domain::value::Value;

/// A value that subjects are compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Point {
    Int(i64),
    Number(f64),
    Text(SmolStr),
    Bool(bool),
    /// Equality of the two of a pair.
    Same,
}

impl Point {
    /// A scalar that is no null. Instants and spans are whole milliseconds.
    pub(super) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Int(int) => Self::Int(*int),
            Value::Float(number) => Self::Number(*number),
            Value::Str(text) => Self::Text(text.clone()),
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Time(time) => Self::Int(time.0),
            _ => return None,
        })
    }

    /// Their order; points of one subject are of one kind, integers and numbers aside.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Self::Int(a), Self::Number(b)) => read::order_mixed(*a, *b).unwrap_or(Ordering::Equal),
            (Self::Number(a), Self::Int(b)) => read::order_mixed(*b, *a).unwrap_or(Ordering::Equal).reverse(),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    /// The smallest integer above it.
    fn integer_above(&self) -> Option<i64> {
        match self {
            Self::Int(int) => int.checked_add(1),
            Self::Number(number) if *number < i64::MIN as f64 => Some(i64::MIN),
            // Above 64 bits the conversion stays at the end, beyond which there is no integer.
            Self::Number(number) => (number.floor() as i64).checked_add(1),
            _ => None,
        }
    }

    fn is_integer(&self) -> bool {
        match self {
            Self::Number(number) => number.fract() == 0.0,
            _ => true,
        }
    }
}

/// What kind of values a subject has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Integers, instants, spans.
    Whole,
    Real,
    Text,
    Truth,
    /// The order of two subjects, given by their indices.
    Pair(usize, usize),
    /// Values that nothing is compared with.
    Other,
}

impl Sort {
    pub(super) fn of(ty: &Type) -> Self {
        match ty {
            Type::Integer | Type::Timestamp | Type::Duration => Self::Whole,
            Type::Number => Self::Real,
            Type::String => Self::Text,
            Type::Boolean => Self::Truth,
            _ => Self::Other,
        }
    }
}

/// Where a subject's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// `now` and fields of `meta`, which are always there.
    Given,
    /// A stored field.
    Field,
    /// Anything else: it may come to null, and end in an error.
    Found,
}

/// A subject.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// As text.
    pub(super) key: String,
    pub(super) sort: Sort,
    pub(super) origin: Origin,
    /// What it is compared with, in no order.
    pub(super) points: Vec<Point>,
}

/// The state of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A field without its key.
    Absent,
    Null,
    /// A value: `2i + 1` is the `i`th point in order, `2i` lies right below it.
    At(usize),
    /// A value that has no order.
    Unordered,
    /// It can't be found.
    Error,
}

impl State {
    /// Whether it counts as null.
    pub(super) fn is_null(self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }
}

impl Subject {
    /// The index of `point` among the points, which it joins.
    pub(super) fn point(&mut self, point: Point) -> usize {
        let known = self.points.iter().position(|known| known.order(&point) == Ordering::Equal);
        known.unwrap_or_else(|| {
            self.points.push(point);
            self.points.len() - 1
        })
    }

    /// Ranks of the points.
    pub(super) fn ranks(&self) -> Vec<usize> {
        let rank = |point: &Point| self.points.iter().filter(|other| other.order(point) == Ordering::Less).count();
        self.points.iter().map(rank).collect()
    }

    /// Every state it can be in; those that are errors only if asked for.
    pub(super) fn states(&self, with_errors: bool) -> Vec<State> {
        let mut states = Vec::new();
        match self.origin {
            Origin::Given => {}
            Origin::Field => states.extend([State::Absent, State::Null]),
            Origin::Found => {
                states.push(State::Null);
                if with_errors {
                    states.push(State::Error);
                }
                if matches!(self.sort, Sort::Real | Sort::Pair(..)) {
                    states.push(State::Unordered);
                }
            }
        }
        let mut sorted = self.points.clone();
        sorted.sort_by(Point::order);
        let positions = 0..=2 * sorted.len();
        states.extend(positions.filter(|at| self.is_possible(*at, &sorted)).map(State::At));
        states
    }

    fn is_possible(&self, at: usize, sorted: &[Point]) -> bool {
        let (below, above) = (at.checked_sub(2).map(|_| &sorted[at / 2 - 1]), sorted.get(at / 2));
        let is_point = at % 2 == 1;
        match self.sort {
            Sort::Whole if is_point => sorted[at / 2].is_integer(),
            Sort::Whole => match (below, above) {
                (Some(below), Some(above)) => {
                    below.integer_above().is_some_and(|next| Point::Int(next).order(above) == Ordering::Less)
                }
                _ => true,
            },
            // Nothing is less than the empty text.
            Sort::Text => at != 0 || sorted.first() != Some(&Point::Text(SmolStr::default())),
            Sort::Truth => is_point,
            // A value is what it is: the order of a subject with itself.
            Sort::Pair(left, right) => left != right || is_point,
            Sort::Real | Sort::Other => true,
        }
    }
}
