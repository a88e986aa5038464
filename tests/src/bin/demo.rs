//! `make demo`: the whole loop on this machine. Exit 0 when everything went as told, 1 on any surprise.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use tests::demo::{Play, Scene};

/// Orderly's whole loop, on this machine, with nothing but real processes.
#[derive(Parser)]
struct Options {
    /// Where everything is put; it is cleared first
    #[arg(long, default_value = "target/demo")]
    folder: PathBuf,
    /// Play one scene alone, with those that it builds on
    #[arg(long, value_name = "SCENE")]
    only: Option<Scene>,
    /// Leave out the fault of one scene, which must then fail
    #[arg(long, value_name = "SCENE")]
    without: Option<Scene>,
    /// How long the scene without its fault waits for what cannot come of it
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    patience: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let patience = Duration::from_secs(options.patience);
    let play = Play { only: options.only, without: options.without, patience };
    match tests::demo::run(&options.folder, &play) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
