//! Records of datasets: those of files, and those that are loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::domain::catalog::Catalog;
use crate::domain::dataset::{Dataset, RecordsError};
use crate::domain::journey::findings::{At, Findings};
use crate::domain::journey::source::{DatasetFile, Records};
use crate::domain::limits;
use crate::domain::value::Map;

impl Catalog {
    /// This catalog with `records` in the dataset `name`, in place of those it has.
    ///
    /// # Errors
    /// The records are not as declared, or too large; nothing is to change then.
    pub fn with_records(&self, name: &str, records: Vec<Map>) -> Result<Self, RecordsError> {
        let unknown = || RecordsError::Unknown(name.to_owned());
        let mut dataset = Dataset::clone(self.datasets.get(name).ok_or_else(unknown)?);
        dataset.fill(records)?;
        let mut next = self.clone();
        next.datasets.insert(dataset.name.clone(), Arc::new(dataset));
        next.check_weight()?;
        next.version.0 += 1;
        Ok(next)
    }

    fn check_weight(&self) -> Result<(), RecordsError> {
        let weight = self.datasets.values().map(|dataset| dataset.weight()).sum();
        if weight > limits::DATASETS_BYTES_MAX { Err(RecordsError::TooLarge { bytes: weight }) } else { Ok(()) }
    }

    /// Takes the datasets of files. Records that were loaded stay, as far as they are as declared now.
    pub(super) fn take_datasets(&mut self, files: &BTreeMap<SmolStr, At<DatasetFile>>, findings: &mut Findings<'_>) {
        for (name, file) in files {
            let mut dataset = file.value.dataset.clone();
            let before = self.datasets.get(name);
            if let (Records::Loaded, Some(before)) = (file.value.records, before)
                && let Err(error) = dataset.fill(before.given())
            {
                let message = format!("dataset `{name}` holds records that are not as declared here: {error}");
                let suggestion = "give the new records as `records`, or keep to the schema".to_owned();
                findings.error_with(file.place, "records_do_not_fit", message, suggestion);
            }
            self.datasets.insert(name.clone(), Arc::new(dataset));
        }
        if let (Err(error), Some(file)) = (self.check_weight(), files.values().next_back()) {
            let suggestion = "keep what no journey looks up elsewhere".to_owned();
            findings.error_with(file.place, "bad_record", error.to_string(), suggestion);
        }
    }
}
