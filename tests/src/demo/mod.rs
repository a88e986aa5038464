//! The whole loop on this machine, told scene by scene. Any surprise ends it with exit code 1.

mod scenes;
mod stage;
mod tell;

use std::{path::Path, time::Duration};

use anyhow::Result;

pub use stage::{LIMIT_BYTES, PATIENCE, Stage, TENANT};
pub use tell::Teller;

/// Runs all scenes in `folder`. `without` leaves out the fault of one scene, which must then fail; `patience` is how
/// long a scene waits for what must come of its fault.
pub fn run(folder: &Path, without: Option<u8>, patience: Duration) -> Result<()> {
    let mut teller = Teller::new();
    let mut stage = Stage::build(folder, without, &mut teller)?;
    stage.patience = patience;
    scenes::play(&mut stage, &mut teller)?;
    stage.close()?;
    teller.summary(folder);
    Ok(())
}
