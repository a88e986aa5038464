//! A file's kind, owner and permission bits.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use baseline::{
    Blind, Reading, Word,
    probe::{FILE_KINDS, Path},
};

use super::{Look, read, reading};

/// IDs of the system's own accounts end here.
const PEOPLE: u32 = 1000;

/// Symbolic links are not followed.
pub(super) fn read(look: &Look<'_>, path: &Path) -> Result<Reading, Blind> {
    let found = match fs::symlink_metadata(look.path(path.as_str())) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(reading([("exists", false.into())]));
        }
        Err(error) => return Err(read::why(&error)),
    };
    let kind = match found.file_type() {
        kind if kind.is_file() => "file",
        kind if kind.is_dir() => "folder",
        kind if kind.is_symlink() => "link",
        _ => "special",
    };
    Ok(reading([
        ("exists", true.into()),
        ("group", whose(found.gid()).into()),
        ("kind", Word::of(kind, FILE_KINDS).into()),
        ("mode", Word::mode(found.permissions().mode()).into()),
        ("owner", whose(found.uid()).into()),
    ]))
}

fn whose(id: u32) -> Word {
    let word = match id {
        0 => "root",
        1..PEOPLE => "system",
        _ => "person",
    };
    Word::of(word, &[word])
}
