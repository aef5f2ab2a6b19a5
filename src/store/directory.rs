//! The data directory: its header file, its lock, and the format it has. Everything else lives inside it.
//!
//! ```text
//! DIR/SOJOURN       the header: text, one `name value` a line, the last line a checksum of those before
//! DIR/LOCK          held by the process that has it open; holds its pid
//! DIR/RESERVE       space for one snapshot on a full disk
//! DIR/DURABLE       how far the journal was known to be durable
//! DIR/journal/      the journal
//! DIR/snapshots/    snapshots of partitions and their manifest
//! ```
//!
//! ```text
//! sojourn data directory
//! format 1
//! id 0123456789abcdef0123456789abcdef
//! hash_key 0123456789abcdef0123456789abcdef
//! partitions 1024
//! lanes 1
//! created_by serve
//! checksum 89abcdef
//! ```
//!
//! `format` stays the second line for ever, so that an old program can say that a directory is newer.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::disk::{Disk, OsDisk, read_all, replace};
use super::error::{Operation, StoreError};
use crate::domain::ids::HashKey;

/// The format that this program writes and the newest that it reads.
pub const DIRECTORY_FORMAT: u32 = 1;
const HEADER: &str = "SOJOURN";
const LOCK: &str = "LOCK";
const TITLE: &str = "sojourn data directory";
/// Entries that a directory may hold and still count as empty: a start that was cut short, or a fresh file system.
const NOT_YET_OURS: [&str; 3] = [LOCK, "SOJOURN.tmp", "lost+found"];

/// Which command made a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreatedBy {
    /// A server.
    Serve,
    /// The demo: it may throw its own directories away, never a server's.
    Demo,
}

impl fmt::Display for CreatedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serve => "serve",
            Self::Demo => "demo",
        })
    }
}

impl FromStr for CreatedBy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "serve" => Ok(Self::Serve),
            "demo" => Ok(Self::Demo),
            _ => Err(()),
        }
    }
}

/// What a new directory is given. An existing one keeps what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Partitions, for the life of the directory. At least 1.
    pub partition_count: u16,
    /// Lanes of the journal, for the life of the directory. At least 1.
    pub lanes: u16,
    /// The command that asks.
    pub command: CreatedBy,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self { partition_count: 1024, lanes: 1, command: CreatedBy::Serve }
    }
}

/// The header of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryHeader {
    /// Random; every file that must not be mixed up carries it.
    pub id: u128,
    /// Keys the hashes of profiles.
    pub hash_key: HashKey,
    /// Partitions.
    pub partition_count: u16,
    /// Lanes of the journal.
    pub lanes: u16,
    /// Which command made it.
    pub created_by: CreatedBy,
}

impl DirectoryHeader {
    fn encode(&self) -> String {
        let Self { id, hash_key, partition_count, lanes, created_by } = self;
        let hash_key = u128::from_be_bytes(hash_key.0);
        let mut text = format!(
            "{TITLE}\nformat {DIRECTORY_FORMAT}\nid {id:032x}\nhash_key {hash_key:032x}\n\
             partitions {partition_count}\nlanes {lanes}\ncreated_by {created_by}\n"
        );
        let checksum = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("checksum {checksum:08x}\n"));
        text
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::corrupt(HEADER, 0, what);
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("the header is not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(damaged("the header does not begin as it must"));
        }
        let format = lines.next().and_then(|line| line.strip_prefix("format ")?.parse().ok());
        let format: u32 = format.ok_or_else(|| damaged("the header names no format"))?;
        if format > DIRECTORY_FORMAT {
            return Err(StoreError::NewerFormat {
                path: HEADER.to_owned(),
                found: format,
                supported: DIRECTORY_FORMAT,
            });
        }
        let (covered, checksum) = text.rsplit_once("checksum ").ok_or_else(|| damaged("the header has no checksum"))?;
        if u32::from_str_radix(checksum.trim_end(), 16) != Ok(crc32fast::hash(covered.as_bytes())) {
            return Err(damaged("the checksum of the header does not hold"));
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let mut fields = || {
            Some(Self {
                id: u128::from_str_radix(field("id")?, 16).ok()?,
                hash_key: HashKey(u128::from_str_radix(field("hash_key")?, 16).ok()?.to_be_bytes()),
                partition_count: field("partitions")?.parse().ok().filter(|count| *count > 0)?,
                lanes: field("lanes")?.parse().ok().filter(|lanes| *lanes > 0)?,
                created_by: field("created_by")?.parse().ok()?,
            })
        };
        fields().ok_or_else(|| damaged("a field of the header is missing or wrong"))
    }
}

