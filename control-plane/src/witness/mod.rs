//! An outside witness: cosigns the checkpoints of other people's logs, so that none of them can show two (C2SP
//! tlog-witness v1.0.0). For an auditor, or for another provider; it needs nothing else of a control plane.
//!
//! The rule: of each log this program cosigns one history only, whatever happens. What it cosigned is on the disk before
//! its cosignature leaves; requests for one log are judged one after the other; one folder has one witness. A folder that is
//! put back from a backup has forgotten: give it a new key, or the newest files.
//!
//! ```text
//!  POST /add-checkpoint ──> judge (proto) ──> cosign ──> cosigned/ (fsync) ──> signature line
//!  GET /<hash of origin>/checkpoint <─────────────────────┘
//! ```

mod folder;
mod front;
mod logs;
mod state;

pub use folder::{Folder, Made, WitnessError};
pub use front::serve;
pub use logs::Logs;
pub use state::{Answer, Kept, Witness};
