//! What a stream may have unacknowledged, in events and in bytes.

use crate::domain::limits;

/// What a stream may have unacknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Events; a client beyond it breaks the protocol.
    pub events: u64,
    /// Bytes of frames; beyond it the stream is not read.
    pub bytes: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self { events: limits::STREAM_EVENTS_IN_FLIGHT_MAX, bytes: limits::STREAM_BYTES_IN_FLIGHT_MAX }
    }
}

/// Permits count kibibytes, since semaphores count in 32 bits.
pub(super) fn kibibytes(bytes: usize) -> u32 {
    (bytes.div_ceil(1024)) as u32
}
