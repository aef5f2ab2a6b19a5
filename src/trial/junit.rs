//! Results as JUnit XML, the form that CI systems read: a suite a file, a case a test. Well-formed whatever texts hold.

use std::fmt::Write as _;
use std::time::Duration;

/// A suite: the tests of one file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file.
    pub name: String,
    /// Its tests.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The journey it is about.
    pub class: String,
    /// Where it stands in the file.
    pub line: u32,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a test.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Everything was as expected.
    Passed,
    /// Something was not: in one line, and in full.
    Failed(String, String),
    /// It could not be run.
    Broken(String),
}

/// The whole document.
pub fn document(suites: &[Suite]) -> String {
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"sojourn test\" {}>", counts(all()));
    for suite in suites {
        let _ = writeln!(xml, "  <testsuite name=\"{}\" {}>", escaped(&suite.name), counts(suite.cases.iter()));
        for case in &suite.cases {
            put_case(&mut xml, &suite.name, case);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts<'c>(cases: impl Iterator<Item = &'c Case> + Clone) -> String {
    let count = |is: fn(&Verdict) -> bool| cases.clone().filter(|case| is(&case.verdict)).count();
    let failures = count(|verdict| matches!(verdict, Verdict::Failed(..)));
    let errors = count(|verdict| matches!(verdict, Verdict::Broken(_)));
    let seconds: f64 = cases.clone().map(|case| case.took.as_secs_f64()).sum();
    let tests = cases.count();
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{seconds:.6}\"")
}

fn put_case(xml: &mut String, file: &str, case: &Case) {
    let Case { name, class, line, took, verdict } = case;
    let _ = write!(
        xml,
        "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{line}\" time=\"{:.6}\"",
        escaped(name),
        escaped(class),
        escaped(file),
        took.as_secs_f64()
    );
    let _ = match verdict {
        Verdict::Passed => writeln!(xml, "/>"),
        Verdict::Failed(message, text) => writeln!(
            xml,
            ">\n      <failure message=\"{}\" type=\"expectation\">{}</failure>\n    </testcase>",
            escaped(message),
            content(text)
        ),
        Verdict::Broken(message) => {
            writeln!(xml, ">\n      <error message=\"{}\" type=\"error\"/>\n    </testcase>", escaped(message))
        }
    };
}

/// Text as it may stand in an attribute: line breaks and tabs by number, or they would be lost.
fn escaped(text: &str) -> String {
    content(text).replace('\t', "&#9;").replace('\n', "&#10;")
}

/// Text as it may stand between tags. Characters that XML 1.0 has no place for become U+FFFD.
fn content(text: &str) -> String {
    let mut content = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => content.push_str("&amp;"),
            '<' => content.push_str("&lt;"),
            '>' => content.push_str("&gt;"),
            '"' => content.push_str("&quot;"),
            '\'' => content.push_str("&apos;"),
            // A bare one would be read as a line feed.
            '\r' => content.push_str("&#13;"),
            '\t' | '\n' => content.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => content.push('\u{fffd}'),
            c => content.push(c),
        }
    }
    content
}
