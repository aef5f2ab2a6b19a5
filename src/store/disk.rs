//! The disk as the store sees it: a tree of files under one root, with explicit durability.
//!
//! Paths are relative to the root, with `/`. Nothing written is durable before [`DiskFile::sync`]; no entry of a
//! directory (created, renamed, removed) is durable before [`Disk::sync_dir`]. [`OsDisk`] is the real one,
//! [`MemoryDisk`](super::memory::MemoryDisk) the one of replay and of tests. Nobody else in the store opens files.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::planted::{Bug, is_planted};

/// A tree of files with explicit durability.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Opens an existing file for reading.
    fn open_read(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Creates a file, or empties the one there is, for reading and writing.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file within one directory, replacing what has that name, atomically.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Names of the files in a directory, sorted; empty if there is no such directory.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;
    /// Names of the directories in a directory, sorted; empty if there is no such directory.
    fn list_directories(&self, directory: &str) -> io::Result<Vec<String>>;
    /// Creates a directory and those above it, durably; no error if it exists.
    fn create_dir(&self, directory: &str) -> io::Result<()>;
    /// Makes the entries of a directory durable. `""` is the root.
    fn sync_dir(&self, directory: &str) -> io::Result<()>;
    /// Bytes that may still be written.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Fills `buffer` from `offset`; returns how many bytes there were (less than asked only at the end of the file).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes bytes from the front of `buffer` at `offset`, as many as the system takes at once; how many those were.
    fn write_some_at(&mut self, buffer: &[u8], offset: u64) -> io::Result<usize>;
    /// Writes the whole buffer at `offset`. What a short write has left over is written after it.
    fn write_at(&mut self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.write_some_at(&buffer[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) if is_planted(Bug::ShortWriteTaken) => return Ok(()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
    /// Makes all that was written durable (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends the file (with zeros).
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Makes the file `len` durable zeros, with their space taken: later writes neither grow it nor run out of space.
    fn prewrite(&mut self, len: u64) -> io::Result<()>;
}

/// Reads a whole file.
pub fn read_all(disk: &dyn Disk, path: &str) -> io::Result<Vec<u8>> {
    let file = disk.open_read(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Replaces a file so that after any crash it holds the old bytes or the new, never a mix: temporary file, sync,
/// rename, directory sync.
pub fn replace(disk: &dyn Disk, directory: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = join(directory, name);
    let temporary = format!("{path}.tmp");
    let mut file = disk.create(&temporary)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    drop(file);
    disk.rename(&temporary, &path)?;
    disk.sync_dir(directory)
}

/// `directory/name`, or `name` in the root.
pub fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct OsDisk {
    root: PathBuf,
}

/// Zeros are prewritten and synced in pieces of this size (bytes): large enough that system calls don't count, small enough
/// that a group synced meanwhile is not held up.
const ZEROS: usize = 512 << 10;

impl OsDisk {
    /// The tree under `root`, which must exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn entries(&self, directory: &str, wanted: fn(&fs::FileType) -> bool) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(directory)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if wanted(&entry.file_type()?) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn boxed(file: File) -> Box<dyn DiskFile> {
        Box::new(OsFile { file })
    }
}

impl Disk for OsDisk {
    fn open_read(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        File::open(self.root.join(path)).map(Self::boxed)
    }

    fn open_write(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        OpenOptions::new().read(true).write(true).open(self.root.join(path)).map(Self::boxed)
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).open(self.root.join(path)).map(Self::boxed)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.entries(directory, fs::FileType::is_file)
    }

    fn list_directories(&self, directory: &str) -> io::Result<Vec<String>> {
        self.entries(directory, fs::FileType::is_dir)
    }

    fn create_dir(&self, directory: &str) -> io::Result<()> {
        let mut path = self.root.clone();
        for part in directory.split('/').filter(|part| !part.is_empty()) {
            let parent = path.clone();
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => File::open(parent)?.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        File::open(self.root.join(directory))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

#[derive(Debug)]
struct OsFile {
    file: File,
}

impl DiskFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_some_at(&mut self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(buffer, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn prewrite(&mut self, len: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS];
        let mut offset = 0;
        while offset < len {
            let piece = usize::try_from(len - offset).unwrap_or(ZEROS).min(ZEROS);
            self.file.write_all_at(&zeros[..piece], offset)?;
            // Piece by piece: who syncs a few bytes meanwhile waits for one piece, not for the whole file.
            self.file.sync_data()?;
            offset += piece as u64;
        }
        self.file.set_len(len)?;
        self.file.sync_all()
    }
}
