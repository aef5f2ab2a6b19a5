//! API keys of all transports. Knows digests only; a key in clear is hashed on arrival and never kept or logged.

use dashmap::DashMap;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::transport::keys::KeyRegistry;

/// The registry of keys: read by every request, written at start. Empty = nobody needs a key.
#[derive(Default)]
pub struct ApiKeys(DashMap<String, [u8; 32]>);

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

/// SHA-256 of a key's text.
pub fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

impl ApiKeys {
    /// No keys: everyone may.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the holder of the key with this digest in, under `name`.
    pub fn insert(&self, name: &str, digest: [u8; 32]) {
        self.0.insert(name.to_owned(), digest);
    }

    /// Whether nobody needs a key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl KeyRegistry for ApiKeys {
    fn allows(&self, key: Option<&str>) -> bool {
        if self.is_empty() {
            return true;
        }
        let Some(key) = key else { return false };
        let presented = digest(key);
        // All digests are compared in full, so that the time taken tells nothing about any of them.
        let matches =
            self.0.iter().fold(subtle::Choice::from(0), |found, entry| found | entry.value().ct_eq(&presented));
        matches.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_by_digest() {
        let keys = ApiKeys::new();
        assert!(keys.allows(None) && keys.allows(Some("anything")));
        keys.insert("shop", digest("sk-1"));
        keys.insert("crm", digest("sk-2"));
        assert!(keys.allows(Some("sk-1")) && keys.allows(Some("sk-2")));
        assert!(!keys.allows(None) && !keys.allows(Some("")) && !keys.allows(Some("sk-3")));
        assert_eq!(format!("{keys:?}"), "ApiKeys(2)");
    }
}
