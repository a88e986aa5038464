//! Whether a unit is up, as systemd says it.

use std::path::Path;

use proto::evidence::Readings;

use super::readings;
use crate::executor::steps::{Limit, unit::properties};

/// `active`: 1 up, 0 not, −1 no such unit; `restarts`: how often systemd has restarted it by itself.
pub(in crate::executor::steps) fn read(systemctl: &Path, unit: &str, limit: &Limit<'_>) -> Readings {
    let Some(found) = properties(systemctl, unit, "LoadState,ActiveState,NRestarts", limit) else {
        return readings([("active", -1)]);
    };
    let value = |key: &str| found.get(key).map_or("", String::as_str);
    let active = match (value("LoadState"), value("ActiveState")) {
        ("loaded", "active" | "reloading") => 1,
        ("loaded", _) => 0,
        _ => -1,
    };
    readings([("active", active), ("restarts", value("NRestarts").parse().unwrap_or(-1))])
}
