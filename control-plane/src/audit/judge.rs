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
    /// It was deleted after its date, and another with other bytes stands in its place.
    Replaced {
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

/// All that is wrong with an object. One whose date has passed may be gone, hidden, and without its lock; other bytes
/// under its key are wrong for ever, as nobody uses a key again.
#[must_use]
pub fn judge(expected: &Expected, seen: &Seen, now: Millis) -> Vec<Fault> {
    let has_ended = expected.retain_until.is_some_and(|until| until <= now);
    let right = Content::Bytes(expected.sha256);
    // A file has no version, whichever the index names: of the bucket that the vault was copied into.
    let named = |id: &str| expected.version.as_ref().is_none_or(|named| named == id || id.is_empty());
    let is_object = |version: &Version| version.content != Content::Marker;
    let place = seen.versions.iter().position(|version| is_object(version) && named(&version.id));
    let mut faults = Vec::new();
    for (number, Version { id, content, .. }) in seen.versions.iter().enumerate() {
        let version = id.clone();
        let is_before = place.is_some_and(|place| number < place);
        match content {
            // Where there is nothing yet, a marker hides nothing.
            Content::Marker if !has_ended && !is_before => faults.push(Fault::Hidden { version }),
            Content::Marker => {}
            same if *same == right => {}
            _ if place == Some(number) => {
                let found = if let Content::Bytes(found) = content { Some(*found) } else { None };
                faults.push(Fault::Changed { found });
            }
            _ if is_before => faults.push(Fault::Preceded { version }),
            _ if place.is_some() => faults.push(Fault::Overwritten { version }),
            _ if has_ended => faults.push(Fault::Replaced { version }),
            // Said below, of what is gone.
            _ => {}
        }
    }
    match (place.map(|place| seen.versions[place].lock), &expected.version) {
        _ if has_ended => {}
        (None, Some(version)) if seen.object().is_some() => {
            faults.push(Fault::VersionGone { version: version.clone() });
        }
        (None, _) => faults.push(Fault::Missing),
        (Some(lock), _) => match (lock.holds_until(), expected.retain_until) {
            (None, _) => faults.push(Fault::Weakened { lock }),
            (Some(found), Some(promised)) if found < promised => {
                faults.push(Fault::Shortened { found, promised });
            }
            _ => {}
        },
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
            Self::Replaced { .. } => "replaced",
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
            Self::Replaced { version } => format!(
                "its date has passed and it was deleted, as it may be; but other bytes were put under its key, as \
                 version {version}"
            ),
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
            Self::Replaced { .. } => {
                "what stands there is not what was kept: take it for nothing, exchange the vault's access key, and find \
                 out who used it"
            }
            Self::Overwritten { .. } | Self::Hidden { .. } => {
                "Orderly goes on reading the original; exchange the vault's access key, and find out who used it (two servers \
                 that raced can have left an overwrite on a store without conditional writes, such as an old Ceph)"
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

    /// Each state of a key in a bucket: what is wrong with it before its date, and after.
    #[test]
    fn each_change_is_named_before_its_date_and_after() {
        let (locked, none) = (Lock::Compliance(TEN), Lock::None);
        let (mark, null_mark) = (("m", Content::Marker, none), ("null", Content::Marker, none));
        for (what, there, before, after) in [
            ("as it was kept", vec![("1", A, locked)], &[][..], &[][..]),
            ("kept longer", vec![("1", A, Lock::Compliance(Millis(11)))], &[], &[]),
            ("written again by a retry", vec![("1", A, locked), ("2", A, locked)], &[], &[]),
            ("gone", vec![], &["missing"], &[]),
            ("gone, and a marker in its place", vec![mark], &["hidden", "missing"], &[]),
            ("hidden", vec![("1", A, locked), mark], &["hidden"], &[]),
            ("a marker where nothing was yet", vec![mark, ("1", A, locked)], &[], &[]),
            ("gone, the same in its place", vec![("2", A, locked)], &["version-gone"], &[]),
            ("gone, another in its place", vec![("2", B, locked)], &["version-gone"], &["replaced"]),
            (
                "gone, a marker and another in its place",
                vec![mark, ("2", B, none)],
                &["hidden", "version-gone"],
                &["replaced"],
            ),
            (
                "gone, something huge in its place",
                vec![("2", Content::Other, none)],
                &["version-gone"],
                &["replaced"],
            ),
            ("other bytes", vec![("1", B, locked)], &["changed"], &["changed"]),
            ("no file", vec![("1", Content::Other, none)], &["changed", "weakened"], &["changed"]),
            (
                "two others on top",
                vec![("1", A, locked), ("2", B, locked), ("3", Content::Other, none)],
                &["overwritten", "overwritten"],
                &["overwritten", "overwritten"],
            ),
            (
                "another on top, without versioning",
                vec![("1", A, locked), ("null", B, none)],
                &["overwritten"],
                &["overwritten"],
            ),
            ("hidden, without versioning", vec![("1", A, locked), null_mark], &["hidden"], &[]),
            ("another before it", vec![("0", B, locked), ("1", A, locked)], &["preceded"], &["preceded"]),
            ("in governance mode", vec![("1", A, Lock::Governance(Millis(99)))], &["weakened"], &[]),
            ("without a lock", vec![("1", A, none)], &["weakened"], &[]),
            ("a shorter date", vec![("1", A, Lock::Compliance(Millis(9)))], &["shortened"], &[]),
        ] {
            assert_eq!(found(&is("1"), &there, 9), before, "{what}, before");
            assert_eq!(found(&is("1"), &there, 10), after, "{what}, after");
        }
    }

    /// What was written while versioning was suspended has no version of its own: the next write takes its place.
    #[test]
    fn what_was_written_without_versioning_can_be_replaced() {
        for (content, lock, before, after) in [
            (A, Lock::Compliance(TEN), &[][..], &[][..]),
            (A, Lock::None, &["weakened"], &[]),
            (B, Lock::None, &["changed", "weakened"], &["changed"]),
        ] {
            let there = [("null", content, lock)];
            assert_eq!(
                (found(&is("null"), &there, 9), found(&is("null"), &there, 10)),
                (before.to_vec(), after.to_vec())
            );
        }
    }

    #[test]
    fn a_file_has_no_versions_and_one_date() {
        // The second is named by an index that knows the bucket which the folder was copied into.
        for expected in [is(""), is("1")] {
            for (content, lock, before, after) in [
                (A, Lock::ReadOnlyFile(TEN), &[][..], &[][..]),
                (A, Lock::WritableFile(TEN), &["weakened"], &[]),
                (A, Lock::ReadOnlyFile(Millis(9)), &["shortened"], &[]),
                (B, Lock::ReadOnlyFile(TEN), &["changed"], &["changed"]),
                (Content::Other, Lock::None, &["changed", "weakened"], &["changed"]),
            ] {
                let there = [("", content, lock)];
                assert_eq!(found(&expected, &there, 9), before);
                assert_eq!(found(&expected, &there, 10), after);
            }
            assert_eq!((found(&expected, &[], 9), found(&expected, &[], 10)), (vec!["missing"], vec![]));
        }
    }

    #[test]
    fn a_date_or_a_version_that_nobody_noted_is_not_made_up() {
        let dateless = Expected { retain_until: None, ..is("1") };
        assert_eq!(found(&dateless, &[], 99), ["missing"], "its date has not passed");
        assert_eq!(found(&dateless, &[("1", A, Lock::Compliance(Millis(1)))], 99), [""; 0]);
        assert_eq!(found(&dateless, &[("1", A, Lock::None)], 99), ["weakened"]);
        // The oldest is the object, as for whoever reads.
        let locked = Lock::Compliance(TEN);
        for (there, faults) in [
            ([("1", A, locked), ("2", B, locked)], ["overwritten"]),
            ([("1", B, locked), ("2", A, locked)], ["changed"]),
        ] {
            assert_eq!(
                (found(&is(""), &there, 9), found(&is(""), &there, 10)),
                (faults.to_vec(), faults.to_vec())
            );
        }
    }
}
