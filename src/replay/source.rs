//! Recorded events as they come out of a file: plain, gzip or zstd by their first bytes, NDJSON or CSV by their first
//! character. Never more than one event in memory. What is wrong is said with file and line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::StringRecord;

use crate::domain::catalog::Catalog;
use crate::domain::event::Event;
use crate::domain::limits::EVENT_BYTES_MAX;
use crate::replay::mapping::Mapping;
use crate::replay::table::RowDecoder;
use crate::wire::event::decode_json_event;

/// Longest line of NDJSON: an event at its limit, with escapes.
const LINE_BYTES_MAX: u64 = 2 * EVENT_BYTES_MAX as u64;
/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// Bytes looked at to tell what a file is: a header of CSV fits.
const HEAD_BYTES: u64 = 64 << 10;
/// First bytes of gzip, zstd and zip.
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const ZIP: &[u8] = b"PK\x03\x04";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is wrong with recorded events.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// One event. The next one can be read.
    #[error("{file}:{line}: {message}")]
    Row {
        /// The file.
        file: String,
        /// Line in the decompressed file, from 1.
        line: u64,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// The whole; nothing more can be read.
    #[error("{file}: {message}")]
    Broken {
        /// The file.
        file: String,
        /// What is wrong and how to mend it.
        message: String,
    },
}

/// A file of recorded events, opened and not yet understood.
#[expect(missing_debug_implementations, reason = "holds trait objects")]
pub struct Recording {
    /// As messages name it.
    name: String,
    reader: Box<dyn Read + Send>,
    position: Arc<AtomicU64>,
    size: Option<u64>,
}

/// The events of a recording, one after the other. An event without a time is an error.
#[expect(missing_debug_implementations, reason = "holds trait objects")]
pub struct Events {
    name: String,
    rows: Rows,
}

enum Rows {
    Ndjson { reader: Content, line: Vec<u8>, number: u64 },
    Csv { reader: Box<csv::Reader<Content>>, record: StringRecord, row: u64, decoder: Box<RowDecoder> },
}

/// A decompressed file.
type Content = BufReader<Box<dyn Read + Send>>;

impl Recording {
    /// Opens a file, or stdin for `-`.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::new("stdin", Box::new(io::stdin()), None));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::other("it is a directory; name one file of events"));
        }
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self::new(path.display().to_string(), Box::new(file), size))
    }

    /// A recording from any bytes.
    pub fn new(name: impl Into<String>, reader: Box<dyn Read + Send>, size: Option<u64>) -> Self {
        let position = Arc::new(AtomicU64::new(0));
        let reader = Box::new(Counted { reader, position: Arc::clone(&position) });
        Self { name: name.into(), reader, position, size }
    }

    /// How many of its bytes, as stored, were read so far.
    pub fn position(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.position)
    }

    /// How many there are, if that is known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Its events. With a mapping it is CSV; else the first character decides. Types of cells come from `catalog`.
    ///
    /// # Errors
    /// It can't be read, or its header does not fit the mapping.
    pub fn events(self, mapping: Option<&Mapping>, catalog: Arc<Catalog>) -> Result<Events, SourceError> {
        let name = self.name;
        let rows = rows(self.reader, mapping, catalog);
        let rows = rows.map_err(|message| SourceError::Broken { file: name.clone(), message })?;
        Ok(Events { name, rows })
    }
}

impl Iterator for Events {
    type Item = Result<Event, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.rows {
            Rows::Ndjson { reader, line, number } => next_line(reader, line, number),
            Rows::Csv { reader, record, row, decoder } => next_row(reader, record, row, decoder),
        };
        let located = |(line, message): (Option<u64>, String)| match line {
            Some(line) => SourceError::Row { file: self.name.clone(), line, message },
            None => SourceError::Broken { file: self.name.clone(), message },
        };
        next.map(|result| result.map_err(located))
    }
}

/// What is wrong, and in which line if only that one is.
type Flaw = (Option<u64>, String);

