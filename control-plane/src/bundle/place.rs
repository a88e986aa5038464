//! Places: where each thing lies in a bundle.
//!
//! The rule: one thing has one place, and its name says what it must be. A path that does not read back as it is written
//! is no place, so nothing can lie in a bundle twice or unseen.

use std::{fmt, str::FromStr};

use proto::{
    digest::Digest,
    ids::{ApplianceId, Incarnation},
    log::{self, KeyId, Tile},
};

use crate::oscal::Export;

/// One file of a bundle. Prints as its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The index of all the others.
    Manifest,
    /// The packet for people with an editor.
    PacketMarkdown,
    /// The packet for people with a printer.
    PacketPdf,
    /// A record: its index in the log, and the SHA-256 of the file.
    Evidence(u64, Digest),
    /// Proof that a record is in the log (C2SP tlog-proof).
    Proof(u64),
    /// Bulk that a record names, by its SHA-256.
    Attachment(Digest),
    /// An order or a standing order, by the SHA-256 of its signed payload, as records name it.
    Order(Digest),
    /// Last month's packet: what it was called, and the log as it stood then.
    PreviousPacket,
    /// A charter by its serial.
    Charter(u64),
    /// By what word a log follows another: by the number of the one that begins ([`proto::succession`]).
    Succession(u64),
    /// A catalogue by its version.
    Catalogue(u64),
    /// The Security Rule's paragraphs, which runbooks cite ([`baseline::rule`]).
    SecurityRule,
    /// What scans are judged by, by the SHA-256 of the file, as records cite it ([`baseline::Baseline`]).
    Baseline(Digest),
    /// An exception from it that clinics decided on, by the SHA-256 of the file, as records name it
    /// ([`baseline::Exception`]).
    Exception(Digest),
    /// The same evidence in NIST's format ([`crate::oscal`]).
    Oscal(Export),
    /// Whose evidence key it is.
    Appliance(ApplianceId, Incarnation),
    /// The log's signed head (C2SP tlog-checkpoint).
    Checkpoint,
    /// The newest head that an outside witness has cosigned, where that is not the log's newest (C2SP tlog-cosignature).
    /// By the ID of its key.
    Cosigned(KeyId),
    /// The key that signed it, as a C2SP verifier key.
    VerifierKey,
    /// The same for other people's verifiers (C2SP tlog-policy).
    Policy,
    /// A tile of the log (C2SP tlog-tiles).
    Tile(Tile),
    /// The entries of a tile, where somebody wants them twice.
    Entries(log::Bundle),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => f.write_str("manifest.json"),
            Self::PacketMarkdown => f.write_str("packet.md"),
            Self::PacketPdf => f.write_str("packet.pdf"),
            Self::Evidence(index, digest) => write!(f, "evidence/{index:08}-{digest}.json"),
            Self::Proof(index) => write!(f, "proofs/{index:08}.tlog-proof"),
            Self::Attachment(digest) => write!(f, "attachments/{digest}"),
            Self::Order(digest) => write!(f, "orders/{digest}.json"),
            Self::PreviousPacket => f.write_str("packet/previous.json"),
            Self::Charter(serial) => write!(f, "charter/{serial}.json"),
            Self::Succession(log) => write!(f, "succession/{log}.json"),
            Self::Catalogue(version) => write!(f, "catalogue/{version}.json"),
            Self::SecurityRule => f.write_str("baseline/security-rule.csv"),
            Self::Baseline(digest) => write!(f, "baseline/{digest}.json"),
            Self::Exception(digest) => write!(f, "exceptions/{digest}.json"),
            Self::Oscal(export) => write!(f, "oscal/{}", export.file()),
            Self::Appliance(appliance, incarnation) => write!(f, "appliances/{appliance}-{incarnation}.json"),
            Self::Checkpoint => f.write_str("log/checkpoint"),
            Self::Cosigned(witness) => write!(f, "log/cosigned/{witness}"),
            Self::VerifierKey => f.write_str("log/vkey"),
            Self::Policy => f.write_str("log/policy"),
            Self::Tile(tile) => write!(f, "log/{tile}"),
            Self::Entries(entries) => write!(f, "log/{entries}"),
        }
    }
}

