//! `sojourn export`: step events from a server into a file, as NDJSON or Parquet.
//!
//! The server streams NDJSON; columns are made here, where memory and CPU are nobody else's. A file appears under its name
//! only whole: an export that breaks off leaves none.

mod columns;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use sojourn::runtime::past::event::StepEvent;

use crate::cli::{ServerArgs, SpanArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::profile::{has_namespace, span};
use columns::ColumnWriter;

/// Step events between two looks of the progress line.
const PROGRESS_EVERY: u64 = 1_024;

/// Exporting.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What to export.
    #[command(subcommand)]
    pub what: Exported,
}

/// What can be exported.
#[derive(Debug, Subcommand)]
pub enum Exported {
    /// Step events: one for every step of every profile (docs/step-events.md)
    Steps(StepsArgs),
    /// Recorded events, as NDJSON: what `dry-run --events` reads
    Events(RecordsArgs),
    /// All profiles with their documents, as NDJSON: what `dry-run --profiles` reads
    Profiles(RecordsArgs),
}

/// Which step events, and where they go.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sojourn export steps --out steps.parquet --since 2026-11-01 --until 2026-12-01\n  \
    sojourn export steps --journey cart_abandonment --out - | jq -c 'select(.step == \"discarded\")'"
)]
pub struct StepsArgs {
    /// File to write, whole or not at all; `-` for stdout
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Form of the file; if absent, Parquet for a name that ends in `.parquet`, else NDJSON
    #[arg(long)]
    pub format: Option<ExportFormat>,
    #[command(flatten)]
    pub span: SpanArgs,
    /// Only of this journey
    #[arg(long, value_name = "NAME")]
    pub journey: Option<String>,
    /// Only of this profile
    #[arg(long, value_name = "NS:ID")]
    pub profile: Option<String>,
    /// So many at most
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Ndjson,
    /// Columns: Apache Parquet, compressed by Snappy
    Parquet,
}

/// Where what is recorded goes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sojourn export events --out events.ndjson && sojourn export profiles --out profiles.ndjson"
)]
pub struct RecordsArgs {
    /// File to write, whole or not at all; `-` for stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

/// What was exported.
#[derive(Debug, Serialize)]
struct Summary {
    to: PathBuf,
    format: &'static str,
    steps: u64,
    bytes: u64,
}

/// Exports.
pub fn run(args: &ExportArgs, output: &Output) -> Result<(), Failure> {
    let args = match &args.what {
        Exported::Steps(args) => args,
        Exported::Events(args) => return records(args, &["v1", "history", "events"], "events", output),
        Exported::Profiles(args) => return records(args, &["v1", "profiles"], "profiles", output),
    };
    let is_stdout = is_stdout(&args.out, output)?;
    let query = query(args)?;
    let client = Client::new(&args.server)?;
    let url = client.url(&["v1", "steps"], &query);
    let format = args.format.unwrap_or_else(|| {
        let is_parquet = args.out.extension().is_some_and(|extension| extension == "parquet");
        if is_parquet { ExportFormat::Parquet } else { ExportFormat::Ndjson }
    });
    let mut steps = 0;
    let bytes = write_whole(&args.out, |out| {
        let mut writer = Writer::new(format, out)?;
        let progress = ProgressBar::new_spinner();
        client.lines(url, |line| {
            steps += 1;
            if steps % PROGRESS_EVERY == 0 {
                progress.set_message(format!("{steps} step events"));
                progress.tick();
            }
            writer.take(line)
        })?;
        progress.finish_and_clear();
        writer.finish()
    })?;
    let format = match format {
        ExportFormat::Ndjson => "ndjson",
        ExportFormat::Parquet => "parquet",
    };
    let summary = Summary { to: args.out.clone(), format, steps, bytes };
    let people = |s: &Summary| format!("{} step events, {} bytes written to {}", s.steps, s.bytes, s.to.display());
    if is_stdout {
        eprintln!("sojourn: {}", people(&summary));
    } else {
        output.result(&summary, people);
    }
    Ok(())
}

/// Whether the export goes to stdout, which then holds nothing else.
fn is_stdout(out: &Path, output: &Output) -> Result<bool, Failure> {
    let is_stdout = out.as_os_str() == "-";
    if is_stdout && output.is_json() {
        let text = "--json prints one object, and --out - what is exported: name a file, or leave --json out";
        return Err(Failure::Usage(text.to_owned()));
    }
    Ok(is_stdout)
}

/// Writes down lines as the server tells them.
fn records(args: &RecordsArgs, route: &[&str], what: &'static str, output: &Output) -> Result<(), Failure> {
    let is_stdout = is_stdout(&args.out, output)?;
    if args.out.extension().is_some_and(|extension| extension == "parquet") {
        let out = args.out.with_extension("ndjson");
        return Err(Failure::Usage(format!("{what} are written as NDJSON; name the file {}", out.display())));
    }
    let client = Client::new(&args.server)?;
    let mut count: u64 = 0;
    let bytes = write_whole(&args.out, |mut out| {
        client.lines(client.url(route, &[]), |line| {
            count += 1;
            out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(unwritten)
        })?;
        out.flush().map_err(unwritten)
    })?;
    let summary = serde_json::json!({"to": args.out, "format": "ndjson", what: count, "bytes": bytes});
    let people = format!("{count} {what}, {bytes} bytes written to {}", args.out.display());
    if is_stdout {
        eprintln!("sojourn: {people}");
    } else {
        output.result(&summary, |_| people);
    }
    Ok(())
}

fn query(args: &StepsArgs) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut query = span(&args.span)?;
    query.extend(args.journey.clone().map(|journey| ("journey", journey)));
    if let Some(profile) = &args.profile {
        has_namespace(profile)?;
        query.push(("profile", profile.clone()));
    }
    query.extend(args.limit.map(|limit| ("limit", limit.to_string())));
    Ok(query)
}

