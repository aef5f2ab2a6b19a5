//! Who may send: what transports ask about the key of a request or stream.

/// The keys that open the door. Look-ups compare in constant time.
pub trait KeyRegistry: Send + Sync + 'static {
    /// Whether a request with this key, or with none, is let in.
    fn allows(&self, key: Option<&str>) -> bool;
}

impl<F: Fn(Option<&str>) -> bool + Send + Sync + 'static> KeyRegistry for F {
    fn allows(&self, key: Option<&str>) -> bool {
        self(key)
    }
}
