//! `sojourn import`: definitions of other engines to resource files; no server needed.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use sojourn::domain::catalog::SourceFile;
use sojourn::domain::limits;
use sojourn::import::{Format, Imported, Item, Outcome, import};
use sojourn::transport::http::schema::CheckBody;

use crate::failure::Failure;
use crate::files;
use crate::output::Output;

/// Definitions of another engine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aws pinpoint get-journey --application-id … --journey-id … > welcome.json\n  \
    sojourn import pinpoint welcome.json --out journeys/\n  \
    sojourn import dittofeed journeys.json segments.json templates.json\n  \
    sojourn import parcelvoy steps.json campaigns.json --json\n\n\
    Exit codes: 0 everything is mapped, 1 something differs or is not mapped, or the files are refused.\n\
    docs/importing.md says what maps to what.")]
pub struct ImportArgs {
    /// Whose definitions they are
    pub format: ImportFormat,
    /// JSON as the other engine's API gives it, `-` for standard input; all files are one set
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the resource files go
    #[arg(long, value_name = "DIR", default_value = "imported")]
    pub out: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    pub force: bool,
}

/// Engines whose definitions can be imported.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ImportFormat {
    /// Amazon Pinpoint: journeys, message templates, segments
    Pinpoint,
    /// Dittofeed: journeys, segments, message templates, user properties
    Dittofeed,
    /// Parcelvoy: journeys, their steps, campaigns
    Parcelvoy,
}

/// The result of an import.
#[derive(Debug, Serialize)]
struct ImportBody<'i> {
    format: Format,
    journeys: &'i [String],
    files: Vec<String>,
    written: bool,
    mapped: usize,
    differs: usize,
    not_mapped: usize,
    items: &'i [Item],
    check: CheckBody,
}

/// Reads, writes, reports. Fails if anything is not as it was there.
pub fn run(args: &ImportArgs, output: &Output) -> Result<(), Failure> {
    let format = match args.format {
        ImportFormat::Pinpoint => Format::Pinpoint,
        ImportFormat::Dittofeed => Format::Dittofeed,
        ImportFormat::Parcelvoy => Format::Parcelvoy,
    };
    let imported = import(format, &read(&args.files)?).map_err(|error| Failure::Failed(error.to_string()))?;
    let refused = imported.is_refused();
    let paths: Vec<PathBuf> = imported.files.iter().map(|file| args.out.join(&file.name)).collect();
    if !refused {
        if let (Some(path), false) = (paths.iter().find(|path| path.exists()), args.force) {
            let text =
                format!("{} is there already: nothing is written; say --force, or another --out", path.display());
            return Err(Failure::Usage(text));
        }
        for (path, file) in paths.iter().zip(&imported.files) {
            write(path, &file.text)?;
        }
    }
    let count = |outcome| imported.items.iter().filter(|item| item.outcome == outcome).count();
    let body = ImportBody {
        format,
        journeys: &imported.journeys,
        files: paths.iter().map(|path| path.display().to_string()).collect(),
        written: !refused,
        mapped: count(Outcome::Mapped),
        differs: count(Outcome::Differs),
        not_mapped: count(Outcome::NotMapped),
        items: &imported.items,
        check: CheckBody::new(&imported.findings),
    };
    output.result(&body, |body| in_words(body, &imported));
    if body.differs + body.not_mapped > 0 || refused { Err(Failure::Failed(String::new())) } else { Ok(()) }
}

/// All sources; `-` is standard input.
fn read(paths: &[PathBuf]) -> Result<Vec<SourceFile>, Failure> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            // One byte more than there may be, so that the library tells who gave too much.
            let mut input = std::io::stdin().lock().take(limits::RESOURCE_BYTES_MAX as u64 + 1);
            let told = |error| Failure::Usage(format!("can't read standard input: {error}"));
            input.read_to_string(&mut text).map_err(told)?;
            sources.push(SourceFile { name: "-".to_owned(), text });
        } else {
            let read = files::read(std::slice::from_ref(path))?;
            sources.extend(read.into_iter().map(|(name, text)| SourceFile { name, text }));
        }
    }
    Ok(sources)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let directory = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = directory.and_then(|()| std::fs::write(path, text));
    written.map_err(|error| Failure::Failed(format!("can't write {}: {error}", path.display())))
}

fn in_words(body: &ImportBody<'_>, imported: &Imported) -> String {
    let mut text = String::new();
    let mut file = None;
    for item in body.items {
        if file != Some(&item.file) && !item.file.is_empty() {
            text.push_str(&format!("{}\n", item.file));
            file = Some(&item.file);
        }
        text.push_str(&format!("  {}\n", item.to_string().replace('\n', "\n  ")));
    }
    text.push_str(&format!("{} mapped, {} with a difference, {} not\n", body.mapped, body.differs, body.not_mapped));
    let errors_only = imported.is_refused();
    for finding in &imported.findings {
        text.push_str(&format!("{finding}\n"));
    }
    let CheckBody { errors, warnings, hints, .. } = &body.check;
    text.push_str(&format!("checked as `sojourn check` does: {errors} errors, {warnings} warnings, {hints} hints\n"));
    if errors_only {
        text.push_str("nothing is written: what the source says can't be said here");
    } else {
        text.push_str(&format!("written: {}", body.files.join(", ")));
    }
    text
}
