//! The verifier alone, to be handed to an auditor with a bundle: no server, no network, nothing but reading and computing.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;
use control_plane::{
    clock,
    offline::{self, Verify},
};

/// Verifies a bundle of Orderly's evidence offline.
#[derive(Debug, Parser)]
#[command(
    name = "orderly-verify",
    version,
    after_help = "Keys inside a bundle never count as trust: get the trust file from the organization itself.\n\n\
    Example:\n  orderly-verify --trust organization.keys.json --from 2026-11-01 --to 2026-12-01 bundle/\n\n\
    Exit codes: 0 sound and complete; 1 a fault was found, or it could not be verified; 2 wrong usage; 3 no fault, but \
    incomplete or without --trust. Times of an outside authority count only with --tsa; without it they are not asked about."
)]
struct Cli {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    verify: Verify,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.verify.run(clock::now()) {
        Ok(answer) => {
            let printed =
                io::stdout().write_all(answer.print(cli.json).as_bytes()).and_then(|()| io::stdout().flush());
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
    eprintln!("orderly-verify: {error:#}");
    ExitCode::from(if offline::is_misuse(error) { 2 } else { 1 })
}
