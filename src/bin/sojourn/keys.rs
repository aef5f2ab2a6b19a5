//! `sojourn keys`: makes API keys and their digests. The server is told digests only.

use std::io::Read as _;

use rand::TryRng as _;
use serde::Serialize;
use sojourn::transport::api_keys as keys;

use crate::cli::{KeysAction, KeysArgs};
use crate::failure::Failure;
use crate::output::Output;

/// Marks our keys, so that people and secret scanners know one when they see it.
const PREFIX: &str = "sojourn_";

#[derive(Debug, Serialize)]
struct Key {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// A value of the setting `auth.keys`.
    setting: String,
}

/// Makes a key, or the digest of one.
pub fn run(args: KeysArgs, output: &Output) -> Result<(), Failure> {
    let (name, key, shown) = match args.action {
        KeysAction::New { name } => (name, random()?, true),
        KeysAction::Hash { name } => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|e| Failure::Usage(format!("can't read stdin: {e}")))?;
            (name, text.trim().to_owned(), false)
        }
    };
    if name.is_empty() || name.contains(['=', ',']) {
        return Err(Failure::Usage("a key's name is not empty and holds no = and no comma".to_owned()));
    }
    if key.is_empty() {
        return Err(Failure::Usage("give the key on stdin".to_owned()));
    }
    let digest = hex(&keys::digest(&key));
    let setting = format!("{name}=sha256:{digest}");
    output.result(&Key { name, key: shown.then_some(key), setting }, |k| match &k.key {
        Some(key) => format!("key (shown this once): {key}\nfor auth.keys:         {}", k.setting),
        None => k.setting.clone(),
    });
    Ok(())
}

/// 256 bits from the operating system.
fn random() -> Result<String, Failure> {
    let mut bytes = [0u8; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|e| Failure::Failed(format!("no randomness: {e}")))?;
    Ok(format!("{PREFIX}{}", hex(&bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
