//! What was believed: identity, charter, catalogue, policy, checkpoints, and proven restores.

use std::time::Duration;

use proto::{digest::Digest, evidence::Identity, field::BadField, ids::WatchId, log};
use rusqlite::{OptionalExtension as _, named_params};

use super::{StoreError, View, Write, bits, millis, span, sql};

/// Kinds of signed documents, of which the newest is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// Who may sign what.
    Charter,
    /// What may be done.
    Catalogue,
    /// What of it, when and how often.
    Policy,
}

impl DocumentKind {
    /// Its name, in the database and in complaints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Charter => "charter",
            Self::Catalogue => "catalogue",
            Self::Policy => "policy",
        }
    }
}

/// The newest document of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Serial or version.
    pub serial: u64,
    /// SHA-256 of its payload.
    pub digest: Digest,
    /// The envelope's bytes.
    pub envelope: Vec<u8>,
}

/// Who this executor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// By name.
    pub identity: Identity,
    /// The certificate's bytes.
    pub certificate: Vec<u8>,
}

/// The newest checkpoint verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// Size and root.
    pub head: log::Head,
    /// The signed note.
    pub note: String,
}

/// A checkpoint, signed by a log key, that was not shown to continue the kept one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Whether it contradicts the kept one for certain; else the proof was missing or wrong.
    pub fork: bool,
    /// Its size.
    pub size: u64,
    /// The signed note, for people to compare.
    pub note: String,
}

impl View<'_> {
    /// The newest document of a kind.
    pub fn document(&self, kind: DocumentKind) -> Result<Option<Document>, StoreError> {
        self.0
            .query_row(
                "SELECT serial, digest, envelope FROM document WHERE kind = ?1",
                [kind.name()],
                |row| {
                    Ok(Document {
                        serial: row.get::<_, i64>(0)?.cast_unsigned(),
                        digest: Digest(row.get(1)?),
                        envelope: row.get(2)?,
                    })
                },
            )
            .optional()
            .map_err(sql("read a document"))
    }

    /// Who this executor is.
    pub fn identity(&self) -> Result<Option<Adopted>, StoreError> {
        let found = self
            .0
            .query_row("SELECT organization, tenant, appliance, certificate FROM identity", [], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get(3)?))
            })
            .optional()
            .map_err(sql("read the identity"))?;
        let Some((organization, tenant, appliance, certificate)) = found else { return Ok(None) };
        let within = |bad: BadField| bad.within("identity");
        let identity = Identity {
            organization,
            tenant: tenant.parse().map_err(within)?,
            appliance: appliance.parse().map_err(within)?,
        };
        Ok(Some(Adopted { identity, certificate }))
    }

    /// The newest checkpoint verified.
    pub fn checkpoint(&self) -> Result<Option<KeptCheckpoint>, StoreError> {
        self.0
            .query_row("SELECT size, root, note FROM checkpoint", [], |row| {
                let head =
                    log::Head { size: row.get::<_, i64>(0)?.cast_unsigned(), root: log::Hash(row.get(1)?) };
                Ok(KeptCheckpoint { head, note: row.get(2)? })
            })
            .optional()
            .map_err(sql("read the checkpoint"))
    }

    /// The checkpoint that does not continue the kept one.
    pub fn alarm(&self) -> Result<Option<Alarm>, StoreError> {
        self.0
            .query_row("SELECT fork, size, note FROM alarm", [], |row| {
                Ok(Alarm {
                    fork: row.get(0)?,
                    size: row.get::<_, i64>(1)?.cast_unsigned(),
                    note: row.get(2)?,
                })
            })
            .optional()
            .map_err(sql("read the alarm"))
    }

    /// Active time at which a restore from this repository was last proven.
    pub fn restore_proven(&self, watch: &WatchId) -> Result<Option<Duration>, StoreError> {
        self.0
            .query_row("SELECT proven_active FROM restore WHERE watch = ?1", [watch.as_str()], |row| {
                row.get::<_, i64>(0).map(span)
            })
            .optional()
            .map_err(sql("read the proven restore"))
    }
}

