//! The file of the log channel: opening, repair, and which deliveries it holds already. Knows no queue and no report.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::domain::ids::DeliveryId;
use crate::domain::limits::RENDERED_BYTES_MAX;

/// Longest line we write: body and subject at six bytes a character (`\u0000`), and the fields around them.
const LINE_BYTES_MAX: u64 = 2 * 6 * RENDERED_BYTES_MAX as u64 + (64 << 10);

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't use the message log {path}: {source}")]
pub struct LogError {
    path: PathBuf,
    source: std::io::Error,
}

/// What is read of a line.
#[derive(Deserialize)]
struct LineId {
    id: String,
}

/// The open file, repaired, with the deliveries found behind the confirmed offset.
#[derive(Debug)]
pub struct LogFile {
    pub(super) path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    /// End of the last whole line; everything before it is durable.
    pub(super) end: u64,
    /// Everything before it is confirmed.
    pub(super) confirmed: u64,
    /// Deliveries written behind `confirmed`, and where. 20 bytes of id each.
    pub(super) recovered: HashMap<DeliveryId, u64>,
    /// Where the confirmed offset is kept, if this file keeps it itself.
    pub(super) mark: Option<Mark>,
}

impl LogFile {
    /// Opens or creates the file at `path`. `confirmed_offset` is what
    /// [`LogChannel::confirmed_offset`](super::LogChannel::confirmed_offset) last gave and someone stored (0 if
    /// unknown); one that does not fit the file, because it was replaced or cut, counts as 0. A torn last line is cut off; what
    /// else does not parse behind the offset is blanked. Blocks on the disk.
    pub fn open(path: &Path, confirmed_offset: u64) -> Result<Self, LogError> {
        Self::open_at(path, confirmed_offset).map_err(|source| LogError { path: path.to_owned(), source })
    }

    /// Like [`LogFile::open`], with the confirmed offset kept in a file beside it (`<path>.confirmed`).
    pub fn open_with_mark(path: &Path) -> Result<Self, LogError> {
        let mark = Mark::beside(path);
        Ok(Self { mark: Some(mark.clone()), ..Self::open(path, mark.read())? })
    }

    fn open_at(path: &Path, confirmed_offset: u64) -> std::io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            File::open(directory)?.sync_all()?;
        }
        let confirmed = if is_line_start(&file, confirmed_offset)? { confirmed_offset } else { 0 };
        let (end, recovered) = read_tail(&file, path, confirmed)?;
        file.set_len(end)?;
        file.sync_data()?;
        Ok(Self { path: path.to_owned(), disk: Arc::new(file), end, confirmed, recovered, mark: None })
    }
}

/// Reads and rewrites the lines behind `confirmed`; gives their end and deliveries. They are about to be reported as
/// sent, and the page cache of a process that died after a failed sync proves nothing: only a rewrite makes the next
/// sync cover them.
fn read_tail(file: &File, path: &Path, confirmed: u64) -> std::io::Result<(u64, HashMap<DeliveryId, u64>)> {
    let mut reader = BufReader::with_capacity(1 << 20, file.try_clone()?);
    reader.seek(SeekFrom::Start(confirmed))?;
    let (mut end, mut recovered, mut line) = (confirmed, HashMap::new(), Vec::new());
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        let is_whole = line.last() == Some(&b'\n');
        if read == 0 || (!is_whole && (read as u64) < LINE_BYTES_MAX) {
            return Ok((end, recovered));
        }
        match serde_json::from_slice::<LineId>(&line).ok().and_then(|line| line.id.parse().ok()) {
            Some(id) => {
                recovered.insert(id, end);
            }
            None if line.trim_ascii().is_empty() => {}
            None => {
                tracing::warn!(path = %path.display(), offset = end, "unreadable line blanked");
                line.fill(b' ');
                if is_whole {
                    line[read - 1] = b'\n';
                }
            }
        }
        file.write_all_at(&line, end)?;
        end += read as u64;
    }
}

/// Whether a line begins at `offset`, which may be the end of the file.
fn is_line_start(file: &File, offset: u64) -> std::io::Result<bool> {
    if offset == 0 {
        return Ok(true);
    }
    let mut before = [0];
    Ok(file.metadata()?.len() >= offset && file.read_at(&mut before, offset - 1)? == 1 && before == *b"\n")
}

/// The confirmed offset in a file of its own: decimal digits and a line end. It is never synced: an older one, or none,
/// only makes the next start read more lines.
#[derive(Clone, Debug)]
pub(super) struct Mark(PathBuf);

impl Mark {
    fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".confirmed");
        Self(name.into())
    }

    /// The offset; 0 if there is none that can be read.
    fn read(&self) -> u64 {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.strip_suffix('\n').and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Replaces the offset.
    pub(super) fn write(&self, offset: u64) -> std::io::Result<()> {
        let new = self.0.with_extension("confirmed-new");
        std::fs::write(&new, format!("{offset}\n"))?;
        std::fs::rename(new, &self.0)
    }
}

/// What a file must do for the writer; replaced in tests by one that fails.
pub(super) trait Disk: Send + Sync + std::fmt::Debug {
    /// Writes `bytes` at `offset` and makes them durable. After an error nothing of them counts.
    fn write_and_sync(&self, bytes: &[u8], offset: u64) -> std::io::Result<()>;
}

impl Disk for File {
    fn write_and_sync(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let written = self.write_all_at(bytes, offset).and_then(|()| self.sync_data());
        if written.is_err() {
            // Best effort: a half-written line is also cut off at the next start.
            let _ = self.set_len(offset);
        }
        written
    }
}
