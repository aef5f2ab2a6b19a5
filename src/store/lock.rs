//! The lock of a data directory: one process at a time. Owns the file `LOCK` and nothing else.
//!
//! The operating system drops the lock when its holder dies, however it dies, so there is never a stale one to clear.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Name of the file that carries the lock.
pub const LOCK_FILE: &str = "LOCK";

/// A held lock; dropped = released.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why a directory can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process runs on it: stop that one, or use another directory.
    #[error("another process{} uses {}", holder.as_deref().map(|p| format!(" ({p})")).unwrap_or_default(), directory.display())]
    Held {
        /// The directory.
        directory: PathBuf,
        /// Its process id, as it wrote it.
        holder: Option<String>,
    },
    /// The lock's file can't be opened or locked.
    #[error("lock {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Locks an existing directory, at once or not at all.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(LOCK_FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = file.read_to_string(&mut text).is_ok().then(|| text.trim().to_owned());
                let holder = holder.filter(|pid| !pid.is_empty()).map(|pid| format!("pid {pid}"));
                return Err(LockError::Held { directory: directory.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // For people only: the lock itself is the operating system's.
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let lock = DirectoryLock::acquire(directory.path()).expect("free");
        let refused = DirectoryLock::acquire(directory.path()).expect_err("held");
        let expected = format!("another process (pid {}) uses {}", std::process::id(), directory.path().display());
        assert_eq!(refused.to_string(), expected);
        drop(lock);
        DirectoryLock::acquire(directory.path()).expect("free again");
        let missing = DirectoryLock::acquire(&directory.path().join("none")).expect_err("no directory");
        assert!(matches!(missing, LockError::Io { .. }));
    }
}
