//! Expressions that are right by their making, of every function there is: each compiles unless it is too big, none
//! panics or runs long, and each comes to the same a second time.

use smol_str::SmolStr;
use sojourn::domain::expression::{Expr, Schemas, Type};
use sojourn::domain::ids::Millis;
use sojourn::domain::value::{Map, Value};

use crate::language::scope;

/// Builds a text of each type out of bytes; without bytes, the shortest.
struct Maker<'b> {
    bytes: std::slice::Iter<'b, u8>,
}

const TEXT: [&str; 20] = [
    "event.s",
    "'aB,ñ'",
    "meta.id",
    "event.none",
    "T.lower()",
    "T.upper()",
    "T.trim()",
    "T.reverse()",
    "T.charAt(I)",
    "T.substring(I)",
    "T.substring(I, I)",
    "T.replace(T, T)",
    "T.replace(T, T, I)",
    "regex.replace(T, '[a-z]*', r'\\0-', I)",
    "strings.quote(T)",
    "L.join(T)",
    "L.first()",
    "string(W, Z)",
    "uuid(T)",
    "(T + string(I))",
];
const INTEGER: [&str; 22] = [
    "event.i",
    "0",
    "-1",
    "2",
    "9223372036854775807",
    "(-9223372036854775807 - 1)",
    "size(T)",
    "T.indexOf(T)",
    "T.indexOf(T, I)",
    "T.lastIndexOf(T, I)",
    "N.sum()",
    "N.max()",
    "N.count()",
    "L.countNull()",
    "millis(W)",
    "W.daysSince(W, Z)",
    "math.abs(I)",
    "math.greatest(I, I)",
    "int(math.round(F))",
    "(I + I)",
    "(I / I)",
    "N.last()",
];
const NUMBER: [&str; 10] = [
    "event.f",
    "1.5",
    "N.avg()",
    "math.floor(F)",
    "math.sign(F)",
    "draw(T)",
    "math.least(F, I)",
    "double(I)",
    "[F, F].sum()",
    "(F * F)",
];
const NUMBERS: [&str; 14] = [
    "event.l",
    "[I, I]",
    "[3, 1, 2]",
    "N.sort()",
    "N.distinct()",
    "N.reverse()",
    "N.limit(I)",
    "N.limitLast(I)",
    "N.slice(I, I)",
    "N.intersect(N)",
    "[N, N].flatten()",
    "N.sortBy(x, -x)",
    "N.distinctBy(x, x % 2)",
    "(B ? N : N)",
];
const TEXTS: [&str; 8] = [
    "event.t",
    "['b', T]",
    "T.split(T)",
    "T.split(T, I)",
    "regex.split(T, ',|b*')",
    "L.sort()",
    "L.distinct()",
    "L.map(x, x + T)",
];
const TIME: [&str; 14] = [
    "event.at",
    "now",
    "meta.time",
    "timestampMillis(I)",
    "W.plus(I, 'hours')",
    "W.plus(I, 'days', Z)",
    "W.plus(I, 'months', Z)",
    "W.plus(I, 'years')",
    "W.startOfDay(Z)",
    "W.setHours(I, Z)",
    "W.setMinutes(I)",
    "W.setDate(I, Z)",
    "timestamp(T, Z)",
    "[W, W].min()",
];
const ZONE: [&str; 5] = ["'UTC'", "'Europe/Paris'", "'-03:30'", "'Asia/Kathmandu'", "T"];
const TRUTH: [&str; 16] = [
    "true",
    "false",
    "T.isEmpty()",
    "N.isEmpty()",
    "T.equalsIgnoreCase(T)",
    "T.containsIgnoreCase(T)",
    "T.startsWithIgnoreCase(T)",
    "T.endsWithIgnoreCase(T)",
    "W.inLast(I, 'days', Z)",
    "W.inNext(I, 'months')",
    "(I < I)",
    "(F >= I)",
    "(N == N)",
    "(B || B)",
    "(T in L)",
    "bool(I)",
];

impl Maker<'_> {
    fn pick(&mut self, forms: &[&'static str], depth: u32) -> String {
        let choice = self.bytes.next().map_or(0, |byte| usize::from(*byte));
        let form = if depth == 0 { forms[0] } else { forms[choice % forms.len()] };
        let mut made = String::new();
        let mut quoted = false;
        for (at, letter) in form.char_indices() {
            quoted ^= letter == '\'';
            let beside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
            let alone = !quoted
                && !beside(form[..at].chars().next_back())
                && !beside(form[at + letter.len_utf8()..].chars().next());
            let forms: &[&str] = match letter {
                'T' if alone => &TEXT,
                'I' if alone => &INTEGER,
                'F' if alone => &NUMBER,
                'N' if alone => &NUMBERS,
                'L' if alone => &TEXTS,
                'W' if alone => &TIME,
                'Z' if alone => &ZONE,
                'B' if alone => &TRUTH,
                _ => {
                    made.push(letter);
                    continue;
                }
            };
            made.push_str(&self.pick(forms, depth.saturating_sub(1)));
        }
        made
    }
}

fn scope_event() -> Map {
    Map(vec![
        ("s".into(), Value::Str("Zoë, aB".into())),
        ("i".into(), Value::Int(3)),
        ("f".into(), Value::Float(-2.5)),
        ("l".into(), Value::List(vec![Value::Int(5), Value::Null, Value::Int(i64::MIN)])),
        ("t".into(), Value::List(vec![Value::Str("b".into()), Value::Null, Value::Str("A".into())])),
        ("at".into(), Value::Time(Millis(1_774_746_000_000))),
    ])
}

#[test]
fn functions() {
    let list = |item| Type::List(Box::new(item));
    let declared = [
        ("s", Type::String),
        ("none", Type::String),
        ("i", Type::Integer),
        ("f", Type::Number),
        ("l", list(Type::Integer)),
        ("t", list(Type::String)),
        ("at", Type::Timestamp),
    ];
    let event = Some(declared.into_iter().map(|(name, ty)| (SmolStr::new(name), ty)).collect());
    let schemas = Schemas { event, ..Schemas::default() };
    let (event, none) = (scope_event(), Map::new());
    let targets: [(&[&'static str], Type); 7] = [
        (&TEXT, Type::String),
        (&INTEGER, Type::Integer),
        (&NUMBER, Type::Number),
        (&NUMBERS, list(Type::Integer)),
        (&TEXTS, list(Type::String)),
        (&TIME, Type::Timestamp),
        (&TRUTH, Type::Boolean),
    ];
    bolero::check!().for_each(|bytes: &[u8]| {
        let scope = scope(&event, &none);
        for (forms, ty) in &targets {
            let source = Maker { bytes: bytes.iter() }.pick(forms, 4);
            match Expr::compile(&source, &schemas, ty) {
                Ok(expression) => {
                    assert!(expression.cost() > 0);
                    assert_eq!(expression.eval(&scope), expression.eval(&scope), "{source}");
                }
                // A zone or a text that was drawn as a literal may be none.
                Err(errors) => {
                    let expected = ["too_complex", "too_costly", "bad_literal"];
                    assert!(expected.contains(&errors[0].code), "{source}: {errors:?}");
                }
            }
        }
    });
}
