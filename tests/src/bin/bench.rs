//! `make bench`: the product against bare loops on this machine, in the same run. Exit 1 when something went wrong;
//! a figure is never a failure.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tests::bench::{self, Bench, Effort, Part};

/// Measures the product against bare loops and prints ratios: higher is better.
#[derive(Parser)]
struct Options {
    /// Where NAME.json goes; work/ in it is cleared first
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Run this one alone
    #[arg(long, value_name = "NAME")]
    only: Option<Bench>,
    /// Small counts: shows that it works, the figures mean little
    #[arg(long)]
    quick: bool,
    /// What a bench has this program do in another process
    #[arg(long, hide = true)]
    part: Option<Part>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let effort = if options.quick { Effort::QUICK } else { Effort::FULL };
    let done = match options.part {
        Some(part) => part.play(),
        None => bench::run(&options.folder, options.only, &effort),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
