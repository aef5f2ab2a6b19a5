//! How a command fails, and the exit code of each way (docs/reference.md, "Exit codes"). `serve` adds 75 by itself.

use std::fmt;

/// A failed command.
#[derive(Debug)]
pub enum Failure {
    /// Findings, a failed check or verification, or something broken on this side: 1. The text may be empty where
    /// the command has said it all.
    Failed(String),
    /// The command can't be meant so, or names what can't be read: 2.
    Usage(String),
    /// No server at the other end: 3.
    Unreachable(String),
    /// The server answers, and refuses: 4. With the server's code.
    Refused {
        /// Stable code of the refusal.
        code: String,
        /// What is wrong.
        message: String,
        /// How to mend it.
        suggestion: Option<String>,
    },
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Refused { .. } => 4,
        }
    }

    /// The stable code for `--json`.
    pub fn name(&self) -> &str {
        match self {
            Self::Failed(_) => "failed",
            Self::Usage(_) => "usage",
            Self::Unreachable(_) => "unreachable",
            Self::Refused { code, .. } => code,
        }
    }

    /// How to mend it, if known.
    pub fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Refused { suggestion, .. } => suggestion.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Unreachable(message) => f.write_str(message),
            Self::Refused { code, message, .. } => write!(f, "refused by the server [{code}]: {message}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}
