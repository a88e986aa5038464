//! Where a stage stands: in the folder that was asked for, or, for root, where the agent's user gets to as well.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Uid;

use crate::rig::clinic::others_may_enter;

const PREFIX: &str = "orderly-";

/// Clears `folder` and makes it anew. Below a folder that nobody but root may enter, as a clone in root's home is, it
/// becomes a link to one that others may.
pub(super) fn prepare(folder: &Path) -> Result<PathBuf> {
    clear(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if Uid::effective().is_root() && !others_may_enter(&folder.join("anything")) {
        let open = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .context("cannot make a folder that others may enter")?
            .keep();
        fs::remove_dir(folder)?;
        symlink(&open, folder)?;
    }
    Ok(fs::canonicalize(folder)?)
}

fn clear(folder: &Path) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(folder) else { return Ok(()) };
    if found.is_symlink() {
        // Ours, or nobody's to remove.
        let behind = fs::read_link(folder)?;
        let name = behind.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = behind.parent() == Some(&std::env::temp_dir()) && name.starts_with(PREFIX);
        ensure!(ours, "it is a link to {}, which no demo made", behind.display());
        fs::remove_file(folder)?;
        return match fs::remove_dir_all(&behind) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        };
    }
    Ok(fs::remove_dir_all(folder)?)
}
