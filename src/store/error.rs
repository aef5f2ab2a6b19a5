//! What can go wrong with durability, and what the operator does about it.

use std::fmt;
use std::io;

use crate::domain::ids::PartitionId;

/// An operation on the disk, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Open or create a file.
    Open,
    /// Read a file.
    Read,
    /// Write a file.
    Write,
    /// Make a file or directory durable.
    Sync,
    /// List, rename, remove or create an entry.
    Directory,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Directory => "change the directory entry of",
        })
    }
}

/// Why the data directory can't be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {operation} {path}: {source}; check the disk, its mount and the permissions, then restart")]
    Io {
        /// What was tried.
        operation: Operation,
        /// Relative to the data directory.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Bytes that were durable have changed or gone. Starting would lose acknowledged events.
    #[error(
        "corrupt data in {path} at byte {offset}: {what}; restore the data directory from a backup, or from a replica"
    )]
    Corrupt {
        /// Relative to the data directory.
        path: String,
        /// Where the damage begins.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Every kept generation of a partition's snapshot is damaged.
    #[error(
        "no generation of the snapshot of partition {partition} is readable ({damage}); restore these files from a backup"
    )]
    SnapshotDamaged {
        /// The partition.
        partition: PartitionId,
        /// Each file, with what is wrong in it.
        damage: String,
    },
    /// Written by a newer program.
    #[error(
        "{path} has format {found}, this program reads up to {supported}; start the newer version of sojourn that wrote it"
    )]
    NewerFormat {
        /// Relative to the data directory.
        path: String,
        /// The format found.
        found: u32,
        /// The newest format this program reads.
        supported: u32,
    },
    /// The directory holds something else.
    #[error(
        "{path} is not empty and not a data directory of sojourn (it holds {entry}); name an empty or a new directory"
    )]
    NotOurs {
        /// The directory.
        path: String,
        /// One of the entries found.
        entry: String,
    },
    /// `demo` was pointed at the data of a server.
    #[error("{path} was created by `sojourn {created_by}`; `sojourn {asked_by}` needs a directory of its own")]
    OtherCommand {
        /// The directory.
        path: String,
        /// Which command made it.
        created_by: String,
        /// Which command asks.
        asked_by: String,
    },
    /// Another process has it open.
    #[error("{path} is in use by another sojourn process{}; stop that one first", pid.map(|p| format!(" (pid {p})")).unwrap_or_default())]
    Locked {
        /// The directory.
        path: String,
        /// The other process, if it said.
        pid: Option<u32>,
    },
    /// No space left.
    #[error("the disk is full while writing {path}: free space in the data directory; service resumes by itself")]
    DiskFull {
        /// Relative to the data directory.
        path: String,
    },
}

impl StoreError {
    /// An error of the operating system; no space left has its own variant.
    pub fn io(operation: Operation, path: &str, source: io::Error) -> Self {
        if is_disk_full(&source) {
            return Self::DiskFull { path: path.to_owned() };
        }
        Self::Io { operation, path: path.to_owned(), source }
    }

    /// Damage at `offset` of `path`.
    pub fn corrupt(path: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, what: what.into() }
    }
}

/// Why a group was not made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A write or sync failed. The lane takes nothing more: nobody knows what of the group is on the disk.
    #[error("cannot {operation} {path}: {message}; the journal stops here, restart the process")]
    Poisoned {
        /// What failed.
        operation: Operation,
        /// The segment, relative to the data directory.
        path: String,
        /// The system's answer.
        message: String,
    },
    /// There is no room for a segment. Nothing was written; try again when space returns.
    #[error("the disk is full: free space in the data directory; service resumes by itself")]
    DiskFull,
    /// The lane has written its end mark.
    #[error("the journal is stopped")]
    Stopped,
}

/// Whether the system says that there is no space (or quota) left.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
