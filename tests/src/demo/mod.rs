//! The whole loop on this machine, told scene by scene. Any surprise ends it with exit code 1.

mod place;
mod scenes;
mod screens;
mod stage;
mod tell;

use std::{path::Path, time::Duration};

use anyhow::Result;

pub use scenes::Scene;
pub use stage::{LIMIT_BYTES, Stage, TENANT};
pub use tell::Teller;

/// Which scenes, and how.
#[derive(Debug, Clone, Copy)]
pub struct Play {
    /// This one alone, with those that it builds on; `None`: all.
    pub only: Option<Scene>,
    /// This one without its fault: it must then fail.
    pub without: Option<Scene>,
    /// How long the scene without its fault waits for what cannot come of it.
    pub patience: Duration,
}

/// Plays in `folder`.
pub fn run(folder: &Path, play: &Play) -> Result<()> {
    let mut teller = Teller::new();
    let mut stage = Stage::build(folder, play.without, &mut teller)?;
    scenes::play(play, &mut stage, &mut teller)?;
    stage.close()?;
    teller.summary(folder);
    Ok(())
}
