//! `make run`: a control plane and one appliance, kept running until Ctrl-C or SIGTERM.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use tests::demo::{Stage, Teller};
use tokio::signal::unix::{SignalKind, signal};

/// A control plane and one appliance with things to look after, to look around in.
#[derive(Parser)]
struct Options {
    /// Where everything is put; it is cleared first
    #[arg(long, default_value = "target/run")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nrun: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    // From here on a wish to end is kept, and granted once everything is up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let (mut interrupted, mut ended) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut teller = Teller::new();
    let mut stage = Stage::build(&options.folder, None, &mut teller)?;
    let programs = tests::rig::binary("control-plane")?;
    let (program, dir) = (programs.display(), stage.provider.dir.display());
    println!(
        "\nRunning: people at https://{people}, appliances at https://{appliances}.\n\n\
         Look around in another terminal:\n  \
         {program} --dir {dir} appliance list\n  \
         {program} --dir {dir} incident list\n  \
         {program} --dir {dir} evidence list --tenant {tenant:?}\n\n\
         Break something and watch it heal (the limit is {limit} bytes):\n  \
         for n in 1 2 3; do head -c 2000000 /dev/zero > {uploads}/scan-$n.bin; done\n\n\
         Ctrl-C ends it.",
        tenant = tests::demo::TENANT,
        limit = tests::demo::LIMIT_BYTES,
        uploads = stage.uploads.display(),
        people = stage.provider.people,
        appliances = stage.provider.appliances,
    );
    runtime.block_on(async {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = ended.recv() => {}
        }
    });
    println!("\nstopping");
    stage.close()
}
