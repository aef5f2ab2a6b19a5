//! What the demonstration shows, inside the binary: an installed `sojourn` finds it anywhere.

use std::io;
use std::path::Path;

/// Journeys, messages and declarations, by file name.
const RESOURCES: [(&str, &str); 5] = [
    ("events.yaml", include_str!("../../examples/demo/events.yaml")),
    ("messages.yaml", include_str!("../../examples/demo/messages.yaml")),
    ("post_purchase_nurture.yaml", include_str!("../../examples/demo/post_purchase_nurture.yaml")),
    ("vip.yaml", include_str!("../../examples/demo/vip.yaml")),
    ("win_back.yaml", include_str!("../../examples/demo/win_back.yaml")),
];
/// The recorded purchases, see `examples/data/README.md`.
pub const HISTORY: &[u8] = include_bytes!("../../examples/data/cdnow.csv.gz");
/// Its file.
pub const HISTORY_NAME: &str = "cdnow.csv.gz";
/// Its rows.
pub const HISTORY_ROWS: u64 = 69_659;
/// How its columns become events. The row number is the id, since 215 rows have exact twins.
pub const MAPPING: &str = "id=row,type='purchase',profile='cdnow:'+customer_id,time=date,\
    properties.amount=amount_usd,properties.quantity=quantity";

/// Name and text of all resource files.
pub fn resources() -> Vec<(String, String)> {
    RESOURCES.iter().map(|(name, text)| (format!("examples/demo/{name}"), (*text).to_owned())).collect()
}

/// Writes everything to `examples/` in `directory`, for readers to edit. Files that are there stay as they are.
///
/// # Errors
/// As the system says.
pub fn unpack(directory: &Path) -> io::Result<()> {
    let (demo, history) = (directory.join("examples/demo"), directory.join("examples/data"));
    std::fs::create_dir_all(&demo)?;
    std::fs::create_dir_all(&history)?;
    for (name, text) in RESOURCES {
        write_new(&demo.join(name), text.as_bytes())?;
    }
    write_new(&history.join(HISTORY_NAME), HISTORY)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.exists() { Ok(()) } else { std::fs::write(path, bytes) }
}
