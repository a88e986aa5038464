//! The control plane's program: reads the command line, does what it says, prints the answer.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use control_plane::{
    cli::{self, Cli, World},
    clock,
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.wants_json();
    log(json);
    match cli.run(World { now: clock::now, random: clock::random }) {
        Ok(answer) => {
            let printed =
                io::stdout().write_all(answer.print(json).as_bytes()).and_then(|()| io::stdout().flush());
            match printed {
                Ok(()) => ExitCode::from(answer.code),
                // `| head` has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(answer.code),
                Err(error) => fail(&anyhow::Error::new(error).context("cannot print the answer")),
            }
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("control-plane: {error:#}");
    ExitCode::from(cli::exit_code(error))
}

/// To standard error; RUST_LOG says how much.
fn log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    if json { builder.json().init() } else { builder.init() }
}
