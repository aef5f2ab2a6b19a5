//! The page of a run: one HTML file that needs nothing else.

use std::path::{Path, PathBuf};

use crate::figures::Figures;

/// Writes it.
pub fn write(directory: &Path, figures: &Figures) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("report.html");
    std::fs::write(&path, figures.table())?;
    Ok(path)
}
