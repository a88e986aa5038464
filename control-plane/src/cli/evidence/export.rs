//! Writes a streamed bundle as files.
//!
//! The rule: the server names the files, so nothing it says may lead out of the folder, and nobody finds half a bundle
//! under the name of a whole one: files gather beside it and the folder is put into place at the end.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use proto::pb::BundlePart;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use crate::{
    cli::{connection::Refused, misuse},
    files,
};

/// The longest path of a file in a bundle, in bytes.
const PATH_MAX: usize = 1024;

/// How much was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Writes all of `parts` into `out`, an empty folder or none.
pub(super) async fn write(
    parts: impl Stream<Item = Result<BundlePart, Status>> + Unpin,
    out: &Path,
) -> anyhow::Result<Written> {
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        _ => return Err(misuse(format!("--out is {}, must be an empty folder or none", out.display()))),
    }
    let staging = Staging::begin(out)?;
    let written = gather(parts, &staging.0).await?;
    fs::rename(&staging.0, out)
        .with_context(|| format!("cannot put the bundle into place at {}", out.display()))?;
    Ok(written)
}

/// The folder in which files gather. Goes away unless it was put into place.
struct Staging(PathBuf);

impl Staging {
    fn begin(out: &Path) -> anyhow::Result<Self> {
        let name = out.file_name().ok_or_else(|| misuse("--out must name a folder"))?;
        let path =
            files::parent(out).join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        files::create_folder(files::parent(out))?;
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After the rename there is nothing left; after a failure the first error is the one that counts.
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn gather(
    mut parts: impl Stream<Item = Result<BundlePart, Status>> + Unpin,
    folder: &Path,
) -> anyhow::Result<Written> {
    let mut written = Written::default();
    let mut open: Option<(String, File)> = None;
    while let Some(part) = parts.next().await {
        let part = part.map_err(Refused)?;
        let (path, mut file) = match open.take() {
            Some((path, file)) => {
                ensure!(path == part.path, "the server began {:?} before {path:?} was complete", part.path);
                (path, file)
            }
            None => (part.path.clone(), begin(folder, &part.path)?),
        };
        file.write_all(&part.content).with_context(|| format!("cannot write {path}"))?;
        written.bytes += part.content.len() as u64;
        if part.last {
            written.files += 1;
        } else {
            open = Some((path, file));
        }
    }
    if let Some((path, _)) = open {
        anyhow::bail!("the server broke off in the middle of {path:?}");
    }
    ensure!(written.files > 0, "the server sent no files");
    Ok(written)
}

/// A new file; the folder is ours and new, so nothing in it is a link that leads elsewhere.
fn begin(folder: &Path, path: &str) -> anyhow::Result<File> {
    ensure!(is_safe(path), "the server named a file {path:?}, which is not a plain path within a bundle");
    let target = folder.join(path);
    fs::create_dir_all(files::parent(&target))
        .with_context(|| format!("cannot make the folder of {path}"))?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&target)
        .with_context(|| format!("cannot write {path}; every file of a bundle comes once"))
}

/// Relative, without `.`, `..`, empty parts, control characters or backslashes.
fn is_safe(path: &str) -> bool {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    plain
        && path.len() <= PATH_MAX
        && !path.contains(|c: char| c.is_control() || c == '\\')
        && path.split('/').all(|part| !part.is_empty() && part != ".")
}

#[cfg(test)]
mod tests {
    use tokio_stream::iter;

    use super::*;

    fn part(path: &str, content: &str, last: bool) -> Result<BundlePart, Status> {
        Ok(BundlePart { path: path.into(), content: content.into(), last })
    }

    fn write_all(out: &Path, parts: Vec<Result<BundlePart, Status>>) -> anyhow::Result<Written> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(write(iter(parts), out))
    }

    #[test]
    fn parts_become_files() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("bundle");
        let written = write_all(
            &out,
            vec![
                part("manifest.json", "{}", true),
                part("log/tile/0/000", "ab", false),
                part("log/tile/0/000", "c", true),
            ],
        );
        assert_eq!(written.unwrap(), Written { files: 2, bytes: 5 });
        assert_eq!(fs::read(out.join("log/tile/0/000")).unwrap(), b"abc");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays");
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for path in
            ["../a", "/etc/a", "a/../../b", "", "a//b", "./a", "a/./b", "a/", "a\0b", "a\nb", "a\\b", ".."]
        {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("in/bundle");
            let error = write_all(&out, vec![part("ok", "", true), part(path, "x", true)]).unwrap_err();
            assert!(error.to_string().contains("not a plain path"), "{path:?}: {error}");
            let left: Vec<_> = fs::read_dir(folder.path().join("in")).unwrap().collect();
            assert!(left.is_empty(), "{path:?} left {left:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{path:?}");
        }
    }

    #[test]
    fn half_a_bundle_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("bundle");
        for parts in [
            vec![],
            vec![part("a", "x", false)],
            vec![part("a", "x", false), part("b", "x", true)],
            vec![part("a", "x", true), part("a", "y", true)],
            vec![part("a", "x", true), Err(Status::unavailable("gone"))],
        ] {
            write_all(&out, parts).unwrap_err();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "1").unwrap();
        write_all(folder.path(), vec![part("a", "x", true)]).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
