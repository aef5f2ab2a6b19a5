//! A part of a batch between its submission and its ack. Holds what it gives back and decides nothing.

use tokio::sync::OwnedSemaphorePermit;

use crate::domain::ids::Millis;
use crate::runtime::engine::Receipt;
use crate::wire::frame::Rejection;

/// A part of a batch on its way to its commit.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
    pub(super) rejected: Vec<Rejection>,
    pub(super) receipt: Option<ReceiptBox>,
    pub(super) engine_time: Option<Millis>,
    /// Bytes that this part gives back: the whole frame's with its last part.
    pub(super) _bytes: Option<[OwnedSemaphorePermit; 2]>,
}

/// A receipt that can be printed as one.
pub(super) struct ReceiptBox(pub(super) Receipt);

impl std::fmt::Debug for ReceiptBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt(..)")
    }
}
