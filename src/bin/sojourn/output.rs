//! What commands print: tables and sentences for people, or exactly one object as the last line of stdout (`--json`).

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;

use crate::failure::Failure;

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    People,
    Json,
}

impl Output {
    /// Output for people, or as JSON.
    pub fn new(json: bool) -> Self {
        Self { format: if json { Format::Json } else { Format::People } }
    }

    /// Whether one object is all that stdout may end with.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The one result of a command: `value` with `--json`, else what `people` makes of it.
    pub fn result<T: Serialize>(&self, value: &T, people: impl FnOnce(&T) -> String) {
        let text = match self.format {
            Format::Json => serde_json::to_string(value).expect("results have text keys and finite numbers"),
            Format::People => people(value),
        };
        print_line(&text);
    }

    /// The same where what people read goes to stderr, line by line, and the result is only there for `--json`.
    pub fn failure(&self, failure: &Failure) {
        let message = failure.to_string();
        if !message.is_empty() {
            eprintln!("sojourn: {message}");
        }
        if let Some(suggestion) = failure.suggestion() {
            eprintln!("    help: {suggestion}");
        }
        // A failure without a message has printed its result already: one object, no more.
        if self.format == Format::Json && !message.is_empty() {
            let mut error = serde_json::json!({"code": failure.name(), "message": message});
            if let Some(suggestion) = failure.suggestion() {
                error["suggestion"] = suggestion.into();
            }
            print_line(&serde_json::json!({ "error": error }).to_string());
        }
    }
}

/// Prints a line; a reader that has gone away (`| head`) is no error.
pub fn print_line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// A table with these headings; `#` before a heading aligns its column to the right.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    let lined = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(lined)).set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.force_no_tty();
    }
    table.set_header(headings.iter().map(|h| Cell::new(h.trim_start_matches('#')).add_attribute(Attribute::Bold)));
    for (index, heading) in headings.iter().enumerate() {
        if let (true, Some(column)) = (heading.starts_with('#'), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
