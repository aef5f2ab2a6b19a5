//! `sojourn backup` and `sojourn restore`: whole copies of a data directory while no server runs on it.
//!
//! The lock of the directory is held for the whole copy, so a server can't start halfway; a copy is complete only once
//! its marker is written, last, after everything else is synced.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sojourn::store::directory::{DataDirectory, DirectoryOptions};
use sojourn::store::reserve::RESERVE_FILE;

use crate::cli::{BackupArgs, RestoreArgs};
use crate::failure::Failure;
use crate::output::Output;

/// Written last: a copy without it was interrupted.
const MARKER: &str = "BACKUP-COMPLETE";
/// Not copied: the marker of another copy, and space that is only set aside.
const LEFT_OUT: [&str; 2] = [MARKER, RESERVE_FILE];

/// What was copied.
#[derive(Debug, Default, Serialize)]
struct Copied {
    to: PathBuf,
    files: u64,
    bytes: u64,
}

/// Copies the data directory of a stopped server.
pub fn backup(args: &BackupArgs, output: &Output) -> Result<(), Failure> {
    if args.to.exists() {
        return Err(Failure::Usage(format!("{} exists; name a directory that does not", args.to.display())));
    }
    let _directory = open(&args.data)?;
    let mut copied = Copied { to: args.to.clone(), ..Copied::default() };
    copy_directory(&args.data, &args.to, &mut copied).map_err(|e| failed(&args.to, &e))?;
    File::create(args.to.join(MARKER))
        .and_then(|marker| marker.sync_all())
        .and_then(|()| sync_directory(&args.to))
        .map_err(|e| failed(&args.to, &e))?;
    output.result(&copied, |c| format!("{} files, {} bytes copied to {}", c.files, c.bytes, c.to.display()));
    Ok(())
}

/// Puts a backup in place of a missing or empty data directory.
pub fn restore(args: &RestoreArgs, output: &Output) -> Result<(), Failure> {
    if !args.from.join(MARKER).is_file() {
        let text = format!("{} is no complete backup: it has no file {MARKER}", args.from.display());
        return Err(Failure::Usage(text));
    }
    if args.data.exists() {
        let mut entries = fs::read_dir(&args.data).map_err(|e| failed(&args.data, &e))?;
        if entries.next().is_some() {
            let text = format!("{} is not empty; move it away first", args.data.display());
            return Err(Failure::Usage(text));
        }
    }
    let mut copied = Copied { to: args.data.clone(), ..Copied::default() };
    copy_directory(&args.from, &args.data, &mut copied).map_err(|e| failed(&args.data, &e))?;
    output.result(&copied, |c| format!("{} files, {} bytes restored to {}", c.files, c.bytes, c.to.display()));
    Ok(())
}

/// The directory as a server opens it: its header is checked, and no server can start while it is open.
fn open(data: &Path) -> Result<DataDirectory, Failure> {
    if !data.is_dir() || fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_none()) {
        return Err(Failure::Usage(format!("{} is no data directory", data.display())));
    }
    DataDirectory::open(data, DirectoryOptions::default()).map_err(|e| Failure::Failed(e.to_string()))
}

fn copy_directory(from: &Path, to: &Path, copied: &mut Copied) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_directory(&entry.path(), &target, copied)?;
        } else if kind.is_file() && !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            copied.bytes += fs::copy(entry.path(), &target)?;
            copied.files += 1;
            File::open(&target)?.sync_all()?;
        }
    }
    sync_directory(to)
}

/// New names in a directory are durable only once it is synced itself.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("copy to {} failed: {error}", path.display()))
}
