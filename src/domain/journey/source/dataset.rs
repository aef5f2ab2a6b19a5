//! `kind: dataset`: what records may hold, and, if the file gives them, the records.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::domain::dataset::{Dataset, is_leaf};
use crate::domain::expression::Type;
use crate::domain::ids::Millis;
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::literal;
use crate::domain::journey::source::reader::{MapReader, full_text, items, name};
use crate::domain::journey::source::schema::read_fields;

/// A dataset as written.
#[derive(Clone, Debug)]
pub struct DatasetFile {
    /// With its records, or empty.
    pub dataset: Dataset,
    /// Whether the file says which records there are; else those that were loaded stay.
    pub records: Records,
}

/// Whose the records of a dataset are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// The file's.
    Given,
    /// They are loaded.
    Loaded,
}

/// Reads a dataset; `None` if any of it can't be used.
pub fn read(
    dataset_name: &At<SmolStr>,
    mut map: MapReader<'_>,
    findings: &mut Findings<'_>,
) -> Option<At<DatasetFile>> {
    let before = findings.count();
    name(dataset_name, "a dataset", findings);
    let what = format!("schema of {}", map.what);
    let schema = map.required("schema", findings).and_then(|tree| read_fields(tree, &what, findings));
    let key = map.required("key", findings).and_then(|tree| full_text(tree, "`key`", findings));
    for (field, _) in schema.iter().flatten().filter(|(_, field)| !is_leaf(field)) {
        let message = format!("field `{field}` of {} is a list or an object", map.what);
        let suggestion = "declare fields of texts, numbers, truth values and instants".to_owned();
        findings.error_with(dataset_name.place, "wrong_type", message, suggestion);
    }
    if let (Some(schema), Some(key)) = (&schema, &key)
        && !schema.iter().any(|(field, of)| *field == key.value && *of == Type::String)
    {
        let message = format!("`key` of {} names `{}`, which is no field of type string", map.what, key.value);
        findings.error_with(key.place, "unknown_field", message, "name the field that tells records apart".to_owned());
    }
    let records = map.optional("records");
    let mut dataset = Dataset {
        name: dataset_name.value.clone(),
        key: key.map(|at| at.value).unwrap_or_default(),
        schema: schema.unwrap_or_default(),
        records: BTreeMap::new(),
    };
    if let Some(tree) = records.filter(|_| !findings.any_error_since(before)) {
        let what = format!("a record of dataset `{}`", dataset.name);
        let written = items(tree, "`records`", findings).unwrap_or_default().iter();
        let given = written.map(|item| literal::fields(item, &dataset.schema, &what, Millis(0), findings)).collect();
        if let Err(error) = dataset.fill(given) {
            let suggestion = "mend the record, or the schema".to_owned();
            findings.error_with(tree.place, "bad_record", format!("dataset `{}`: {error}", dataset.name), suggestion);
        }
    }
    map.finish(findings);
    let records = if records.is_some() { Records::Given } else { Records::Loaded };
    (!findings.any_error_since(before)).then(|| At::new(DatasetFile { dataset, records }, dataset_name.place))
}
