//! Exceptions that are baked into an image: one JSON file each, in a folder of their own.
//!
//! The rule: one that is not as it must be stops the start, as a wrong configuration does. One whose end has come does not: a
//! box in a clinic must not stop working on that day; it falls away by itself, and `check-config` refuses it.

use std::{fs, io, path::Path};

use baseline::Exception;

use super::ConfigError;

/// Reads all of them; each control may have one.
pub(super) fn read(folder: &Path) -> Result<Vec<Exception>, ConfigError> {
    let unreadable = |path: &Path, source| ConfigError::Read { path: path.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| unreadable(folder, error))?.path());
    }
    paths.sort();
    let mut all: Vec<Exception> = Vec::new();
    for path in paths {
        let file = path.display().to_string();
        let bad = |key: &str, value: String, allowed: &str| ConfigError::Value {
            path: path.clone(),
            key: key.to_owned(),
            value,
            allowed: allowed.to_owned(),
        };
        if path.extension().is_none_or(|extension| extension != "json") {
            return Err(bad("name", file, "must end with .json; nothing else belongs into this folder"));
        }
        let content = fs::read(&path).map_err(|error| unreadable(&path, error))?;
        let exception = Exception::of_image(&content, &file).map_err(ConfigError::Exception)?;
        if all.iter().any(|other| other.control == exception.control) {
            return Err(bad("control", exception.control.to_string(), "must have one exception, has two"));
        }
        all.push(exception);
    }
    Ok(all)
}
