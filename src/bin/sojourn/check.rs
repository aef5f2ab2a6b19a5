//! `sojourn check`: validates resource files; no server needed.

use sojourn::domain::catalog::{Catalog, SourceFile};
use sojourn::transport::http::schema::CheckBody;

use crate::cli::FilesArgs;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

/// Prints every finding; fails if one is an error.
pub fn run(args: &FilesArgs, output: &Output) -> Result<(), Failure> {
    let files = files::read(&args.files)?;
    let sources: Vec<SourceFile> = files.into_iter().map(|(name, text)| SourceFile { name, text }).collect();
    let findings = Catalog::check(&sources);
    let body = CheckBody::new(&findings);
    output.result(&body, |body| {
        let mut text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        let (errors, warnings, hints) = (body.errors, body.warnings, body.hints);
        text.push_str(&format!("{} file(s), {errors} errors, {warnings} warnings, {hints} hints", sources.len()));
        text
    });
    if body.errors > 0 { Err(Failure::Failed(String::new())) } else { Ok(()) }
}
