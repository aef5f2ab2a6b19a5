//! `sojourn shards`: shards of a running server, and their number.

use reqwest::Method;
use sojourn::runtime::view::ShardsView;
use sojourn::transport::http::schema::ShardsRequest;

use crate::cli::{ShardsAction, ShardsArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Output, table};

/// Shows or sets.
pub fn run(args: &ShardsArgs, output: &Output) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let url = client.url(&["v1", "shards"], &[]);
    let view: ShardsView = match &args.action {
        None | Some(ShardsAction::Get) => client.get(url)?,
        Some(ShardsAction::Set { count }) => client.call(Method::PUT, url, Some(&ShardsRequest { count: *count }))?,
    };
    output.result(&view, people);
    Ok(())
}

fn people(view: &ShardsView) -> String {
    let mut rows = table(&["#shard", "#partitions", "#profiles", "#timers", "#mailbox"]);
    for s in &view.shards {
        let figures = [u64::from(s.shard), u64::from(s.partitions), s.profiles, s.timers, s.mailbox];
        rows.add_row(figures.iter().map(u64::to_string));
    }
    format!("{rows}\n{} shards, {} partitions", view.count, view.partitions)
}
