//! Settings: one struct per layer, joined here. Owns their names, defaults, documentation and where a value came
//! from; reads no environment and no flags by itself ([`Sources`] hands them in), so every rule here is testable.
//!
//! A setting is named once, in the `section!` lists of [`sections`]. From there come the field, its key in the file
//! (`http.listen`), its flag (`--http-listen`), its variable (`SOJOURN_HTTP_LISTEN`), its line in `--help` and its row
//! in `docs/reference.md` (a test compares). Precedence: flag, environment, file, default.

mod load;
mod sections;
mod value;

pub use load::{ConfigError, Loaded, Origin, Sources, load, variable_of};
pub use sections::{
    Archive, Auth, Calls, Checkpoint, Config, Dedup, Engine, Guardrails, Http, Journal, Limits, Log, Outbox, SECTIONS,
    Section, Shutdown, Tcp, Tls, setting,
};
pub use value::{ByteSize, Clock, KeyDigest, LogFormat, Rate, Setting, ShardCount, Span};

/// One setting as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Key in the configuration file, dots between section and name.
    pub key: &'static str,
    /// The default as one would write it; empty where there is none.
    pub default: &'static str,
    /// What a value looks like.
    pub expects: &'static str,
    /// What it does.
    pub doc: &'static str,
}

impl Description {
    /// The flag without its dashes: `http-listen`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The environment variable: `SOJOURN_HTTP_LISTEN`.
    pub fn variable(&self) -> String {
        variable_of(self.key)
    }
}

/// All settings, in the order of the reference page.
pub fn descriptions() -> impl Iterator<Item = &'static Description> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// The reference page's tables: one per section.
pub fn reference_tables() -> String {
    use std::fmt::Write as _;
    let mut page = String::new();
    for section in SECTIONS {
        let _ = write!(page, "### {}\n\n{}\n\n", section.title, section.doc.trim());
        page.push_str("| file | flag | environment | default | value |\n|---|---|---|---|---|\n");
        for d in section.settings {
            let default = if d.default.is_empty() { "none".to_owned() } else { format!("`{}`", d.default) };
            let (key, flag, variable) = (d.key, d.flag(), d.variable());
            let _ = writeln!(page, "| `{key}` | `--{flag}` | `{variable}` | {default} | {} |", d.expects);
        }
        page.push('\n');
        for d in section.settings {
            let _ = writeln!(page, "- `{}`: {}", d.key, d.doc.trim());
        }
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests;