fn next_line(reader: &mut Content, line: &mut Vec<u8>, number: &mut u64) -> Option<Result<Event, Flaw>> {
    loop {
        line.clear();
        *number += 1;
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line) {
            Err(error) => return Some(Err((None, unreadable(&error)))),
            Ok(0) => return None,
            Ok(read) if read as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') => {
                return Some(Err((None, format!("line {number} is longer than {LINE_BYTES_MAX} bytes"))));
            }
            Ok(_) => {}
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let event = decode_json_event(line.trim_ascii()).map_err(|error| error.to_string());
        let event = event.and_then(|event| match event.time {
            Some(_) => Ok(event),
            None => Err(format!(
                "event {:?} has no time; a replay runs on the times of its events: give each a \"time\" like \
                 2019-11-01T17:59:13Z",
                event.id
            )),
        });
        return Some(event.map_err(|message| (Some(*number), message)));
    }
}

fn next_row(
    reader: &mut csv::Reader<Content>,
    record: &mut StringRecord,
    row: &mut u64,
    decoder: &mut RowDecoder,
) -> Option<Result<Event, Flaw>> {
    *row += 1;
    match reader.read_record(record) {
        Ok(false) => None,
        Ok(true) => {
            let line = record.position().map(csv::Position::line);
            Some(decoder.decode(record, *row).map_err(|message| (line, message)))
        }
        Err(error) => {
            let line = error.position().map(csv::Position::line);
            Some(Err((line.filter(|_| !error.is_io_error()), csv_message(&error))))
        }
    }
}

/// Tells what the bytes are and prepares reading them.
fn rows(reader: Box<dyn Read + Send>, mapping: Option<&Mapping>, catalog: Arc<Catalog>) -> Result<Rows, String> {
    let (head, reader) = peek(plain(reader)?, HEAD_BYTES)?;
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head).to_vec();
    let first = head.trim_ascii_start().first().copied();
    let delimiter = delimiter(head.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default());
    let content: Content = BufReader::with_capacity(READ_BYTES, Box::new(Cursor::new(head).chain(reader)));
    match (first, mapping) {
        (None, Some(_)) => Err("it is empty; the first line of CSV names the columns".to_owned()),
        (None | Some(b'{'), None) => Ok(Rows::Ndjson { reader: content, line: Vec::new(), number: 0 }),
        (Some(b'{'), Some(_)) => Err("--map is for CSV, and this looks like NDJSON: leave --map away".to_owned()),
        (Some(b'['), None) => {
            Err("this is a JSON array; write one event a line, for instance with `jq -c '.[]'`".to_owned())
        }
        (Some(_), mapping) => {
            let mut reader =
                csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::Headers).from_reader(content);
            let header = reader.headers().map_err(|error| csv_message(&error))?.clone();
            let decoder = RowDecoder::new(&header, mapping.unwrap_or(&Mapping::default()), catalog)?;
            Ok(Rows::Csv { reader: Box::new(reader), record: StringRecord::new(), row: 0, decoder: Box::new(decoder) })
        }
    }
}

/// The bytes without their compression.
fn plain(reader: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>, String> {
    let (head, rest) = peek(reader, ZSTD.len() as u64)?;
    let is_gzip = head.starts_with(GZIP);
    let (is_zstd, is_zip) = (head.starts_with(ZSTD), head.starts_with(ZIP));
    let reader = Cursor::new(head).chain(rest);
    if is_gzip {
        return Ok(Box::new(flate2::read::MultiGzDecoder::new(reader)));
    }
    if is_zstd {
        return Ok(Box::new(zstd::stream::read::Decoder::new(reader).map_err(|error| unreadable(&error))?));
    }
    if is_zip {
        return Err("this is a zip archive; unpack it, or use gzip or zstd".to_owned());
    }
    Ok(Box::new(reader))
}

/// The first bytes, fewer only where there are no more, and a reader of what follows them.
fn peek(mut reader: Box<dyn Read + Send>, bytes: u64) -> Result<(Vec<u8>, Box<dyn Read + Send>), String> {
    let mut head = Vec::new();
    reader.by_ref().take(bytes).read_to_end(&mut head).map_err(|error| unreadable(&error))?;
    Ok((head, reader))
}

/// The most frequent candidate outside quotes; a comma where there is none.
fn delimiter(header: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut is_quoted = false;
    for byte in header {
        is_quoted ^= *byte == b'"';
        if let (false, Some((_, count))) = (is_quoted, counts.iter_mut().find(|(candidate, _)| candidate == byte)) {
            *count += 1;
        }
    }
    // Reversed, since the last of equals is taken: the comma wins.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(candidate, _)| *candidate)
}

fn csv_message(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => unreadable(error),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} columns, and the header has {expected_len}; put cells that hold the delimiter into quotes")
        }
        csv::ErrorKind::Utf8 { .. } => "no UTF-8; convert the file, for instance with `iconv -t utf-8`".to_owned(),
        _ => error.to_string(),
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends in the middle of compressed data: copy it again".to_owned(),
        _ => format!("can't be read: {error}"),
    }
}

