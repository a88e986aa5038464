//! What the versions of one key mean. Decides only: whoever asks has listed and read them.
//!
//! The rule: the oldest version that is no delete marker is the object. S3 refuses to delete or change a locked version,
//! and lets anybody with the right to write put another on top or hide all behind a marker; neither is the object.

use proto::{digest::Digest, time::Millis};

use super::Kept;

/// All that lies under one key, the oldest version first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Versions and delete markers.
    pub versions: Vec<Version>,
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// In the store's own words; empty where a store has no versions.
    pub id: String,
    /// What it holds.
    pub content: Content,
    /// What protects it.
    pub lock: Lock,
}

/// What a version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Bytes of this SHA-256.
    Bytes(Digest),
    /// Nothing: it says that the key was deleted.
    Marker,
    /// Something that no vault writes: a folder, a link, more than an object may have.
    Other,
}

/// What protects a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Object Lock that nobody can lift before the date.
    Compliance(Millis),
    /// Object Lock that whoever has the right can lift.
    Governance(Millis),
    /// None.
    None,
    /// A file that nobody may write; the file system's owner can all the same.
    ReadOnlyFile(Millis),
    /// A file that somebody made writable.
    WritableFile(Millis),
}

impl Lock {
    /// Until when, if it is as strong as the store allows.
    #[must_use]
    pub fn holds_until(self) -> Option<Millis> {
        match self {
            Self::Compliance(until) | Self::ReadOnlyFile(until) => Some(until),
            Self::Governance(_) | Self::None | Self::WritableFile(_) => None,
        }
    }
}

impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compliance(until) => write!(f, "locked in COMPLIANCE mode until {until}"),
            Self::Governance(until) => write!(f, "locked in GOVERNANCE mode until {until}"),
            Self::None => f.write_str("not locked"),
            Self::ReadOnlyFile(until) => write!(f, "a read-only file to be kept until {until}"),
            Self::WritableFile(until) => write!(f, "a writable file to be kept until {until}"),
        }
    }
}

impl Seen {
    /// The version that is the object.
    #[must_use]
    pub fn object(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.content != Content::Marker)
    }

    /// How the object lies there.
    #[must_use]
    pub fn kept(&self) -> Option<Kept> {
        let object = self.object()?;
        let Content::Bytes(sha256) = object.content else { return None };
        let retain_until = object.lock.holds_until().unwrap_or(Millis(0));
        Some(Kept { version: object.id.clone(), sha256, retain_until })
    }
}

/// What to do about an object that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is none yet: write it, then look again.
    Write,
    /// It is there, and its lock must be made stronger or longer; then look again.
    Extend {
        /// Which version.
        version: String,
    },
    /// It is there as asked.
    Done(Kept),
    /// Another lies there, and stays.
    Changed {
        /// Its digest; all zero when it is nothing that a vault writes.
        kept: Digest,
    },
}

/// The next step towards `offered` being kept until `until`. Whoever lost a race gets the winner's version, if the
/// bytes are the same; of two that differ one is told so, whichever server asks.
#[must_use]
pub fn next_step(seen: &Seen, offered: Digest, until: Millis) -> Step {
    let Some(object) = seen.object() else { return Step::Write };
    match object.content {
        Content::Bytes(kept) if kept != offered => Step::Changed { kept },
        Content::Bytes(sha256) => match object.lock.holds_until() {
            Some(retain_until) if retain_until >= until => {
                Step::Done(Kept { version: object.id.clone(), sha256, retain_until })
            }
            _ => Step::Extend { version: object.id.clone() },
        },
        Content::Marker | Content::Other => Step::Changed { kept: Digest([0; 32]) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Content = Content::Bytes(Digest([1; 32]));
    const B: Content = Content::Bytes(Digest([2; 32]));
    const FIVE: Millis = Millis(5_000);

    fn seen(versions: &[(&str, Content, Lock)]) -> Seen {
        let version = |&(id, content, lock): &(&str, Content, Lock)| Version { id: id.into(), content, lock };
        Seen { versions: versions.iter().map(version).collect() }
    }

    fn done(version: &str, until: Millis) -> Step {
        Step::Done(Kept { version: version.into(), sha256: Digest([1; 32]), retain_until: until })
    }

    #[test]
    fn the_oldest_version_decides_for_everybody() {
        let locked = Lock::Compliance(FIVE);
        let extend = |version: &str| Step::Extend { version: version.into() };
        let other = Step::Changed { kept: Digest([2; 32]) };
        let mark = ("m", Content::Marker, Lock::None);
        for (what, there, step) in [
            ("nothing there", vec![], Step::Write),
            ("only a delete marker", vec![mark], Step::Write),
            ("mine", vec![("1", A, locked)], done("1", FIVE)),
            ("kept longer", vec![("1", A, Lock::Compliance(Millis(9_000)))], done("1", Millis(9_000))),
            ("kept shorter", vec![("1", A, Lock::Compliance(Millis(4_999)))], extend("1")),
            ("weaker", vec![("1", A, Lock::Governance(Millis(9_000)))], extend("1")),
            ("not locked", vec![("1", A, Lock::None)], extend("1")),
            ("somebody else's", vec![("1", B, locked)], other.clone()),
            (
                "no object at all",
                vec![("1", Content::Other, Lock::None)],
                Step::Changed { kept: Digest([0; 32]) },
            ),
            ("another was first, with other bytes", vec![("1", B, locked), ("2", A, locked)], other),
            ("another was first, with the same", vec![("1", A, locked), ("2", A, locked)], done("1", FIVE)),
            ("another came later", vec![("1", A, locked), ("2", B, locked)], done("1", FIVE)),
            ("hidden behind a marker", vec![("1", A, locked), mark], done("1", FIVE)),
            ("a marker was there before", vec![mark, ("1", A, locked)], done("1", FIVE)),
            ("a file", vec![("", A, Lock::ReadOnlyFile(FIVE))], done("", FIVE)),
            ("a writable file", vec![("", A, Lock::WritableFile(FIVE))], extend("")),
        ] {
            assert_eq!(next_step(&seen(&there), Digest([1; 32]), FIVE), step, "{what}");
        }
    }

    #[test]
    fn what_is_hidden_or_overwritten_is_still_the_object() {
        let locked = Lock::Compliance(FIVE);
        let all = seen(&[("m", Content::Marker, Lock::None), ("1", A, locked), ("2", B, locked)]);
        assert_eq!(all.kept().map(|kept| kept.version), Some("1".to_owned()));
        assert_eq!(seen(&[("m", Content::Marker, Lock::None)]).kept(), None);
        assert_eq!(seen(&[("1", Content::Other, Lock::None)]).kept(), None);
    }
}
