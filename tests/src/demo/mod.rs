//! The whole loop on this machine, told scene by scene. Any surprise ends it with exit code 1.

mod scenes;
mod stage;
mod tell;

use std::path::Path;

use anyhow::Result;

pub use stage::{LIMIT_BYTES, Stage, TENANT};
pub use tell::Teller;

/// Runs all scenes in `folder`. `without` leaves out the fault of one scene, which must then fail.
pub fn run(folder: &Path, without: Option<u8>) -> Result<()> {
    let mut teller = Teller::new();
    let mut stage = Stage::build(folder, without, &mut teller)?;
    scenes::play(&mut stage, &mut teller)?;
    stage.close()?;
    teller.summary(folder);
    Ok(())
}
