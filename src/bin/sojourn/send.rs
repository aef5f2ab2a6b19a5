//! `sojourn send`: events from a file or stdin to a server over HTTP, in order, each batch until it is durable.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize as _, Serialize};
use sojourn::domain::limits;
use sojourn::transport::http::schema::IngestBody;

use crate::cli::SendArgs;
use crate::client::{Answer, Client, refused};
use crate::failure::Failure;
use crate::output::Output;

/// What became of all events sent.
#[derive(Debug, Default, Serialize)]
struct Summary {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
}

/// Sends; fails if an event was rejected.
pub fn run(args: &SendArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let mut summary = Summary::default();
    let mut batch = Batch::default();
    for (index, line) in open(&args.file)?.split(b'\n').enumerate() {
        let line = line.map_err(|e| Failure::Usage(format!("can't read {}: {e}", args.file.display())))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let full = batch.lines.len() == usize::from(args.batch);
        if full || batch.bytes.len() + line.len() + 1 > limits::BATCH_BYTES_MAX {
            batch.send(&client, &mut summary)?;
        }
        batch.lines.push(index + 1);
        batch.bytes.extend_from_slice(&line);
        batch.bytes.push(b'\n');
    }
    batch.send(&client, &mut summary)?;
    output
        .result(&summary, |s| format!("{} accepted, {} duplicates, {} rejected", s.accepted, s.duplicates, s.rejected));
    if summary.rejected > 0 { Err(Failure::Failed(String::new())) } else { Ok(()) }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path).map_err(|e| Failure::Usage(format!("can't read {}: {e}", path.display())))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Lines on their way.
#[derive(Debug, Default)]
struct Batch {
    /// Numbers of the lines, from 1.
    lines: Vec<usize>,
    bytes: Vec<u8>,
}

impl Batch {
    /// Sends until taken: 429 and 503 say when to come back, and repeats are recognised by the event's id.
    fn send(&mut self, client: &Client, summary: &mut Summary) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        loop {
            let url = client.url(&["v1", "events"], &[]);
            let (retry, answer) = client.post_bytes::<IngestBody>(url, "application/x-ndjson", self.bytes.clone())?;
            match answer {
                Answer::Ok(body) => self.count(&body, summary),
                // All rejected: the results stand beside the error.
                Answer::Refused(400, _, raw) if raw.get("results").is_some() => {
                    let body = IngestBody::deserialize(&raw)
                        .map_err(|e| Failure::Failed(format!("the server's answer is not as described: {e}")))?;
                    self.count(&body, summary);
                }
                Answer::Refused(429 | 503, body, _) if retry.is_some() => {
                    eprintln!("sojourn: {}", body.error.message);
                    client.rest(Duration::from_secs(retry.unwrap_or(1)));
                    continue;
                }
                Answer::Refused(_, body, _) => return Err(refused(*body)),
            }
            self.lines.clear();
            self.bytes.clear();
            return Ok(());
        }
    }

    fn count(&self, body: &IngestBody, summary: &mut Summary) {
        for (line, result) in self.lines.iter().zip(&body.results) {
            match result.status.as_str() {
                "accepted" => summary.accepted += 1,
                "duplicate" => summary.duplicates += 1,
                _ => {
                    summary.rejected += 1;
                    let message = result.message.as_deref().unwrap_or("rejected");
                    eprintln!("line {line}: {}: {message}", result.id);
                }
            }
        }
    }
}
