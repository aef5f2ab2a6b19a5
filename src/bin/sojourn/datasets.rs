//! `sojourn datasets`: datasets of a running server, and records to be loaded.

use sojourn::transport::http::datasets::{DatasetBody, DatasetsBody};

use crate::cli::{DatasetsAction, DatasetsArgs};
use crate::client::{Answer, Client, refused};
use crate::failure::Failure;
use crate::output::{Output, table};

/// Lists or loads.
pub fn run(args: &DatasetsArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    match &args.action {
        None | Some(DatasetsAction::List) => {
            let body: DatasetsBody = client.get(client.url(&["v1", "datasets"], &[]))?;
            output.result(&body, |body| people(&body.datasets));
        }
        Some(DatasetsAction::Load { name, file }) => {
            let bytes = std::fs::read(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
            let is_table = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
            let media_type = if is_table { "text/csv" } else { "application/x-ndjson" };
            let url = client.url(&["v1", "datasets", name, "records"], &[]);
            match client.post_bytes::<DatasetBody>(url, media_type, bytes)?.1 {
                Answer::Ok(body) => output.result(&body, |body| people(std::slice::from_ref(body))),
                Answer::Refused(_, body, _) => return Err(refused(*body)),
            }
        }
    }
    Ok(())
}

fn people(datasets: &[DatasetBody]) -> String {
    let mut rows = table(&["dataset", "key", "fields", "#records", "#bytes"]);
    for dataset in datasets {
        let (records, bytes) = (dataset.records.to_string(), dataset.bytes.to_string());
        rows.add_row([dataset.name.clone(), dataset.key.clone(), dataset.fields.join(", "), records, bytes]);
    }
    rows.to_string()
}
