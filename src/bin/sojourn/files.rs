//! Resource files on disk: finds them, reads them. Knows nothing of their content.

use std::path::{Path, PathBuf};

use sojourn::domain::limits;

use crate::failure::Failure;

/// Endings of resource files inside directories. A file named outright may end as it likes.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Directories inside directories: more is a link in a circle or a mistake.
const DEPTH_MAX: usize = 32;

/// Name and text of all files, directories searched recursively, in order of name within each directory.
pub fn read(paths: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        if metadata.is_dir() {
            search(path, 0, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        return Err(Failure::Usage(format!("no files ending in .{} there", ENDINGS.join(", ."))));
    }
    found.into_iter().map(|path| Ok((path.display().to_string(), read_text(&path)?))).collect()
}

fn search(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if depth > DEPTH_MAX {
        return Err(Failure::Usage(format!("{} is more than {DEPTH_MAX} directories deep", directory.display())));
    }
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> = entries.map_err(|e| unreadable(directory, &e))?.iter().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            search(&path, depth + 1, found)?;
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| ENDINGS.contains(&e)) {
            found.push(path);
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let size = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.len();
    if size > limits::RESOURCE_BYTES_MAX as u64 {
        let limit = limits::RESOURCE_BYTES_MAX;
        return Err(Failure::Usage(format!("{} has {size} bytes; the limit is {limit}", path.display())));
    }
    std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("can't read {}: {error}", path.display()))
}
