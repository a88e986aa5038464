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
    /// Nothing at all, until released.
    Stop,
}

impl DocumentKind {
    /// Its name, in the database and in complaints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Charter => "charter",
            Self::Catalogue => "catalogue",
            Self::Policy => "policy",
            Self::Stop => "stop",
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

/// How many heads of each kind are kept that do not continue the kept one: the first is proof enough.
const SHOWN_MAX: i64 = 16;

/// A head, signed by a log key, that was not shown to continue the kept one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Size and root.
    pub head: log::Head,
    /// Whether it contradicts the kept one for certain; else the proof was missing or wrong.
    pub fork: bool,
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

    /// The newest succession that was followed.
    pub fn succession(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.0
            .query_row("SELECT envelope FROM succession ORDER BY number DESC LIMIT 1", [], |row| row.get(0))
            .optional()
            .map_err(sql("read the newest succession"))
    }

    /// Heads that were not shown to continue the kept one: those that contradict it for certain, or those that may.
    pub fn shown(&self, fork: bool) -> Result<Vec<Shown>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Shown>> {
            self.0
                .prepare_cached("SELECT size, root, note FROM shown WHERE fork = ?1 ORDER BY rowid")?
                .query_map([fork], |row| {
                    let head = log::Head {
                        size: row.get::<_, i64>(0)?.cast_unsigned(),
                        root: log::Hash(row.get(1)?),
                    };
                    Ok(Shown { head, fork, note: row.get(2)? })
                })?
                .collect()
        };
        read().map_err(sql("read the heads that do not continue the kept one"))
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

    /// Follows a succession: what was kept of the log before, and what contradicted it, is over.
    pub fn follow(&self, number: u64, envelope: &[u8]) -> Result<(), StoreError> {
        let db = &self.0.0;
        db.execute("INSERT INTO succession (number, envelope) VALUES (?1, ?2)", (bits(number), envelope))
            .and_then(|_| db.execute("DELETE FROM checkpoint", []))
            .and_then(|_| db.execute("DELETE FROM shown", []))
            .map(|_| ())
            .map_err(sql("follow a succession"))
    }

    /// Keeps a head that does not continue the kept one. None takes the place of another, and a fork stays one.
    pub fn keep_shown(&self, shown: &Shown) -> Result<(), StoreError> {
        self.0
            .0
            .execute(
                "INSERT INTO shown (size, root, fork, note)
                 SELECT :size, :root, :fork, :note WHERE (SELECT count(*) FROM shown WHERE fork = :fork) < :most
                 ON CONFLICT (size, root) DO UPDATE SET fork = max(fork, :fork)",
                named_params! {
                    ":size": bits(shown.head.size), ":root": shown.head.root.0, ":fork": shown.fork,
                    ":note": shown.note, ":most": SHOWN_MAX,
                },
            )
            .map(|_| ())
            .map_err(sql("keep a head that does not continue the kept one"))
    }

    /// Drops a head that turned out to be one of the same log.
    pub fn drop_shown(&self, head: log::Head) -> Result<(), StoreError> {
        let query = "DELETE FROM shown WHERE fork = 0 AND size = ?1 AND root = ?2";
        self.0
            .0
            .execute(query, (bits(head.size), head.root.0))
            .map(|_| ())
            .map_err(sql("drop a head that was accounted for"))
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
