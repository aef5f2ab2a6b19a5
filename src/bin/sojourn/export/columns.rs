//! Step events as columns: an Apache Parquet file, written row group by row group.
//!
//! Times are `TIMESTAMP(MILLIS, UTC)`, texts UTF-8 with dictionaries (names and reasons repeat in millions of rows), flags
//! booleans. A column's name is the field's name in JSON; one that may be absent there may be null here.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use sojourn::domain::ids::Millis;
use sojourn::runtime::past::event::StepEvent;

/// Rows of a group: all of one are in memory until it is written, some 20 MB.
const GROUP_ROWS: usize = 32_768;

/// What a column holds, and where it comes from.
enum Column {
    Text(fn(&StepEvent) -> &str),
    MaybeText(fn(&StepEvent) -> Option<&str>),
    Instant(fn(&StepEvent) -> &str),
    MaybeInstant(fn(&StepEvent) -> Option<&str>),
    Number(fn(&StepEvent) -> u32),
    MaybeNumber(fn(&StepEvent) -> Option<u32>),
    MaybeJson(fn(&StepEvent) -> Option<&serde_json::Value>),
    Flag(fn(&StepEvent) -> bool),
}

/// All columns, in the order of the fields.
const COLUMNS: [(&str, Column); 27] = [
    ("id", Column::Text(|e| &e.id)),
    ("time", Column::Instant(|e| &e.time)),
    ("profile", Column::MaybeText(|e| e.profile.as_deref())),
    ("journey", Column::Text(|e| &e.journey)),
    ("version", Column::Number(|e| e.version)),
    ("instance", Column::MaybeText(|e| e.instance.as_deref())),
    ("step", Column::Text(|e| &e.step)),
    ("status", Column::Text(|e| &e.status)),
    ("node", Column::MaybeText(|e| e.node.as_deref())),
    ("node_kind", Column::MaybeText(|e| e.node_kind.as_deref())),
    ("reason", Column::MaybeText(|e| e.reason.as_deref())),
    ("error", Column::MaybeText(|e| e.error.as_deref())),
    ("previous_node", Column::MaybeText(|e| e.previous_node.as_deref())),
    ("previous_version", Column::MaybeNumber(|e| e.previous_version)),
    ("previous_path", Column::MaybeText(|e| e.previous_path.as_deref())),
    ("due", Column::MaybeInstant(|e| e.due.as_deref())),
    ("message", Column::MaybeText(|e| e.message.as_deref())),
    ("channel", Column::MaybeText(|e| e.channel.as_deref())),
    ("action", Column::MaybeText(|e| e.action.as_deref())),
    ("answer", Column::MaybeJson(|e| e.answer.as_ref())),
    ("event_id", Column::MaybeText(|e| e.event_id.as_deref())),
    ("event_type", Column::MaybeText(|e| e.event_type.as_deref())),
    ("entrance", Column::Flag(|e| e.entrance)),
    ("reentrance", Column::Flag(|e| e.reentrance)),
    ("ended", Column::Flag(|e| e.ended)),
    ("in_test", Column::Flag(|e| e.in_test)),
    ("in_dry_run", Column::Flag(|e| e.in_dry_run)),
];

impl Column {
    /// The type in the language of schemas.
    fn declaration(&self, name: &str) -> String {
        match self {
            Self::Text(_) => format!("required binary {name} (STRING);"),
            Self::MaybeJson(_) => format!("optional binary {name} (JSON);"),
            Self::MaybeText(_) => format!("optional binary {name} (STRING);"),
            Self::Instant(_) => format!("required int64 {name} (TIMESTAMP(MILLIS,true));"),
            Self::MaybeInstant(_) => format!("optional int64 {name} (TIMESTAMP(MILLIS,true));"),
            Self::Number(_) => format!("required int32 {name} (INTEGER(32,false));"),
            Self::MaybeNumber(_) => format!("optional int32 {name} (INTEGER(32,false));"),
            Self::Flag(_) => format!("required boolean {name};"),
        }
    }

    /// Writes one column of a group.
    fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        rows: &[StepEvent],
    ) -> Result<(), ParquetError> {
        let bytes = |text: &str| ByteArray::from(text);
        match self {
            Self::Text(of) => put::<_, ByteArrayType>(group, rows.iter().map(|row| Some(bytes(of(row)))), None),
            Self::MaybeText(of) => {
                let levels: Vec<i16> = rows.iter().map(|row| i16::from(of(row).is_some())).collect();
                put::<_, ByteArrayType>(group, rows.iter().map(|row| of(row).map(bytes)), Some(&levels))
            }
            Self::MaybeJson(of) => {
                let levels: Vec<i16> = rows.iter().map(|row| i16::from(of(row).is_some())).collect();
                let values = rows.iter().map(|row| of(row).map(|json| bytes(&json.to_string())));
                put::<_, ByteArrayType>(group, values, Some(&levels))
            }
            Self::Instant(of) => {
                let values: Result<Vec<_>, _> = rows.iter().map(|row| instant(of(row)).map(Some)).collect();
                put::<_, Int64Type>(group, values?.into_iter(), None)
            }
            Self::MaybeInstant(of) => {
                // What is never due has no instant.
                let known = |row: &StepEvent| of(row).filter(|text| *text != "never").map(instant).transpose();
                let values: Vec<Option<i64>> = rows.iter().map(known).collect::<Result<_, _>>()?;
                let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                put::<_, Int64Type>(group, values.into_iter(), Some(&levels))
            }
            Self::Number(of) => put::<_, Int32Type>(group, rows.iter().map(|row| Some(of(row).cast_signed())), None),
            Self::MaybeNumber(of) => {
                let levels: Vec<i16> = rows.iter().map(|row| i16::from(of(row).is_some())).collect();
                put::<_, Int32Type>(group, rows.iter().map(|row| of(row).map(u32::cast_signed)), Some(&levels))
            }
            Self::Flag(of) => put::<_, BoolType>(group, rows.iter().map(|row| Some(of(row))), None),
        }
    }
}

