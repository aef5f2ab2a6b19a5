//! What expressions cost at worst, which are refused for it, and that no run within the assumptions draws more.

use super::*;
use crate::domain::limits;

fn cost(source: &str) -> u64 {
    let types = [Type::Boolean, Type::Integer, Type::List(Box::new(Type::Integer)), Type::List(Box::new(Type::String))];
    let compiled = types.iter().find_map(|ty| Expr::compile(source, &schemas(), ty).ok());
    compiled.unwrap_or_else(|| panic!("{source}: {:?}", Expr::compile(source, &schemas(), &types[0]))).cost()
}

#[test]
fn costs_are_as_documented() {
    let assumed = limits::EXPRESSION_LIST_ITEMS_ASSUMED;
    for (source, units) in [
        ("true", 1),
        // Two comparisons of a field and a literal, and `&&`.
        ("event.total >= 50.0 && profile.tier != 'vip'", 7),
        ("event.total + 1.0 > 2.0 * 3.0 || event.ok", 9),
        // A literal list has the items it has.
        ("event.name in ['a', 'b']", 5),
        // A stored one is assumed to have some: the list, and a turn and three nodes for each item.
        ("event.sizes.exists(x, x > 1)", 2 + assumed + 4 * assumed),
        ("[1, 2].exists(x, x > 1)", 4 + 4 * 2),
        ("event.sizes.limit(4).exists(x, x > 1)", 2 + 1 + assumed + 1 + 4 + 4 * 4),
        ("event.name.split(',', 2).exists(x, x == 'a')", 7 + 4 * 2),
        ("event.name.split(',', 1000).exists(x, x == 'a')", 5 + assumed + 4 * assumed),
        ("event.name.matches('a')", 3 + 8),
        ("event.name.matches('^(a{1,20}b){5}$')", 3 + 8 + 105 / 12),
    ] {
        assert_eq!(cost(source), units, "{source}");
    }
}

/// What is charged for a search follows the pattern: one that no table holds is looked at place by place.
#[test]
fn patterns_are_charged_by_their_length() {
    let run = |source: &str, bytes: usize| {
        let event = map(&format!("{{\"name\": \"{}\"}}", "a".repeat(bytes)));
        run_in(source, &Type::Boolean, &event).map_err(|error| error.to_string())
    };
    assert_eq!(run("event.name.matches('^[a-z]+@[a-z]+$')", 500_000), Ok(Value::Bool(false)));
    assert_eq!(run("event.name.matches('(a|b)*a(a|b){12}c')", 1_000), Ok(Value::Bool(false)));
    // 35 µs a byte, if it were let.
    for source in ["event.name.matches('(a{1,20}){1,40}b')", "regex.replace(event.name, '(a{1,20}){1,40}b', '-') == ''"]
    {
        let slow = run(source, 20_000).expect_err("is stopped");
        assert!(slow.contains("too many steps"), "{slow}");
    }
    let large = "event.name.matches('(a{1,50}){1,50}b')";
    check_error(large, &Type::Boolean, "bad_literal", "                   ^", "");
    let errors = Expr::compile(large, &schemas(), &Type::Boolean).expect_err("too large");
    assert!(errors[0].message.contains("2501 characters"), "{errors:?}");
}

#[test]
fn two_loops_pass_and_three_do_not() {
    assert!(cost("event.sizes.exists(x, event.sizes.exists(y, x == y))") < limits::EXPRESSION_COST_MAX);
    assert!(cost("event.items.exists(i, i.sku in event.tags)") < 2_000);
    for (source, mark, part) in [
        (
            "event.ok && event.sizes.all(x, event.sizes.all(y, event.sizes.all(z, x == z)))",
            "                           ^",
            "20 items",
        ),
        (
            "event.sizes.all(x, x > 0) && event.sizes.exists(x, event.sizes.exists(y, event.sizes.exists(z, z > x + y)))",
            "                                               ^",
            "20 items",
        ),
        (
            "event.sizes.map(x, event.sizes.map(y, y)).distinct() == [event.sizes]",
            "                                          ^",
            "20 items, 442 each",
        ),
    ] {
        check_error(source, &Type::Boolean, "too_costly", mark, "limit(10)");
        let errors = Expr::compile(source, &schemas(), &Type::Boolean).expect_err(source);
        assert!(errors.len() == 1 && errors[0].message.contains(part), "{errors:?}");
    }
    // How the error says to mend it.
    cost("event.sizes.limit(10).all(x, event.sizes.limit(10).all(y, event.sizes.limit(10).all(z, x == z)))");
}

#[test]
fn no_count_overflows() {
    let bomb = "event.sizes.map(x, [[x]].flatten()).flatten()".to_owned()
        + &".map(x, [x]).flatten()".repeat(20)
        + ".size() > 0";
    let errors = Expr::compile(&bomb, &schemas(), &Type::Boolean).expect_err("a bomb");
    assert!(matches!(errors[0].code, "too_costly" | "too_complex"), "{errors:?}");
}

