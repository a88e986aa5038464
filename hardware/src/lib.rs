//! Device profiles: what each class of box has, and how much of it Orderly may use.
//!
//! One strict TOML file per profile under `profiles/`, found by looking: the file's name is the profile's name.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// A class of box.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What people call it.
    pub title: String,
    /// Memory, MiB.
    pub memory_mb: u32,
    /// Disk, GB.
    pub disk_gb: u32,
    /// The most that the agent's outbox may hold, MiB.
    pub outbox_max_mb: u32,
    /// The most that unproven evidence may hold, MiB.
    pub evidence_max_mb: u32,
}

/// Why profiles could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A file or the folder.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a profile.
    #[error("{path} is not a profile")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Names key and line.
        #[source]
        source: toml::de::Error,
    },
    /// A profile that cannot be.
    #[error("{path}: {key} must be {allowed}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What would be right.
        allowed: &'static str,
    },
}

/// All profiles in a folder, by name.
pub fn read_folder(folder: &Path) -> Result<BTreeMap<String, Profile>, ProfileError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ProfileError::Read { path, source }
    };
    let mut profiles = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let (Some(name), Some("toml")) =
            (path.file_stem().and_then(|n| n.to_str()), path.extension().and_then(|e| e.to_str()))
        else {
            continue;
        };
        let text = fs::read_to_string(&path).map_err(failed(&path))?;
        profiles.insert(name.to_owned(), parse(&path, &text)?);
    }
    Ok(profiles)
}

fn parse(path: &Path, text: &str) -> Result<Profile, ProfileError> {
    let profile: Profile =
        toml::from_str(text).map_err(|source| ProfileError::Syntax { path: path.to_owned(), source })?;
    let refuse = |key, allowed| Err(ProfileError::Value { path: path.to_owned(), key, allowed });
    if profile.memory_mb < 2048 {
        return refuse("memory_mb", "at least 2048");
    }
    if u64::from(profile.outbox_max_mb) + u64::from(profile.evidence_max_mb)
        > u64::from(profile.disk_gb) * 1000 / 10
    {
        return refuse("outbox_max_mb", "together with evidence_max_mb at most a tenth of the disk");
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_here_is_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let profiles = read_folder(&folder).unwrap();
        let files = fs::read_dir(&folder).unwrap().count();
        assert!(files >= 3 && profiles.len() == files);
    }

    #[test]
    fn a_bad_profile_names_file_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let good = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/nuc-small.toml"))
            .unwrap();
        for (text, expected) in [
            (good.replace("disk_gb", "disc_gb"), "disc_gb"),
            (good.replace("4096", "1024"), "memory_mb must be at least 2048"),
            (good.replace("outbox_max_mb = 96", "outbox_max_mb = 60000"), "outbox_max_mb must be"),
        ] {
            fs::write(folder.path().join("bad.toml"), text).unwrap();
            let error = read_folder(folder.path()).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let said = format!("{error} {source}");
            assert!(said.contains("bad.toml") && said.contains(expected), "{said}");
        }
    }
}
