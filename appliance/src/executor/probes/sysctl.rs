//! Kernel settings.

use baseline::{Blind, Reading, probe::SysctlKey};

use super::{Look, reading};

/// Where it stands below process 1's root.
pub(super) fn path(key: &SysctlKey) -> String {
    format!("/proc/sys/{}", key.as_str().replace('.', "/"))
}

/// Whether it is another one in every network.
pub(super) fn is_of_network(key: &SysctlKey) -> bool {
    key.as_str().starts_with("net.")
}

/// Its one number.
pub(super) fn read(look: &Look<'_>, key: &SysctlKey) -> Result<Reading, Blind> {
    let number: i64 = look.text(&path(key))?.trim().parse().map_err(|_| Blind::Unreadable)?;
    Ok(reading([("value", number.into())]))
}
