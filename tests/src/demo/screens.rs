//! The packet as a person sees it who opens it: its pages as pictures, drawn by somebody else's program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::rig::process::run;

/// What `.ci/setup run` unpacks.
const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/reader/root/usr");
const RESOLUTION: &str = "80";

/// Draws every page of a PDF into `folder`, which is made anew; `None`: there is no pdftoppm here.
pub(super) fn draw(pdf: &Path, folder: &Path) -> Result<Option<usize>> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let Some(program) = pdftoppm() else { return Ok(None) };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = Command::new(&program);
    if program.starts_with(READER) {
        let machine = format!("{READER}/lib/{}-linux-gnu", std::env::consts::ARCH);
        command.env("LD_LIBRARY_PATH", format!("{machine}:{READER}/lib"));
    }
    run(command.args(["-r", RESOLUTION, "-png"]).arg(pdf).arg(folder.join("packet")), &[0])?;
    let mut pages = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        ensure!(fs::read(&path)?.starts_with(b"\x89PNG"), "{} is no picture", path.display());
        pages += 1;
    }
    ensure!(pages > 0, "the packet has no page");
    Ok(Some(pages))
}

/// Unpacked for this, or installed.
fn pdftoppm() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("pdftoppm"));
    std::iter::once(Path::new(READER).join("bin/pdftoppm")).chain(installed).find(|path| path.is_file())
}
