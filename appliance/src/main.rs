//! `appliance`: agent, executor, enrolment and status, one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    appliance::cli::main()
}