/// Where step events go.
enum Writer<W: Write + Send> {
    Ndjson(W),
    Parquet(Box<ColumnWriter<W>>),
}

impl<W: Write + Send> Writer<W> {
    fn new(format: ExportFormat, out: W) -> Result<Self, Failure> {
        Ok(match format {
            ExportFormat::Ndjson => Self::Ndjson(out),
            ExportFormat::Parquet => Self::Parquet(Box::new(ColumnWriter::new(out).map_err(unwritten)?)),
        })
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Ndjson(out) => out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(unwritten),
            Self::Parquet(writer) => {
                let event: StepEvent = serde_json::from_slice(line)
                    .map_err(|e| Failure::Failed(format!("the server sent what is no step event: {e}")))?;
                writer.take(event).map_err(unwritten)
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Ndjson(mut out) => out.flush().map_err(unwritten),
            Self::Parquet(writer) => writer.finish().map_err(unwritten),
        }
    }
}

fn unwritten(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("can't write the export: {error}"))
}

/// Counts what goes through.
struct Counted<'c, W> {
    out: W,
    bytes: &'c mut u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        *self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Has `write` fill a file that gets its name only when it is whole and synced, or stdout; the bytes written.
fn write_whole(
    path: &Path,
    write: impl FnOnce(io::BufWriter<Counted<'_, Box<dyn Write + Send>>>) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut bytes = 0;
    if path.as_os_str() == "-" {
        write(io::BufWriter::new(Counted { out: Box::new(io::stdout()), bytes: &mut bytes }))?;
        return Ok(bytes);
    }
    let failed = |e: io::Error| Failure::Failed(format!("can't write {}: {e}", path.display()));
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".partial");
    let unfinished = PathBuf::from(unfinished);
    let file =
        File::create(&unfinished).map_err(|e| Failure::Usage(format!("can't write {}: {e}", unfinished.display())))?;
    let out: Box<dyn Write + Send> = Box::new(file.try_clone().map_err(failed)?);
    let written = write(io::BufWriter::new(Counted { out, bytes: &mut bytes }))
        .and_then(|()| file.sync_all().map_err(failed))
        .and_then(|()| fs::rename(&unfinished, path).map_err(failed));
    if written.is_err() {
        // What is there is of no use; that it can't be removed is no worse than why it is there.
        let _ = fs::remove_file(&unfinished);
    }
    written.map(|()| bytes)
}
