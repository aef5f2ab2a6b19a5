//! What `check` finds in resources: where, what and how to mend it. Owns the shape; rules live with what they check.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Publishing is refused.
    Error,
    /// Publishing goes on.
    Warning,
    /// Publishing goes on; it may well be meant.
    Hint,
}

impl Severity {
    /// As reports name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        }
    }
}

/// One finding. Lines and columns count from 1; 0 means "the file as a whole".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// A stable, documented code such as `unknown_target`.
    pub code: &'static str,
    /// Error, warning or hint.
    pub severity: Severity,
    /// What is wrong, with the names involved.
    pub message: String,
    /// How to mend it, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// How many of each severity: `2 errors, 1 warning`.
pub fn counted(findings: &[Finding]) -> String {
    let counts = [Severity::Error, Severity::Warning, Severity::Hint].map(|severity| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        let plural = if count == 1 { "" } else { "s" };
        (count, format!("{count} {}{plural}", severity.word()))
    });
    let told: Vec<String> = counts.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text).collect();
    if told.is_empty() { "no findings".to_owned() } else { told.join(", ") }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = self.severity.word();
        write!(f, "{}:{}:{}: {severity}[{}]: {}", self.file, self.line, self.column, self.code, self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n    help: {suggestion}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_by_severity() {
        let finding = |severity| Finding {
            file: "f.yaml".to_owned(),
            line: 1,
            column: 1,
            code: "syntax",
            severity,
            message: String::new(),
            suggestion: None,
        };
        let one = [finding(Severity::Error)];
        let more = [Severity::Error, Severity::Hint, Severity::Error, Severity::Warning].map(finding);
        assert_eq!([counted(&one), counted(&more)], ["1 error", "2 errors, 1 warning, 1 hint"]);
        assert_eq!(counted(&[]), "no findings");
    }
}
