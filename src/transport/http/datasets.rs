//! Datasets: what there is, and records to be loaded.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::body::{media_type, read};
use super::error::{ApiError, ErrorBody};
use super::router::Api;
use crate::domain::dataset::Dataset;
use crate::domain::expression::Type;
use crate::domain::limits;
use crate::domain::value::{Map, Value};

/// All datasets.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatasetsBody {
    /// In order of name.
    pub datasets: Vec<DatasetBody>,
}

/// A dataset without its records.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatasetBody {
    /// Its name.
    pub name: String,
    /// The field that tells records apart.
    pub key: String,
    /// Its fields.
    pub fields: Vec<String>,
    /// How many records it holds.
    pub records: usize,
    /// Bytes they take of what all datasets together may.
    pub bytes: usize,
}

impl From<&Dataset> for DatasetBody {
    fn from(dataset: &Dataset) -> Self {
        Self {
            name: dataset.name.to_string(),
            key: dataset.key.to_string(),
            fields: dataset.schema.iter().map(|(name, _)| name.to_string()).collect(),
            records: dataset.records.len(),
            bytes: dataset.weight(),
        }
    }
}

/// All datasets.
#[utoipa::path(
    get, path = "/v1/datasets", tag = "resources",
    responses(
        (status = 200, description = "In order of name, without their records", body = DatasetsBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
    )
)]
pub async fn list(State(api): State<Api>) -> Json<DatasetsBody> {
    let catalog = api.engine.catalog();
    Json(DatasetsBody { datasets: catalog.datasets.values().map(|dataset| DatasetBody::from(&**dataset)).collect() })
}

/// Loads records in place of those a dataset has, all or none; answered once that is durable.
#[utoipa::path(
    post, path = "/v1/datasets/{name}/records", tag = "resources",
    params(("name" = String, Path, description = "The dataset")),
    request_body(
        description = "A record a line, as a JSON object (`application/x-ndjson`), or a table with a heading (`text/csv`)",
        content((String = "application/x-ndjson"), (String = "text/csv"))
    ),
    responses(
        (status = 200, description = "Loaded", body = DatasetBody),
        (status = 400, description = "A line can't be read, or a record is not as declared", body = ErrorBody),
        (status = 401, description = "No valid API key", body = ErrorBody),
        (status = 404, description = "No such dataset is published", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Neither NDJSON nor CSV", body = ErrorBody),
        (status = 503, description = "Disk full, or stopping", body = ErrorBody),
    )
)]
pub async fn load(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<DatasetBody>, ApiError> {
    // Names of fields, quotes and blanks take as much again as what they say.
    let body = read(&headers, body, 4 * limits::DATASETS_BYTES_MAX).await?;
    let dataset = api.engine.dataset(&name)?;
    let records = match media_type(&headers).as_str() {
        "application/x-ndjson" => lines(&body)?,
        "text/csv" => table(&body, &dataset)?,
        other => {
            let message = format!("records of type {other:?} can't be read");
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
                .suggest("send `application/x-ndjson` or `text/csv`"));
        }
    };
    let loaded = api.engine.load_records(&name, records).await?;
    Ok(Json(DatasetBody::from(&*loaded)))
}

fn bad_line(line: u64, what: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "bad_record", format!("line {line}: {what}"))
}

/// One JSON object a line.
fn lines(body: &[u8]) -> Result<Vec<Map>, ApiError> {
    let mut records = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = index as u64 + 1;
        let json: serde_json::Value =
            serde_json::from_slice(line).map_err(|error| bad_line(number, &error.to_string()))?;
        match Value::from_json(&json) {
            Value::Map(record) => records.push(record),
            _ => return Err(bad_line(number, "no JSON object")),
        }
        if records.len() > limits::DATASET_RECORDS_MAX {
            break;
        }
    }
    Ok(records)
}

/// A table: its heading names fields, and an empty cell says nothing.
fn table(body: &[u8], dataset: &Dataset) -> Result<Vec<Map>, ApiError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(body);
    let heading = reader.headers().map_err(|error| bad_line(1, &error.to_string()))?.clone();
    // Without this a file cut short would be taken for a table without records, and replace what is there.
    if !heading.iter().any(|name| *name == *dataset.key) {
        return Err(bad_line(1, &format!("the heading names no column `{}`, the key of the dataset", dataset.key)));
    }
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| bad_line(error.position().map_or(0, csv::Position::line), &error.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let mut record = Map::new();
        for (name, cell) in heading.iter().zip(&row).filter(|(_, cell)| !cell.is_empty()) {
            let declared = dataset.schema.iter().find(|(known, _)| known == name).map(|(_, declared)| declared);
            let Some(value) = typed(cell, declared) else {
                return Err(bad_line(line, &format!("`{name}` is not of its declared type")));
            };
            record.insert(name, value);
        }
        records.push(record);
        if records.len() > limits::DATASET_RECORDS_MAX {
            break;
        }
    }
    Ok(records)
}

/// A cell as its declared type; a column that is not declared is told later.
fn typed(cell: &str, declared: Option<&Type>) -> Option<Value> {
    Some(match declared {
        Some(Type::Integer) => Value::Int(cell.trim().parse().ok()?),
        Some(Type::Number) => Value::Float(cell.trim().parse().ok().filter(|number: &f64| number.is_finite())?),
        Some(Type::Boolean) => Value::Bool(cell.trim().parse().ok()?),
        _ => Value::Str(cell.into()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check(csv: &str, expected: Result<serde_json::Value, &str>) {
        let schema = vec![
            ("sku".into(), Type::String),
            ("price".into(), Type::Number),
            ("n".into(), Type::Integer),
            ("left".into(), Type::Boolean),
        ];
        let dataset = Dataset { name: "d".into(), key: "sku".into(), schema, records: BTreeMap::new() };
        let read = table(csv.as_bytes(), &dataset).map(|records| {
            serde_json::Value::Array(records.into_iter().map(|record| Value::Map(record).to_json()).collect())
        });
        assert_eq!(read.map_err(|error| error.detail.message), expected.map_err(str::to_owned), "{csv}");
    }

    #[test]
    fn cells_are_read_as_their_types() {
        let record = serde_json::json!([{ "sku": "4711", "price": 19.5, "n": 3, "left": true }, { "sku": "a,b" }]);
        check("sku,price,n,left\n4711,19.5, 3,true\n\"a,b\",,,\n", Ok(record));
        check("sku,price\na,many\n", Err("line 2: `price` is not of its declared type"));
        check("sku,price\na,NaN\n", Err("line 2: `price` is not of its declared type"));
        check("sku,n\na,1.5\n", Err("line 2: `n` is not of its declared type"));
        check("sku,n\n", Ok(serde_json::json!([])));
        check("", Err("line 1: the heading names no column `sku`, the key of the dataset"));
        check("n,left\n", Err("line 1: the heading names no column `sku`, the key of the dataset"));
    }

    #[test]
    fn lines_are_objects() {
        assert_eq!(lines(b"{\"sku\":\"a\"}\n\n{}\r\n").expect("reads").len(), 2);
        assert_eq!(lines(b"{}\n[1]").expect_err("a list").detail.message, "line 2: no JSON object");
        assert!(lines(b"{").is_err());
    }
}