/// An open data directory. The lock is held while it lives.
#[derive(Debug)]
pub struct DataDirectory {
    disk: Arc<dyn Disk>,
    header: DirectoryHeader,
    path: Option<PathBuf>,
    _lock: Option<File>,
}

impl DataDirectory {
    /// Opens the directory at `path`, or makes one there.
    ///
    /// # Errors
    /// See [`StoreError`]: in use, not ours, of a newer format, of another command, damaged.
    pub fn open(path: &Path, options: DirectoryOptions) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        fs::create_dir_all(path).map_err(|error| StoreError::io(Operation::Directory, &name, error))?;
        // Looked at before the lock is made: a directory that is not ours stays as it is.
        refuse_foreign(path, &name)?;
        let lock = lock(path, &name)?;
        refuse_foreign(path, &name)?;
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(path));
        let fresh = || (rand::random(), HashKey(rand::random()));
        let header = read_or_create(&*disk, options, &name, fresh)?;
        Ok(Self { disk, header, path: Some(path.to_owned()), _lock: Some(lock) })
    }

    /// Opens the directory on a disk without a lock: in memory, for replay, tests and simulation. A new one has the
    /// fixed key, so that the same input gives the same layout.
    pub fn on_disk(disk: Arc<dyn Disk>, options: DirectoryOptions) -> Result<Self, StoreError> {
        let fresh = || (u128::from_le_bytes(HashKey::FIXED.0), HashKey::FIXED);
        let header = read_or_create(&*disk, options, "the disk", fresh)?;
        Ok(Self { disk, header, path: None, _lock: None })
    }

    /// The files inside.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The header.
    pub fn header(&self) -> &DirectoryHeader {
        &self.header
    }

    /// Where it is; `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

fn read_or_create(
    disk: &dyn Disk,
    options: DirectoryOptions,
    name: &str,
    fresh: impl FnOnce() -> (u128, HashKey),
) -> Result<DirectoryHeader, StoreError> {
    match read_all(disk, HEADER) {
        Ok(bytes) => {
            let header = DirectoryHeader::decode(&bytes)?;
            if options.command == CreatedBy::Demo && header.created_by != CreatedBy::Demo {
                let (created_by, asked_by) = (header.created_by.to_string(), options.command.to_string());
                return Err(StoreError::OtherCommand { path: name.to_owned(), created_by, asked_by });
            }
            Ok(header)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let DirectoryOptions { partition_count, lanes, command } = options;
            assert!(partition_count > 0 && lanes > 0, "a directory has partitions and lanes");
            let (id, hash_key) = fresh();
            let header = DirectoryHeader { id, hash_key, partition_count, lanes, created_by: command };
            replace(disk, "", HEADER, header.encode().as_bytes())
                .map_err(|error| StoreError::io(Operation::Write, HEADER, error))?;
            Ok(header)
        }
        Err(error) => Err(StoreError::io(Operation::Read, HEADER, error)),
    }
}

