//! The place of whoever judges records by what the journeys say.

use crate::domain::profile::Profile;
use crate::sim::Violation;
use crate::wire::record::{ProfileRecord, Record};

/// Sees every durable record of a profile, in the order of its partition.
#[derive(Debug)]
pub struct Witness;

impl Witness {
    /// Sees one.
    pub fn take(
        &mut self,
        _record: &Record<'_>,
        _payload: &ProfileRecord<'_>,
        _profile: Option<&Profile>,
    ) -> Result<(), Violation> {
        Ok(())
    }
}