/// Not a place of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a place of a bundle")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;
    fn from_str(path: &str) -> Result<Self, NoPlace> {
        let (folder, name) = path.split_once('/').unwrap_or(("", path));
        let json = || name.strip_suffix(".json");
        let read = || {
            Some(match (folder, name) {
                ("", "manifest.json") => Self::Manifest,
                ("", "packet.md") => Self::PacketMarkdown,
                ("", "packet.pdf") => Self::PacketPdf,
                ("evidence", _) => {
                    let (index, digest) = json()?.split_once('-')?;
                    Self::Evidence(index.parse().ok()?, digest.parse().ok()?)
                }
                ("proofs", _) => Self::Proof(name.strip_suffix(".tlog-proof")?.parse().ok()?),
                ("attachments", _) => Self::Attachment(name.parse().ok()?),
                ("orders", _) => Self::Order(json()?.parse().ok()?),
                ("packet", "previous.json") => Self::PreviousPacket,
                ("charter", _) => Self::Charter(json()?.parse().ok()?),
                ("succession", _) => Self::Succession(json()?.parse().ok()?),
                ("catalogue", _) => Self::Catalogue(json()?.parse().ok()?),
                ("baseline", "security-rule.csv") => Self::SecurityRule,
                ("baseline", _) => Self::Baseline(json()?.parse().ok()?),
                ("exceptions", _) => Self::Exception(json()?.parse().ok()?),
                ("oscal", _) => Self::Oscal(Export::of_file(name)?),
                ("appliances", _) => {
                    let (appliance, incarnation) = json()?.rsplit_once('-')?;
                    Self::Appliance(appliance.parse().ok()?, incarnation.parse().ok()?)
                }
                ("log", "checkpoint") => Self::Checkpoint,
                ("log", "vkey") => Self::VerifierKey,
                ("log", "policy") => Self::Policy,
                ("log", _) if name.starts_with("cosigned/") => {
                    Self::Cosigned(name.strip_prefix("cosigned/")?.parse().ok()?)
                }
                ("log", _) if name.starts_with("tile/entries/") => Self::Entries(name.parse().ok()?),
                ("log", _) => Self::Tile(name.parse().ok()?),
                _ => return None,
            })
        };
        read().filter(|place| place.to_string() == path).ok_or(NoPlace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_reads_back() {
        let digest = Digest::of(b"x");
        let appliance = "0190a0c0-0000-7000-8000-000000000002".parse().unwrap();
        for place in [
            Place::Manifest,
            Place::PacketMarkdown,
            Place::PacketPdf,
            Place::Evidence(7, digest),
            Place::Evidence(u64::MAX, digest),
            Place::Proof(123_456_789),
            Place::Attachment(digest),
            Place::Order(digest),
            Place::PreviousPacket,
            Place::Charter(3),
            Place::Succession(2),
            Place::Catalogue(1),
            Place::SecurityRule,
            Place::Baseline(digest),
            Place::Exception(digest),
            Place::Oscal(Export::Catalog),
            Place::Oscal(Export::Poam),
            Place::Appliance(appliance, Incarnation([0xab; 16])),
            Place::Checkpoint,
            Place::Cosigned(KeyId([0x0a, 0xb0, 0, 7])),
            Place::VerifierKey,
            Place::Policy,
            Place::Tile(Tile::new(1, 1234, 5).unwrap()),
            Place::Entries(log::Bundle::new(0, 256).unwrap()),
        ] {
            assert_eq!(place.to_string().parse(), Ok(place.clone()), "{place}");
        }
    }

    #[test]
    fn a_thing_has_one_name() {
        let digest = Digest::of(b"x").to_string();
        for path in [
            "",
            "manifest.json ",
            "/manifest.json",
            "./manifest.json",
            "log/../manifest.json",
            "charter/01.json",
            "charter/+1.json",
            "charter/1.JSON",
            "proofs/7.tlog-proof",
            "proofs/000000007.tlog-proof",
            "log/cosigned/AB000007",
            "log/cosigned/ab00007",
            "log/cosigned/ab000007/",
            "log/tile/0/0",
            "log/tile/00/000",
            &format!("evidence/7-{digest}.json"),
            &format!("evidence/00000007-{}.json", digest.to_uppercase()),
            &format!("attachments/{digest}.json"),
            &format!("baseline/{digest}"),
            "baseline/hipaa-v1.json",
            "oscal/profile.json",
            &format!("exceptions/{digest}"),
            &format!("appliances/0190a0c0-0000-7000-8000-000000000002-{}.json", "AB".repeat(16)),
        ] {
            assert_eq!(path.parse::<Place>(), Err(NoPlace), "{path}");
        }
    }
}
