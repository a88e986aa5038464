//! What is wrong with one object of the vault, held against the index. Decides only.

use proto::{digest::Digest, time::Millis};

use crate::vault::{Content, Lock, Seen, Version};

/// What the index says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Which version; `None`: the store has none, or it was kept before that was noted.
    pub version: Option<String>,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Not to be deleted before; `None`: it was kept before that was noted.
    pub retain_until: Option<Millis>,
}

/// Something that is wrong with an object. Each is somebody's doing: no run of the server leaves one behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is none.
    Missing,
    /// The version that the index names is gone, others are there.
    VersionGone {
        /// Which.
        version: String,
    },
    /// It has other bytes.
    Changed {
        /// Their digest; `None`: it is nothing that a vault writes.
        found: Option<Digest>,
    },
    /// A version with other bytes is older than it.
    Preceded {
        /// Which.
        version: String,
    },
    /// A version with other bytes lies on top of it.
    Overwritten {
        /// Which.
        version: String,
    },
    /// A delete marker hides it.
    Hidden {
        /// Which.
        version: String,
    },
    /// Its lock is not the strongest that the store has.
    Weakened {
        /// How it is.
        lock: Lock,
    },
    /// It may be deleted earlier than was promised.
    Shortened {
        /// From when on.
        found: Millis,
        /// What was promised.
        promised: Millis,
    },
}

/// All that is wrong with an object. One whose date has passed may be gone, and nothing else.
#[must_use]
pub fn judge(expected: &Expected, seen: &Seen, now: Millis) -> Vec<Fault> {
    let has_ended = expected.retain_until.is_some_and(|until| until <= now);
    let named = |version: &&Version| expected.version.as_ref().is_none_or(|id| *id == version.id);
    let is_object = |version: &&Version| version.content != Content::Marker;
    let markers = seen.versions.iter().filter(|version| version.content == Content::Marker);
    let mut faults: Vec<Fault> = markers.map(|marker| Fault::Hidden { version: marker.id.clone() }).collect();
    let Some(object) = seen.versions.iter().filter(is_object).find(named) else {
        if has_ended {
            return Vec::new();
        }
        faults.push(match (&expected.version, seen.object()) {
            (Some(version), Some(_)) => Fault::VersionGone { version: version.clone() },
            _ => Fault::Missing,
        });
        return faults;
    };
    let right = Content::Bytes(expected.sha256);
    if object.content != right {
        let found = if let Content::Bytes(found) = object.content { Some(found) } else { None };
        faults.push(Fault::Changed { found });
    }
    let mut is_before = true;
    for other in seen.versions.iter().filter(is_object) {
        let version = other.id.clone();
        if other == object {
            is_before = false;
        } else if other.content != right {
            let before = is_before;
            faults.push(if before { Fault::Preceded { version } } else { Fault::Overwritten { version } });
        }
    }
    match (object.lock.holds_until(), expected.retain_until) {
        (None, _) if has_ended => {}
        (None, _) => faults.push(Fault::Weakened { lock: object.lock }),
        (Some(found), Some(promised)) if found < promised => {
            faults.push(Fault::Shortened { found, promised })
        }
        _ => {}
    }
    faults
}