fn lists(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "event.sizes",
        "[3, 1, 2]",
        "[7].limit(0)",
        "event.nothing.split(',').map(t, size(t))",
    ]);
    let leaf = leaf.prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    let sub = || lists(depth - 1);
    prop_oneof![
        leaf,
        sub().prop_map(|l| format!("{l}.sort()")),
        sub().prop_map(|l| format!("{l}.distinct()")),
        sub().prop_map(|l| format!("{l}.reverse()")),
        sub().prop_map(|l| format!("{l}.limit(3)")),
        sub().prop_map(|l| format!("{l}.limitLast(2)")),
        sub().prop_map(|l| format!("{l}.sortBy(x, -x)")),
        sub().prop_map(|l| format!("{l}.distinctBy(x, x % 3)")),
        sub().prop_map(|l| format!("{l}.filter(x, x > 1)")),
        sub().prop_map(|l| format!("{l}.map(x, x + 1)")),
        sub().prop_map(|l| format!("[{l}, {l}].distinct().flatten()")),
        sub().prop_map(|l| format!("{l}.limit(4).map(x, event.sizes).distinct().flatten()")),
        (sub(), sub()).prop_map(|(a, b)| format!("{a}.intersect({b})")),
        (sub(), sub()).prop_map(|(a, b)| format!("({a} + {b})")),
        (sub(), sub()).prop_map(|(a, b)| format!("(event.ok ? {a} : {b})")),
        (sub(), sub()).prop_map(|(a, b)| format!("{a}.filter(x, x in {b})")),
        (sub(), sub()).prop_map(|(a, b)| format!("{a}.map(x, {b}.max() + {b}.sum() - {b}.count())")),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_run_within_the_assumptions_draws_no_more(source in lists(3), sizes in prop::collection::vec(-3_i64..9, 0..=20)) {
        let ty = Type::List(Box::new(Type::Integer));
        let expr = match Expr::compile(&source, &schemas(), &ty) {
            Ok(expr) => expr,
            Err(errors) => {
                prop_assert!(matches!(errors[0].code, "too_costly" | "too_complex"), "{}: {:?}", source, errors);
                return Ok(());
            }
        };
        let event = Map(vec![
            (SmolStr::new("sizes"), Value::List(sizes.into_iter().map(Value::Int).collect())),
            (SmolStr::new("ok"), Value::Bool(true)),
        ]);
        let empty = Map::new();
        let scope = Scope {
            event: &event, last: &empty, profile: &empty, meta_id: "", meta_type: "", meta_time: Millis(0), action: &empty, now: Millis(0), facts: None,
        };
        prop_assert!(expr.steps(&scope) <= expr.cost(), "{} draws {} of {}", source, expr.steps(&scope), expr.cost());
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let nested = |open: &str, close: &str, n: usize| format!("{}true{}", open.repeat(n), close.repeat(n));
    for source in [
        nested("(", ")", 4_000),
        nested("!(", ")", 2_000),
        nested("[", "]", 3_000),
        nested("size(", ")", 1_000),
        nested("{'a':", "}", 1_000),
        "(".repeat(8_000),
        "!-".repeat(4_000) + "1",
        "1".to_owned() + &"+1".repeat(300),
        "1".to_owned() + &"+1".repeat(4_000),
        "a".to_owned() + &".b".repeat(4_000),
        "true?1:".repeat(1_000) + "2",
        "x".repeat(9_000),
        "'".repeat(8_000),
        "1,".repeat(4_000),
        "[".to_owned() + &"1,".repeat(4_050) + "1] == [1]",
        format!("'{}'", "\\".repeat(7_999)),
        "[1].map(x, ".repeat(30) + "x" + &")".repeat(30),
    ] {
        let errors = Expr::compile(&source, &schemas(), &Type::Boolean).expect_err("a bomb");
        assert!(matches!(errors[0].code, "too_complex" | "syntax"), "{errors:?}");
    }
    check_bool(&nested("!(", ")", 20), true);
    check_bool(&("event.ok".to_owned() + &" && event.ok".repeat(200)), true);
}

#[test]
fn long_loops_end_in_an_error() {
    let items = vec![Value::Int(1); 20_000];
    let text = Value::Str(SmolStr::new("x".repeat(500_000)));
    let event = Map(vec![
        (SmolStr::new("sizes"), Value::List(items)),
        (SmolStr::new("text"), text.clone()),
        (SmolStr::new("tags"), Value::List(vec![text; 1_000])),
    ]);
    let spent = Err(EvalError::Other("expression took too many steps".to_owned()));
    for source in [
        "event.sizes.all(x, event.sizes.all(y, event.sizes.all(z, x == z)))",
        "event.sizes.exists(x, event.sizes.exists(y, 1 / (x - y) == 0)) || event.sizes.all(x, event.sizes.all(y, x == y))",
        "event.sizes.map(x, event.text).size() > 0",
        "event.sizes.map(x, event.sizes).size() > 0",
        "event.sizes.exists(x, event.text.contains('y'))",
        "event.sizes.exists(x, event.text.matches('y$'))",
        "event.sizes.exists(x, 2 in event.sizes)",
        "event.sizes.exists(x, event.text < event.text)",
        "event.sizes.exists(x, event.sizes != event.sizes)",
        "event.sizes.map(x, event.text + event.text).size() > 0",
    ] {
        assert_eq!(run_in(source, &Type::Boolean, &event), spent, "{source}");
    }
    assert_eq!(run_in("event.sizes.all(x, x == 1)", &Type::Boolean, &event), Ok(Value::Bool(true)));
}
