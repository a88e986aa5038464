//! Runs the program as people run it.

use std::{
    path::Path,
    process::{Command, Output},
};

/// What it printed, and its exit code.
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl Said {
    /// The JSON on standard output, after checking that all went well.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// Runs `control-plane` with `arguments` in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Said {
    let program = env!("CARGO_BIN_EXE_control-plane");
    let Output { status, stdout, stderr } =
        Command::new(program).args(arguments).current_dir(folder).env_remove("RUST_LOG").output().unwrap();
    Said {
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
        code: status.code().expect("it was not killed"),
    }
}