impl Write<'_> {
    /// Keeps a document in the place of an older one of its kind.
    pub fn keep_document(&self, kind: DocumentKind, document: &Document) -> Result<(), StoreError> {
        self.0
            .0
            .execute(
                "INSERT INTO document (kind, serial, digest, envelope) VALUES (:kind, :serial, :digest, :envelope)
                 ON CONFLICT (kind) DO UPDATE SET serial = :serial, digest = :digest, envelope = :envelope",
                named_params! {
                    ":kind": kind.name(), ":serial": bits(document.serial),
                    ":digest": document.digest.0, ":envelope": document.envelope,
                },
            )
            .map(|_| ())
            .map_err(sql("keep a document"))
    }

    /// Keeps who this executor is: once for good, later only with another certificate.
    pub fn keep_identity(&self, adopted: &Adopted) -> Result<(), StoreError> {
        let Identity { organization, tenant, appliance } = &adopted.identity;
        let changed = self
            .0
            .0
            .execute(
                "INSERT INTO identity (id, organization, tenant, appliance, certificate)
                 VALUES (1, :organization, :tenant, :appliance, :certificate)
                 ON CONFLICT (id) DO UPDATE SET certificate = :certificate
                 WHERE organization = :organization AND tenant = :tenant AND appliance = :appliance",
                named_params! {
                    ":organization": organization, ":tenant": tenant.to_string(),
                    ":appliance": appliance.to_string(), ":certificate": adopted.certificate,
                },
            )
            .map_err(sql("keep the identity"))?;
        if changed == 1 {
            Ok(())
        } else {
            Err(StoreError::Conflict("this executor is another appliance already"))
        }
    }

    /// Keeps a checkpoint that continues the one kept before.
    pub fn keep_checkpoint(&self, checkpoint: &KeptCheckpoint) -> Result<(), StoreError> {
        self.0
            .0
            .execute(
                "INSERT INTO checkpoint (id, size, root, note) VALUES (1, :size, :root, :note)
                 ON CONFLICT (id) DO UPDATE SET size = :size, root = :root, note = :note",
                named_params! {
                    ":size": bits(checkpoint.head.size), ":root": checkpoint.head.root.0, ":note": checkpoint.note,
                },
            )
            .map(|_| ())
            .map_err(sql("keep the checkpoint"))
    }

    /// Keeps an alarm. A certain fork is never replaced.
    pub fn keep_alarm(&self, alarm: &Alarm) -> Result<(), StoreError> {
        self.0
            .0
            .execute(
                "INSERT INTO alarm (id, fork, size, note) VALUES (1, :fork, :size, :note)
                 ON CONFLICT (id) DO UPDATE SET fork = :fork, size = :size, note = :note WHERE fork = 0",
                named_params! {":fork": alarm.fork, ":size": bits(alarm.size), ":note": alarm.note},
            )
            .map(|_| ())
            .map_err(sql("keep the alarm"))
    }

    /// Drops an alarm that was not certain: the missing proof came.
    pub fn drop_alarm(&self) -> Result<(), StoreError> {
        self.0.0.execute("DELETE FROM alarm WHERE fork = 0", []).map(|_| ()).map_err(sql("drop the alarm"))
    }

    /// A restore from this repository was proven.
    pub fn prove_restore(&self, watch: &WatchId, active: Duration) -> Result<(), StoreError> {
        self.0
            .0
            .execute(
                "INSERT INTO restore (watch, proven_active) VALUES (:watch, :active)
                 ON CONFLICT (watch) DO UPDATE SET proven_active = :active",
                named_params! {":watch": watch.as_str(), ":active": millis(active)},
            )
            .map(|_| ())
            .map_err(sql("keep the proven restore"))
    }
}