/// Refuses a directory that holds something, but no header.
fn refuse_foreign(path: &Path, name: &str) -> Result<(), StoreError> {
    let failed = |error| StoreError::io(Operation::Directory, name, error);
    let mut foreign = None;
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if entry == HEADER {
            return Ok(());
        }
        if !NOT_YET_OURS.contains(&entry.as_str()) {
            foreign = Some(entry);
        }
    }
    foreign.map_or(Ok(()), |entry| Err(StoreError::NotOurs { path: name.to_owned(), entry }))
}

fn lock(path: &Path, name: &str) -> Result<File, StoreError> {
    let failed = |error| StoreError::io(Operation::Open, &format!("{name}/{LOCK}"), error);
    let mut options = File::options();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(path.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::Locked { path: name.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryDisk;

    fn demo() -> DirectoryOptions {
        DirectoryOptions { command: CreatedBy::Demo, ..DirectoryOptions::default() }
    }

    #[test]
    fn a_directory_keeps_what_it_was_made_with() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("a/b");
        let options = DirectoryOptions { partition_count: 16, ..DirectoryOptions::default() };
        let made = *DataDirectory::open(&path, options).expect("makes").header();
        let found = *DataDirectory::open(&path, DirectoryOptions::default()).expect("opens").header();
        assert_eq!((made, found.partition_count), (found, 16));
        let other = *DataDirectory::open(&root.path().join("c"), options).expect("makes").header();
        assert!(other.id != made.id && other.hash_key != made.hash_key);
    }

    #[test]
    fn a_second_process_is_refused_and_told_the_pid() {
        let root = tempfile::tempdir().expect("a directory");
        let first = DataDirectory::open(root.path(), DirectoryOptions::default()).expect("makes");
        let error = DataDirectory::open(root.path(), DirectoryOptions::default()).expect_err("in use");
        assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
        drop(first);
        DataDirectory::open(root.path(), DirectoryOptions::default()).expect("free again");
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_alone() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("photo.jpg"), "x").expect("writes");
        let error = DataDirectory::open(root.path(), DirectoryOptions::default()).expect_err("not ours");
        assert!(error.to_string().contains("photo.jpg"), "{error}");
        assert_eq!(fs::read_dir(root.path()).expect("lists").count(), 1);
    }

    #[test]
    fn a_newer_format_is_refused_with_both_numbers() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join(HEADER), "sojourn data directory\nformat 7\nwho knows\n").expect("writes");
        let error = DataDirectory::open(root.path(), DirectoryOptions::default()).expect_err("newer").to_string();
        assert!(error.contains("format 7") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn a_damaged_header_is_refused() {
        let disk = MemoryDisk::tracked();
        DataDirectory::on_disk(Arc::new(disk.clone()), DirectoryOptions::default()).expect("makes");
        disk.corrupt(HEADER, 60, 1);
        let again = DataDirectory::on_disk(Arc::new(disk), DirectoryOptions::default());
        assert!(matches!(again, Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn the_demo_stays_out_of_a_server_s_directory() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::tracked());
        DataDirectory::on_disk(Arc::clone(&disk), DirectoryOptions::default()).expect("makes");
        let error = DataDirectory::on_disk(disk, demo()).expect_err("a server's");
        assert!(error.to_string().contains("`sojourn serve`"), "{error}");
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::tracked());
        DataDirectory::on_disk(Arc::clone(&disk), demo()).expect("makes");
        DataDirectory::on_disk(Arc::clone(&disk), demo()).expect("its own");
        DataDirectory::on_disk(disk, DirectoryOptions::default()).expect("a server may go on with it");
    }

    #[test]
    fn a_crash_while_making_it_leaves_none_or_one() {
        for stop in 0..8 {
            let disk = MemoryDisk::tracked();
            disk.stop_after(stop);
            drop(DataDirectory::on_disk(Arc::new(disk.clone()), DirectoryOptions::default()));
            for seed in 0..10 {
                let left: Arc<dyn Disk> = Arc::new(disk.crash(seed));
                DataDirectory::on_disk(left, DirectoryOptions::default()).expect("opens whatever is left");
            }
        }
    }
}