/// Counts what passes.
struct Counted {
    reader: Box<dyn Read + Send>,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn events(bytes: Vec<u8>, map: Option<&str>) -> Result<Vec<Result<Event, SourceError>>, SourceError> {
        let mapping = map.map(|map| Mapping::parse(map).expect("reads"));
        let recording = Recording::new("x", Box::new(Cursor::new(bytes)), None);
        Ok(recording.events(mapping.as_ref(), Arc::new(Catalog::default()))?.collect())
    }

    /// Ids of events, `!` and the text of errors, in order.
    fn check(bytes: &[u8], map: Option<&str>, expected: &[&str]) {
        let shown = match events(bytes.to_vec(), map) {
            Err(error) => vec![format!("!{error}")],
            Ok(events) => events
                .into_iter()
                .map(|event| event.map_or_else(|error| format!("!{error}"), |event| event.id.to_string()))
                .collect(),
        };
        assert_eq!(shown.len(), expected.len(), "{shown:#?}");
        for (shown, expected) in shown.iter().zip(expected) {
            assert!(shown.starts_with(expected), "{shown} does not begin with {expected}");
        }
    }

    const LINES: &str = "\n{\"id\":\"a\",\"type\":\"t\",\"profile\":\"c:1\",\"time\":\"1997-01-01\"}\r\n\n\
        {\"id\":\"b\",\"type\":\"t\",\"profile\":\"c:1\"}\nnonsense\n\
        {\"id\":\"d\",\"type\":\"t\",\"profile\":\"c:1\",\"time\":\"1997-01-01T00:00:00Z\"}";
    const READ: [&str; 4] = ["a", "!x:4: event \"b\" has no time", "!x:5: no JSON", "d"];

    #[test]
    fn lines_plain_and_compressed() {
        check(LINES.as_bytes(), None, &READ);
        check(&[BYTE_ORDER_MARK, LINES.as_bytes()].concat(), None, &READ);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(LINES.as_bytes()).expect("memory");
        let gzip = gzip.finish().expect("memory");
        check(&gzip, None, &READ);
        check(&gzip[..gzip.len() - 9], None, &["!x: it ends in the middle"]);
        check(&zstd::encode_all(LINES.as_bytes(), 1).expect("memory"), None, &READ);
        check(b"", None, &[]);
        check(b"PK\x03\x04", None, &["!x: this is a zip"]);
        check(b"[{}]", None, &["!x: this is a JSON array"]);
        check(b"{}", Some("id=#"), &["!x: --map is for CSV"]);
        check(b"", Some("id=#"), &["!x: it is empty"]);
    }

    #[test]
    fn tables_with_any_delimiter() {
        let map = Some("id='e'+#,type='t',profile='c:'+who,time=on");
        for delimiter in [",", ";", "\t", "|"] {
            let table = "who,on,\"a note\"\n1,1997-01-01,\"x\ny\"\n2,never,z\n\n3,1997-01-01,z\n4,1997-01-01\n";
            let read = ["e1", "!x:4: time \"never\"", "e3", "!x:7: 2 columns"];
            check(table.replace(',', delimiter).as_bytes(), map, &read);
        }
        check(b"who,on\n1,\xff\n2,1997-01-01\n", map, &["!x:2: no UTF-8", "e2"]);
        check(b"who\n", map, &["!x: there is no column \"on\""]);
    }
}
