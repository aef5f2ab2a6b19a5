//! What an expression and a template cost: compiled once, run per event and per message. Each benchmark checks its
//! answer first.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use smol_str::SmolStr;
use sojourn::domain::content::{Escape, RenderInput, Template};
use sojourn::domain::expression::{Expr, Fields, Schemas, Scope, Type};
use sojourn::domain::ids::Millis;
use sojourn::domain::value::{Map, Value};

fn fields(list: &[(&str, Type)]) -> Fields {
    list.iter().map(|(name, ty)| (SmolStr::new(name), ty.clone())).collect()
}

fn schemas() -> Schemas {
    Schemas {
        event: Some(fields(&[
            ("currency", Type::String),
            ("total", Type::Number),
            ("sizes", Type::List(Box::new(Type::Integer))),
            ("at", Type::Timestamp),
        ])),
        last: None,
        profile: Some(fields(&[
            ("first_name", Type::String),
            ("tier", Type::String),
            ("consents", Type::Object(fields(&[("email", Type::Boolean)]))),
        ])),
        ..Schemas::default()
    }
}

fn map(entries: Vec<(&str, Value)>) -> Map {
    Map(entries.into_iter().map(|(name, value)| (SmolStr::new(name), value)).collect())
}

fn event() -> Map {
    map(vec![
        ("currency", Value::Str(SmolStr::new("EUR"))),
        ("total", Value::Float(59.9)),
        ("sizes", Value::List((0..10).map(Value::Int).collect())),
        ("at", Value::Time(Millis(1_700_000_000_000))),
    ])
}

fn profile() -> Map {
    map(vec![
        ("first_name", Value::Str(SmolStr::new("Ann"))),
        ("tier", Value::Str(SmolStr::new("gold"))),
        ("consents", Value::Map(map(vec![("email", Value::Bool(true))]))),
    ])
}

fn scope<'a>(event: &'a Map, last: &'a Map, profile: &'a Map) -> Scope<'a> {
    Scope {
        event,
        last,
        profile,
        meta_id: "e1",
        meta_type: "cart_add",
        meta_time: Millis(0),
        action: Map::EMPTY,
        now: Millis(1_700_000_000_000),
        facts: None,
    }
}

/// A condition of two terms, as most filters are.
const TWO_TERMS: &str = "event.total >= 50.0 && profile.tier != 'vip'";

fn expressions(criterion: &mut Criterion) {
    let (event, profile, last) = (event(), profile(), Map::new());
    let scope = scope(&event, &last, &profile);
    let mut group = criterion.benchmark_group("expression");
    for (name, source) in [
        ("number and text", TWO_TERMS),
        ("nested boolean", "profile.consents.email"),
        (
            "five comparisons",
            "event.total > 1.0 && event.total < 99.0 && profile.tier == 'gold' && event.currency == 'EUR' && profile.consents.email",
        ),
        ("in a list of 4", "event.currency in ['USD', 'GBP', 'CHF', 'EUR']"),
        ("exists over 10", "event.sizes.exists(x, x == 9)"),
        ("hour in a zone", "event.at.getHours('Europe/Paris') > 6"),
    ] {
        let expr = Expr::compile(source, &schemas(), &Type::Boolean).expect("valid");
        assert_eq!(expr.eval_bool(&scope), Ok(true), "{source}");
        group.bench_function(name, |b| b.iter(|| black_box(&expr).eval_bool(black_box(&scope))));
    }
    group.bench_function("compile", |b| {
        b.iter(|| Expr::compile(black_box(TWO_TERMS), &schemas(), &Type::Boolean).expect("valid"));
    });
    group.finish();
}

/// The median run of a condition of two terms. Runs are timed in small batches, so that a batch which another process
/// interrupts is one of many and does not move the median.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn median(_: &mut Criterion) {
    const BATCHES: usize = if cfg!(debug_assertions) { 20 } else { 20_000 };
    const RUNS: u32 = 50;
    let (event, profile, last) = (event(), profile(), Map::new());
    let scope = scope(&event, &last, &profile);
    let expr = Expr::compile(TWO_TERMS, &schemas(), &Type::Boolean).expect("valid");
    let mut batches: Vec<f64> = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..RUNS {
            assert_eq!(black_box(&expr).eval_bool(black_box(&scope)), Ok(true));
        }
        batches.push(start.elapsed().as_nanos() as f64 / f64::from(RUNS));
    }
    batches.sort_by(f64::total_cmp);
    println!("expression/two terms    p50 {:.1} ns, p10 {:.1} ns", batches[BATCHES / 2], batches[BATCHES / 10]);
}

fn templates(criterion: &mut Criterion) {
    let source = "<p>Hi {{ profile.first_name|default('you') }},</p>{% if event.total > 50 %}<p>{{ event.total }} {{ event.currency }}</p>{% endif %}";
    let template = Template::compile(source, &schemas(), Escape::Html).expect("valid");
    let input = RenderInput { profile: profile(), event: event(), ..RenderInput::default() };
    assert_eq!(template.render(&input).as_deref(), Ok("<p>Hi Ann,</p><p>59.9 EUR</p>"));
    criterion.bench_function("template/short mail", |b| b.iter(|| black_box(&template).render(black_box(&input))));
}

criterion_group!(benches, median, expressions, templates);
criterion_main!(benches);
