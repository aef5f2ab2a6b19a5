//! The `cel` crate's interpreter as oracle: where no null is involved, our closures must agree with it.

use cel::{Context, Program, Value as Cel};

use super::*;

/// Numbers, texts and booleans that the variables of an expression have.
#[derive(Clone, Debug)]
struct Inputs {
    int: i64,
    float: f64,
    text: String,
    truth: bool,
    list: Vec<i64>,
}

impl Inputs {
    fn ours(&self) -> Map {
        let list = self.list.iter().map(|int| Value::Int(*int)).collect();
        Map(vec![
            (SmolStr::new("i"), Value::Int(self.int)),
            (SmolStr::new("f"), Value::Float(self.float)),
            (SmolStr::new("s"), Value::Str(SmolStr::new(&self.text))),
            (SmolStr::new("b"), Value::Bool(self.truth)),
            (SmolStr::new("l"), Value::List(list)),
        ])
    }

    fn theirs(&self) -> Context<'_, '_> {
        let mut event = std::collections::HashMap::<String, Cel>::new();
        event.insert("i".into(), self.int.into());
        event.insert("f".into(), self.float.into());
        event.insert("s".into(), self.text.clone().into());
        event.insert("b".into(), self.truth.into());
        event.insert("l".into(), self.list.clone().into());
        let mut context = Context::default();
        context.add_variable_from_value("event", event);
        context
    }
}

fn inputs() -> impl Strategy<Value = Inputs> {
    (-4_i64..5, -4_i32..5, "[ab]{0,3}", any::<bool>(), prop::collection::vec(-2_i64..3, 0..4)).prop_map(
        |(int, quarters, text, truth, list)| Inputs { int, float: f64::from(quarters) / 2.0, text, truth, list },
    )
}

fn of(fixed: &[&str]) -> BoxedStrategy<String> {
    prop::sample::select(fixed.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).boxed()
}

fn join(form: &'static str, a: BoxedStrategy<String>, b: BoxedStrategy<String>) -> BoxedStrategy<String> {
    (a, b).prop_map(move |(a, b)| form.replace("$a", &a).replace("$b", &b)).boxed()
}

fn integers(depth: u32) -> BoxedStrategy<String> {
    let leaf = of(&["event.i", "0", "1", "-2", "7", "event.l.size()", "size(event.s)"]);
    if depth == 0 {
        return leaf;
    }
    let (sub, truth) = (integers(depth - 1), truths(depth - 1));
    prop_oneof![
        leaf,
        join("($a + $b)", sub.clone(), sub.clone()),
        join("($a - $b)", sub.clone(), sub.clone()),
        join("($a * $b)", sub.clone(), sub.clone()),
        join("($a / $b)", sub.clone(), sub.clone()),
        join("($a % $b)", sub.clone(), sub.clone()),
        join("($b ? $a : event.i)", sub.clone(), truth),
        sub.prop_map(|a| format!("event.l.map(x, x + {a}).filter(y, y > 0).size()")),
    ]
    .boxed()
}

fn floats(depth: u32) -> BoxedStrategy<String> {
    let leaf = of(&["event.f", "0.5", "2.0", "-1.5"]);
    if depth == 0 {
        return leaf;
    }
    let sub = floats(depth - 1);
    prop_oneof![
        leaf,
        join("($a + $b)", sub.clone(), sub.clone()),
        join("($a - $b)", sub.clone(), sub.clone()),
        join("($a * $b)", sub.clone(), sub),
        integers(depth - 1).prop_map(|a| format!("double({a})")),
    ]
    .boxed()
}

fn texts(depth: u32) -> BoxedStrategy<String> {
    let leaf = of(&["event.s", "'a'", "'ab'", "''"]);
    if depth == 0 {
        return leaf;
    }
    let sub = texts(depth - 1);
    prop_oneof![leaf, join("($a + $b)", sub.clone(), sub), integers(depth - 1).prop_map(|a| format!("string({a})"))]
        .boxed()
}