/// Milliseconds since the epoch.
fn instant(text: &str) -> Result<i64, ParquetError> {
    let at = Millis::parse_iso(text).ok_or_else(|| ParquetError::General(format!("{text:?} is no instant")))?;
    Ok(at.0)
}

/// Writes the next column: the values there are, and for each row whether there is one.
fn put<W: Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<T::T>>,
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let values: Vec<T::T> = values.flatten().collect();
    let missing = || ParquetError::General("there are more columns than in the schema".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(&values, levels, None)?;
    column.close()
}

/// Writes step events as columns.
pub struct ColumnWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    rows: Vec<StepEvent>,
}

impl<W: Write + Send> ColumnWriter<W> {
    /// A file with a schema and no rows.
    pub fn new(out: W) -> Result<Self, ParquetError> {
        let fields: Vec<String> = COLUMNS.iter().map(|(name, column)| column.declaration(name)).collect();
        let schema = Arc::new(parse_message_type(&format!("message step_event {{ {} }}", fields.join(" ")))?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            // Each is there once: a dictionary would be the column over again.
            .set_column_dictionary_enabled(ColumnPath::from("id"), false)
            .set_created_by(concat!("sojourn ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        Ok(Self { file, rows: Vec::new() })
    }

    /// Takes a row.
    pub fn take(&mut self, event: StepEvent) -> Result<(), ParquetError> {
        self.rows.push(event);
        if self.rows.len() == GROUP_ROWS { self.write_group() } else { Ok(()) }
    }

    /// Writes what is left, and the end of the file.
    pub fn finish(mut self) -> Result<(), ParquetError> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        self.file.finish()?;
        self.file.inner_mut().flush()?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for (_, column) in &COLUMNS {
            column.write(&mut group, &self.rows)?;
        }
        group.close()?;
        self.rows.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    use super::*;

    fn event(n: usize) -> StepEvent {
        let is_wait = n.is_multiple_of(3);
        StepEvent {
            id: format!("s-0001-{n:x}-0"),
            time: Millis(1_700_000_000_123 + n as i64).to_iso(),
            profile: (!n.is_multiple_of(5)).then(|| format!("crm:{n}")),
            journey: "cart".to_owned(),
            version: 2,
            step: "arrived".to_owned(),
            status: if is_wait { "waiting" } else { "done" }.to_owned(),
            due: is_wait.then(|| if n == 0 { "never".to_owned() } else { Millis(n as i64).to_iso() }),
            entrance: n.is_multiple_of(2),
            ..StepEvent::default()
        }
    }

    fn written(count: usize) -> SerializedFileReader<Bytes> {
        let mut bytes = Vec::new();
        let mut writer = ColumnWriter::new(&mut bytes).expect("a schema");
        for n in 0..count {
            writer.take(event(n)).expect("taken");
        }
        writer.finish().expect("written");
        SerializedFileReader::new(Bytes::from(bytes)).expect("a Parquet file")
    }

    #[test]
    fn every_field_is_a_column() {
        let event = StepEvent {
            profile: Some(String::new()),
            instance: Some(String::new()),
            node: Some(String::new()),
            node_kind: Some(String::new()),
            reason: Some(String::new()),
            error: Some(String::new()),
            previous_node: Some(String::new()),
            previous_version: Some(1),
            previous_path: Some(String::new()),
            due: Some(String::new()),
            message: Some(String::new()),
            channel: Some(String::new()),
            action: Some(String::new()),
            answer: Some(serde_json::json!({})),
            event_id: Some(String::new()),
            event_type: Some(String::new()),
            ..StepEvent::default()
        };
        let json = serde_json::to_value(&event).expect("JSON");
        let fields: Vec<&String> = json.as_object().expect("an object").keys().collect();
        assert_eq!(fields, COLUMNS.map(|(name, _)| name));
    }

    #[test]
    fn rows_read_back_over_several_groups() {
        let column = |name: &str| COLUMNS.iter().position(|(known, _)| *known == name).expect("a column");
        let count = GROUP_ROWS + 10;
        let reader = written(count);
        assert_eq!(reader.metadata().num_row_groups(), 2);
        assert_eq!(reader.metadata().file_metadata().num_rows(), count as i64);
        for (n, row) in reader.get_row_iter(None).expect("rows").enumerate().step_by(997) {
            let (row, expected) = (row.expect("a row"), event(n));
            assert_eq!(row.get_string(column("id")).expect("id"), &expected.id);
            assert_eq!(row.get_timestamp_millis(column("time")).expect("time"), 1_700_000_000_123 + n as i64);
            assert_eq!(row.get_string(column("profile")).ok(), expected.profile.as_ref());
            assert_eq!(row.get_uint(column("version")).expect("version"), 2);
            let due = row.get_timestamp_millis(column("due")).ok();
            assert_eq!(due, (n % 3 == 0 && n != 0).then_some(n as i64), "row {n}");
            assert_eq!(row.get_bool(column("entrance")).expect("entrance"), expected.entrance);
        }
    }

    #[test]
    fn nothing_is_a_file_too() {
        assert_eq!(written(0).metadata().file_metadata().num_rows(), 0);
    }
}
