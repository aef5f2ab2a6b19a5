//! The page of a run: one HTML file that needs nothing else, with figures, plots and the machine.

mod chart;
mod plots;
mod scale;

use std::path::{Path, PathBuf};

use crate::figures::Figures;
use crate::scenario::Scenario;

use scale::number;

const STYLE: &str = include_str!("report/page.css");

/// Writes it as `report.html`; makes the directory where there is none.
pub fn write(directory: &Path, figures: &Figures) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("report.html");
    std::fs::write(&path, page(figures))?;
    Ok(path)
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(figures: &Figures) -> String {
    let run = &figures.run;
    let name = run.scenario.name();
    let verdict = &figures.findings.verdict;
    let badge = if verdict.is_verified() {
        "<span class=\"badge good\">verified: nothing lost, nothing doubled</span>".to_owned()
    } else {
        format!("<span class=\"badge bad\">NOT verified: {} lost, {} doubled</span>", verdict.lost, verdict.duplicated)
    };
    let under = format!(
        "{} · {} · {} connections · {} events",
        run.feed.name().to_uppercase(),
        figures.pace(),
        run.connections(),
        figures.findings.fed.events
    );
    let cards: String = cards(figures).into_iter().map(|(name, value, unit)| card(&name, &value, &unit)).collect();
    let charts: String = plots::charts(figures).iter().map(chart::Chart::html).collect();
    let rows: String = figures
        .rows()
        .into_iter()
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(&name), escape(&value)))
        .collect();
    let command = escape(&command(std::env::args().skip(1)));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{name} – Sojourn load test</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n\
         <header><p class=\"over\">Sojourn load test</p><h1>{name}</h1><p>{under}</p>{badge}</header>\n\
         <section class=\"cards\">{cards}</section>\n<section class=\"charts\">\n{charts}</section>\n\
         <section class=\"figures\"><h2>Figures</h2><table>{rows}</table></section>\n\
         <footer><p>Run it again:</p><pre>{command}</pre></footer>\n</main></body></html>\n",
        under = escape(&under),
    )
}

/// The command line of this run.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let arguments = arguments.map(|argument| {
        let is_plain = argument.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,".contains(c));
        if is_plain { argument } else { format!("'{}'", argument.replace('\'', "'\\''")) }
    });
    format!("cargo run --release -p loadtest -- {}", arguments.collect::<Vec<_>>().join(" "))
}

fn card(name: &str, value: &str, unit: &str) -> String {
    format!("<div><h3>{}</h3><p>{} <small>{}</small></p></div>\n", escape(name), escape(value), escape(unit))
}

/// The most important figures: name, value, unit. What only this scenario measures comes first.
fn cards(figures: &Figures) -> Vec<(String, String, String)> {
    /// Cards of what only this scenario measures.
    const EXTRAS_MAX: usize = 4;
    let mut cards: Vec<(String, String, String)> = figures
        .findings
        .extras
        .iter()
        .filter_map(|extra| Some((extra.name.to_owned(), number(extra.value.as_f64()?), extra.unit.to_owned())))
        .take(EXTRAS_MAX)
        .collect();
    let mut add = |name: &str, value: Option<f64>, unit: &str| {
        cards.extend(value.map(|value| (name.to_owned(), number(value), unit.to_owned())));
    };
    add("throughput", Some(figures.events_per_s()), "events/s");
    add("latency p50", figures.latency_ms(0.5), "ms");
    add("latency p99", figures.latency_ms(0.99), "ms");
    add("disk sync p99", Some(figures.disk_sync_p99_ms()), "ms");
    add("CPU", figures.cpu_s_per_million(), "s per million");
    add("memory", figures.rss_mb(), "MB");
    if matches!(figures.run.scenario, Scenario::Waiting | Scenario::Restart) {
        add("each waiting profile", figures.bytes_per_waiting(), "bytes");
    }
    add("disk", figures.disk_bytes_per_event(), "bytes an event");
    cards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted() {
        let arguments = ["ingest", "--report", "a b", "--set", "x=it's"].map(str::to_owned);
        assert_eq!(
            command(arguments.into_iter()),
            "cargo run --release -p loadtest -- ingest --report 'a b' --set 'x=it'\\''s'"
        );
    }
}
