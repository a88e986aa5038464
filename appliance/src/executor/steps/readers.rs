//! Readings of this machine: closed, read-only, each of what is, not of what was configured.
//!
//! The rule: what cannot be read is −1, and so a fault; what is not there to be read (a machine without thermometers) is
//! left out, and so nobody can say.

pub(super) mod certificate;
pub(super) mod clock;
pub(super) mod cost;
pub(super) mod drive;
pub(super) mod filesystem;
pub(super) mod footprint;
pub(super) mod pressure;
pub(super) mod sensor;
pub(super) mod served;
pub(super) mod store;
pub(super) mod system;
pub(super) mod unit;
pub(super) mod uplink;

use proto::evidence::Readings;

/// Readings by name.
pub(super) fn readings<const N: usize>(named: [(&str, i64); N]) -> Readings {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
