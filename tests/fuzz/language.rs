//! What people write: resources, expressions, templates, mappings and tables.

use std::io::Cursor;
use std::sync::Arc;

use smol_str::SmolStr;
use sojourn::domain::catalog::{Catalog, Rehearsal, SourceFile};
use sojourn::domain::content::{Escape, RenderInput, Template};
use sojourn::domain::expression::{Expr, Fields, Schemas, Scope, Type};
use sojourn::domain::ids::Millis;
use sojourn::domain::value::{Map, Value};
use sojourn::import::{Format, import};
use sojourn::replay::mapping::Mapping;
use sojourn::replay::source::Recording;
use sojourn::trial::run::run;

fn fields(list: &[(&str, Type)]) -> Fields {
    list.iter().map(|(name, ty)| (SmolStr::new(name), ty.clone())).collect()
}

fn schemas() -> Schemas {
    let event = fields(&[
        ("total", Type::Number),
        ("n", Type::Integer),
        ("name", Type::String),
        ("sizes", Type::List(Box::new(Type::Integer))),
        ("at", Type::Timestamp),
    ]);
    Schemas {
        event: Some(event),
        last: None,
        profile: Some(fields(&[("tier", Type::String), ("vip", Type::Boolean)])),
        ..Schemas::default()
    }
}

fn event() -> Map {
    Map(vec![
        ("total".into(), Value::Float(59.9)),
        ("n".into(), Value::Int(i64::MIN)),
        ("name".into(), Value::Str("Zoë".into())),
        ("sizes".into(), Value::List((0..4).map(Value::Int).collect())),
        ("at".into(), Value::Time(Millis(1_700_000_000_000))),
    ])
}

/// What an expression sees beside its event: nothing.
pub fn scope<'a>(event: &'a Map, none: &'a Map) -> Scope<'a> {
    Scope {
        event,
        last: none,
        profile: none,
        meta_id: "e1",
        meta_type: "go",
        meta_time: Millis(0),
        action: Map::EMPTY,
        now: Millis(1_700_000_000_000),
        facts: None,
    }
}

#[test]
fn expressions() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let Ok(source) = std::str::from_utf8(bytes) else { return };
        let (event, none) = (event(), Map::new());
        let scope = scope(&event, &none);
        for expected in [Type::Boolean, Type::Timestamp, Type::String] {
            match Expr::compile(source, &schemas(), &expected) {
                Ok(expression) => drop(expression.eval(&scope)),
                Err(errors) => assert!(!errors.is_empty(), "a refusal says why"),
            }
        }
    });
}

#[test]
fn templates() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let Ok(source) = std::str::from_utf8(bytes) else { return };
        for escape in [Escape::Html, Escape::Json] {
            match Template::compile(source, &schemas(), escape) {
                Ok(template) => drop(template.render(&RenderInput { event: event(), ..RenderInput::default() })),
                Err(errors) => assert!(!errors.is_empty(), "a refusal says why"),
            }
        }
    });
}

#[test]
fn resources() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let file = SourceFile { name: "fuzz.yaml".to_owned(), text: text.to_owned() };
        let files = [file];
        match Catalog::default().apply(&files, Millis(0)) {
            Ok((catalog, _)) => drop(Catalog::from_record(&catalog.to_record()).expect("what is published loads")),
            Err(findings) => assert!(!findings.is_empty(), "a refusal says why"),
        }
        // A test that is sound can be run, whatever comes of it.
        if let Ok(Rehearsal { catalog, trials, .. }) = Rehearsal::of(&files) {
            let catalog = Arc::new(catalog);
            trials.iter().for_each(|trial| drop(run(trial, &catalog).expect("it runs")));
        }
    });
}

#[test]
fn mappings() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let _ = Mapping::parse(text);
    });
}

#[test]
fn recordings() {
    let mapping = Mapping::parse("id=#,type='go',profile='crm:'+a,time=b,properties.total=c").expect("reads");
    bolero::check!().for_each(|bytes: &[u8]| {
        let tabular = [b"a,b,c\n", bytes].concat();
        for (content, mapping) in [(tabular, Some(&mapping)), (bytes.to_vec(), None)] {
            let recording = Recording::new("fuzz", Box::new(Cursor::new(content)), None);
            let Ok(events) = recording.events(mapping, Arc::new(Catalog::default())) else { continue };
            // Each flaw is one row's; there are no more rows than bytes.
            assert!(events.take_while(Result::is_ok).count() <= bytes.len() + 1);
        }
    });
}

fn imports(format: Format) {
    bolero::check!().for_each(|bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match import(format, &[SourceFile { name: "fuzz.json".to_owned(), text: text.to_owned() }]) {
            Ok(imported) => assert!(!imported.items.is_empty(), "a report says something"),
            Err(error) => assert!(!error.to_string().is_empty(), "a refusal says why"),
        }
    });
}

#[test]
fn pinpoint() {
    imports(Format::Pinpoint);
}

#[test]
fn dittofeed() {
    imports(Format::Dittofeed);
}

#[test]
fn parcelvoy() {
    imports(Format::Parcelvoy);
}
