//! `make demo`: the whole loop on this machine. Exit 0 when everything went as told, 1 on any surprise.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

/// Orderly's whole loop, on this machine, with nothing but real processes.
#[derive(Parser)]
struct Options {
    /// Where everything is put; it is cleared first
    #[arg(long, default_value = "target/demo")]
    folder: PathBuf,
    /// Leave out the fault of one scene, which must then fail
    #[arg(long, value_name = "SCENE", value_parser = clap::value_parser!(u8).range(1..=8))]
    without: Option<u8>,
    /// How long a scene waits for what must come of its fault
    #[arg(long, value_name = "SECONDS", default_value_t = tests::demo::PATIENCE.as_secs())]
    patience: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match tests::demo::run(&options.folder, options.without, Duration::from_secs(options.patience)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