impl Fault {
    /// One word for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::VersionGone { .. } => "version-gone",
            Self::Changed { .. } => "changed",
            Self::Preceded { .. } => "preceded",
            Self::Overwritten { .. } => "overwritten",
            Self::Hidden { .. } => "hidden",
            Self::Weakened { .. } => "weakened",
            Self::Shortened { .. } => "shortened",
        }
    }

    /// What it means.
    #[must_use]
    pub fn meaning(&self) -> String {
        match self {
            Self::Missing => "it is not there any more, and its date has not come".to_owned(),
            Self::VersionGone { version } => {
                format!("version {version}, which was kept, is not there any more; what is there is another")
            }
            Self::Changed { found: Some(found) } => {
                format!("its bytes were changed: they have SHA-256 {found} now")
            }
            Self::Changed { found: None } => "it was replaced by something that no vault writes".to_owned(),
            Self::Preceded { version } => {
                format!("version {version} with other bytes stands before the one that was kept")
            }
            Self::Overwritten { version } => {
                format!(
                    "somebody wrote other bytes over it, as version {version}; the original is still there"
                )
            }
            Self::Hidden { version } => {
                format!("somebody deleted it: marker {version} hides it; what was kept is not gone by that")
            }
            Self::Weakened { lock } => format!("nothing stops it from being changed: it is {lock}"),
            Self::Shortened { found, promised } => {
                format!("it may be deleted from {found} on; it was to be kept until {promised}")
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Missing | Self::VersionGone { .. } | Self::Changed { .. } | Self::Preceded { .. } => {
                "touch nothing; the database still has the original: export a bundle (`evidence export`) and verify \
                 it, then find out who could write to the vault"
            }
            Self::Overwritten { .. } | Self::Hidden { .. } => {
                "Orderly goes on reading the original; exchange the vault's access key, and find out who used it"
            }
            Self::Weakened { .. } | Self::Shortened { .. } => {
                "compare its bytes with a bundle, set the lock anew, and find out who could take it away"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Content = Content::Bytes(Digest([1; 32]));
    const B: Content = Content::Bytes(Digest([2; 32]));
    const TEN: Millis = Millis(10);

    fn is(version: &str) -> Expected {
        let version = (!version.is_empty()).then(|| version.to_owned());
        Expected { version, sha256: Digest([1; 32]), retain_until: Some(TEN) }
    }

    fn found(expected: &Expected, versions: &[(&str, Content, Lock)], now: i64) -> Vec<&'static str> {
        let version = |&(id, content, lock): &(&str, Content, Lock)| Version { id: id.into(), content, lock };
        let seen = Seen { versions: versions.iter().map(version).collect() };
        let faults = judge(expected, &seen, Millis(now));
        assert!(faults.iter().all(|fault| !fault.meaning().is_empty() && !fault.advice().is_empty()));
        faults.iter().map(Fault::word).collect()
    }

    #[test]
    fn each_change_is_named() {
        let locked = Lock::Compliance(TEN);
        let mark = ("m", Content::Marker, Lock::None);
        for (what, there, faults) in [
            ("as it was kept", vec![("1", A, locked)], &[][..]),
            ("kept longer", vec![("1", A, Lock::Compliance(Millis(11)))], &[]),
            ("written again by a retry", vec![("1", A, locked), ("2", A, locked)], &[]),
            ("gone", vec![], &["missing"]),
            ("gone, and a marker in its place", vec![mark], &["hidden", "missing"]),
            ("hidden", vec![("1", A, locked), mark], &["hidden"]),
            ("another in its place", vec![("2", A, locked)], &["version-gone"]),
            ("other bytes", vec![("1", B, locked)], &["changed"]),
            ("no file", vec![("1", Content::Other, Lock::None)], &["changed", "weakened"]),
            (
                "another on top",
                vec![("1", A, locked), ("2", B, locked), ("3", B, locked)],
                &["overwritten", "overwritten"],
            ),
            ("another before it", vec![("0", B, locked), ("1", A, locked)], &["preceded"]),
            ("in governance mode", vec![("1", A, Lock::Governance(Millis(99)))], &["weakened"]),
            ("without a lock", vec![("1", A, Lock::None)], &["weakened"]),
            ("a shorter date", vec![("1", A, Lock::Compliance(Millis(9)))], &["shortened"]),
        ] {
            assert_eq!(found(&is("1"), &there, 5), faults, "{what}");
        }
    }

    #[test]
    fn a_file_has_no_versions_and_one_date() {
        let file = |content, lock| vec![("", content, lock)];
        assert_eq!(found(&is(""), &file(A, Lock::ReadOnlyFile(TEN)), 5), [""; 0]);
        assert_eq!(found(&is(""), &file(A, Lock::WritableFile(TEN)), 5), ["weakened"]);
        assert_eq!(found(&is(""), &file(A, Lock::ReadOnlyFile(Millis(9))), 5), ["shortened"]);
        assert_eq!(found(&is(""), &file(B, Lock::ReadOnlyFile(TEN)), 5), ["changed"]);
    }

    #[test]
    fn after_its_date_an_object_may_be_gone_and_not_changed() {
        assert_eq!(found(&is("1"), &[], 10), [""; 0]);
        assert_eq!(found(&is("1"), &[("1", A, Lock::None)], 10), [""; 0]);
        assert_eq!(found(&is("1"), &[("1", B, Lock::Compliance(TEN))], 10), ["changed"]);
        let unknown = Expected { retain_until: None, ..is("1") };
        assert_eq!(found(&unknown, &[], 99), ["missing"], "a date that nobody noted has not passed");
        assert_eq!(found(&unknown, &[("1", A, Lock::Compliance(Millis(1)))], 99), [""; 0]);
    }
}
