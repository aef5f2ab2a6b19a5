//! Publishing, statuses and the record, through files as users write them.

use super::*;
use crate::domain::finding::Severity;

fn files(texts: &[&str]) -> Vec<SourceFile> {
    let name = |index: usize| format!("f{index}.yaml");
    texts.iter().enumerate().map(|(i, text)| SourceFile { name: name(i), text: (*text).to_owned() }).collect()
}

fn apply(catalog: &Catalog, text: &str) -> (Catalog, ApplyReport) {
    match catalog.apply(&files(&[text]), Millis(7)) {
        Ok(done) => done,
        Err(findings) => panic!("{findings:#?}"),
    }
}

const SIMPLE: &str = "
kind: event
name: purchase
schema: { amount: number }
---
kind: message
name: thanks
channel: log
body: hello
---
kind: journey
name: nurture
entry: { event: purchase }
start: pause
nodes:
  pause: { wait: 1h, then: thank }
  thank: { message: thanks, then: await_next }
  await_next: { event: purchase, within: 30d, then: done, on_timeout: pause }
  done: { end: true }
";

#[test]
fn publishes_a_simple_journey() {
    let (catalog, report) = apply(&Catalog::default(), SIMPLE);
    assert_eq!(report.warnings.iter().filter(|f| f.severity == Severity::Error).count(), 0);
    assert_eq!(catalog.entered_by("purchase"), &[VersionId(0)]);
    let program = catalog.program(VersionId(0));
    assert_eq!(program.nodes.len(), 4);
    assert!(program.nodes[0].on_cycle && program.nodes[2].on_cycle && !program.nodes[3].on_cycle);
    assert!(catalog.listens("purchase") && !catalog.listens("other"));
}
