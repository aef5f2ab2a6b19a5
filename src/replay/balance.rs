//! Whether a report adds up (contract, "Reports"): everyone who came in is inside, out, or failed. Reads a report only.

use crate::runtime::view::{JourneyReport, Report};

/// Every sum of the report that is wrong, as a sentence; none if it adds up.
pub fn imbalances(report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, journey) in &report.journeys {
        check_journey(&format!("journey {name}"), journey, &mut wrong);
        for (number, version) in &journey.versions {
            check_journey(&format!("journey {name}, version {number}"), version, &mut wrong);
        }
        let sum = |of: fn(&JourneyReport) -> u64| journey.versions.values().map(of).sum::<u64>();
        let versions = (sum(|v| v.entered), sum(|v| v.active), sum(|v| v.errors));
        if !journey.versions.is_empty() && versions != (journey.entered, journey.active, journey.errors) {
            wrong.push(format!("journey {name}: its versions do not add up to it"));
        }
    }
    wrong
}

fn check_journey(what: &str, journey: &JourneyReport, wrong: &mut Vec<String>) {
    let exited: u64 = journey.exited.values().sum();
    let JourneyReport { entered, active, errors, .. } = journey;
    if *entered != active + exited + errors {
        wrong.push(format!("{what}: entered {entered} is not active {active} + exited {exited} + errors {errors}"));
    }
    let failed: u64 = journey.failed.values().sum();
    if *errors != failed {
        wrong.push(format!("{what}: errors {errors} is not the sum of its reasons, {failed}"));
    }
    for (node, n) in &journey.nodes {
        if n.entered != n.in_node + n.left + n.exited + n.errors {
            wrong.push(format!(
                "{what}, node {node}: entered {} is not in node {} + left {} + exited {} + errors {}",
                n.entered, n.in_node, n.left, n.exited, n.errors
            ));
        }
    }
    let in_nodes: u64 = journey.nodes.values().map(|n| n.in_node).sum();
    if in_nodes != *active {
        wrong.push(format!("{what}: active {active} is not the sum of its nodes, {in_nodes}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::view::NodeReport;

    #[test]
    fn wrong_sums_are_found() {
        let node = NodeReport { entered: 3, in_node: 1, left: 1, exited: 1, errors: 0, ..NodeReport::default() };
        let mut journey = JourneyReport { entered: 3, active: 1, errors: 1, ..JourneyReport::default() };
        journey.exited.insert("completed".to_owned(), 1);
        journey.failed.insert("expression".to_owned(), 1);
        journey.nodes.insert("a".to_owned(), node);
        let mut report = Report::default();
        report.journeys.insert("j".to_owned(), journey.clone());
        assert_eq!(imbalances(&report), Vec::<String>::new());
        journey.entered = 4;
        journey.failed.insert("capped".to_owned(), 1);
        journey.nodes.insert("b".to_owned(), NodeReport { entered: 1, ..NodeReport::default() });
        report.journeys.insert("j".to_owned(), journey);
        assert_eq!(imbalances(&report).len(), 3);
    }
}