fn truths(depth: u32) -> BoxedStrategy<String> {
    let leaf = of(&["event.b", "true", "false"]);
    if depth == 0 {
        return leaf;
    }
    let sub = truths(depth - 1);
    let operator = of(&["==", "!=", "<", "<=", ">", ">="]);
    let compare = |side: BoxedStrategy<String>| {
        (side.clone(), operator.clone(), side).prop_map(|(a, by, b)| format!("({a} {by} {b})")).boxed()
    };
    prop_oneof![
        leaf,
        compare(integers(depth - 1)),
        compare(floats(depth - 1)),
        compare(texts(depth - 1)),
        join("($a && $b)", sub.clone(), sub.clone()),
        join("($a || $b)", sub.clone(), sub.clone()),
        sub.prop_map(|a| format!("!{a}")),
        join("$a.contains($b)", texts(depth - 1), texts(depth - 1)),
        join("$a.startsWith($b)", texts(depth - 1), texts(depth - 1)),
        join("$a.endsWith($b)", texts(depth - 1), texts(depth - 1)),
        integers(depth - 1).prop_map(|a| format!("({a} in event.l)")),
        integers(depth - 1).prop_map(|a| format!("event.l.all(x, x < {a})")),
        integers(depth - 1).prop_map(|a| format!("event.l.exists(x, 4 / x == {a})")),
        integers(depth - 1).prop_map(|a| format!("event.l.exists_one(x, x == {a})")),
        integers(depth - 1).prop_map(|a| format!("(event.l[{a}] > 0)")),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_interpreter(source in truths(3), inputs in inputs()) {
        let schemas = Schemas {
            event: Some(fields(&[
                ("i", Type::Integer),
                ("f", Type::Number),
                ("s", Type::String),
                ("b", Type::Boolean),
                ("l", Type::List(Box::new(Type::Integer))),
            ])),
            ..Schemas::default()
        };
        let expr = match Expr::compile(&source, &schemas, &Type::Boolean) {
            Ok(expr) => expr,
            Err(errors) => {
                prop_assert!(matches!(errors[0].code, "too_complex" | "too_costly"), "{}: {:?}", source, errors);
                return Ok(());
            }
        };
        let empty = Map::new();
        let event = inputs.ours();
        let scope = Scope {
            event: &event, last: &empty, profile: &empty, meta_id: "", meta_type: "", meta_time: Millis(0), action: &empty, now: Millis(0), facts: None,
        };
        let ours = expr.eval(&scope);
        let theirs = Program::compile(&source).expect("both parsers take it").execute(&inputs.theirs());
        match (&ours, &theirs) {
            (Ok(Value::Bool(ours)), Ok(Cel::Bool(theirs))) => prop_assert_eq!(ours, theirs, "{}", source),
            (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{source} with {inputs:?}: {ours:?} but {theirs:?}"),
        }
        prop_assert_eq!(expr.eval_bool(&scope), ours.map(|value| value == Value::Bool(true)));
    }

    #[test]
    fn any_text_compiles_or_is_refused(source in "\\PC{0,60}") {
        let _ = Expr::compile(&source, &schemas(), &Type::Boolean);
    }

    #[test]
    fn any_words_compile_or_are_refused(words in prop::collection::vec(
        prop::sample::select(vec![
            "event", ".", "total", "items", "(", ")", "[", "]", "{", "}", "?", ":", ",", "x", "'a'", "\"", "'", "1", "2.5",
            "&&", "||", "!", "-", "+", "*", "/", "%", "==", "<", " in ", "null", "true", "has", "exists", "map", "filter",
            "timestamp", "duration", "size", "now", "//", "\n", "\\", "b'", "r\"", "'''", "ä", "`", "$", "0x", "1u", "9e999",
        ]), 0..24))
    {
        let source = words.concat();
        if let Err(errors) = Expr::compile(&source, &schemas(), &Type::Boolean) {
            prop_assert!(!errors.is_empty(), "{}", source);
            for error in errors {
                prop_assert!(error.offset <= source.len() && source.is_char_boundary(error.offset), "{}: {:?}", source, error);
            }
        }
    }

    #[test]
    fn any_bytes_compile_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Expr::compile(&String::from_utf8_lossy(&bytes), &schemas(), &Type::Boolean);
    }
}
