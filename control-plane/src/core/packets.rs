//! Packets of months that are over: the first that was made of a month is the one, and made again it is the same.
//!
//! The rule: an edition holds everything about a packet that later events would change: when it was made, the log's head of
//! then, which papers there were, what things were called. It lies in the vault before the database knows it, so a database
//! that comes from a backup does not make a second packet of one month.

use std::collections::{BTreeMap, BTreeSet};

use proto::{
    act::{Claim, Deed},
    digest::Digest,
    ids::{Incarnation, TenantId},
    log::{SignedCheckpoint, log_number},
    time::Millis,
};
use serde::{Deserialize, Serialize};

use super::{Core, CoreError, ours::first_part};
use crate::{
    bundle::{
        Bundle, Month, Place, PreviousPacket, ProviderSays, Source as _,
        export::{CosignedNote, Parts},
    },
    packet::PacketFiles,
    store::PacketRow,
};

/// What a packet was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edition {
    /// Names, times and versions.
    pub said: ProviderSays,
    /// The log's head, a signed note, with the cosignatures that it had.
    pub checkpoint: String,
    /// What witnesses that were behind had cosigned: the keys' IDs, and notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cosigned: BTreeMap<String, String>,
    /// Sizes of the checkpoints that had a timestamp.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stamps: BTreeSet<u64>,
    /// The key that signed it.
    pub key: String,
    /// Entries of the log.
    pub size: u64,
    /// Root over them.
    pub root: Digest,
    /// How many charters there were.
    pub charters: usize,
    /// How many catalogues there were.
    pub catalogues: usize,
    /// Executors that were enrolled.
    pub incarnations: BTreeSet<Incarnation>,
    /// The packet before it.
    pub previous: Option<PreviousPacket>,
    /// SHA-256 of its Markdown.
    pub markdown_sha256: Digest,
    /// SHA-256 of its PDF; `null`: there was none.
    pub pdf_sha256: Option<Digest>,
}

impl Edition {
    /// Of the packet in a bundle that was made from `parts`; `None`: there is none in it.
    #[must_use]
    pub fn of(parts: &Parts, said: &ProviderSays, bundle: &Bundle) -> Option<(Self, PacketFiles)> {
        let file = |place: Place| bundle.read(&place.to_string()).ok().map(std::borrow::Cow::into_owned);
        let markdown = String::from_utf8(file(Place::PacketMarkdown)?).ok()?;
        let files = PacketFiles { markdown, pdf: file(Place::PacketPdf) };
        let head = parts.checkpoint.checkpoint();
        let edition = Self {
            said: said.clone(),
            checkpoint: parts.checkpoint.note().to_owned(),
            cosigned: parts
                .cosigned
                .iter()
                .map(|(key, note)| (key.to_string(), String::from_utf8_lossy(note).into_owned()))
                .collect(),
            stamps: parts.stamps.keys().copied().collect(),
            key: parts.key.to_string(),
            size: head.size,
            root: Digest(head.root.0),
            charters: parts.charters.len(),
            catalogues: parts.catalogues.len(),
            incarnations: parts.appliances.iter().map(|enrolled| enrolled.incarnation).collect(),
            previous: parts.previous.clone(),
            markdown_sha256: Digest::of(files.markdown.as_bytes()),
            pdf_sha256: files.pdf.as_ref().map(|pdf| Digest::of(pdf)),
        };
        Some((edition, files))
    }

    /// As the next month's packet names it.
    pub(super) fn previous_of(row: &PacketRow) -> Option<PreviousPacket> {
        Some(PreviousPacket {
            month: row.month.parse().ok()?,
            markdown_sha256: row.markdown_sha256,
            pdf_sha256: row.pdf_sha256,
            size: row.size,
            root: row.root,
            made_at: row.made,
        })
    }

    pub(super) fn head(&self) -> Result<(SignedCheckpoint, proto::log::VerifierKey), String> {
        let key: proto::log::VerifierKey = self.key.parse().map_err(|e| format!("key of an edition: {e}"))?;
        let checkpoint = SignedCheckpoint::open(self.checkpoint.as_bytes(), std::slice::from_ref(&key))
            .map_err(|e| format!("checkpoint of an edition: {e}"))?;
        Ok((checkpoint, key))
    }

    pub(super) fn cosigned(&self) -> Vec<CosignedNote> {
        let notes = self.cosigned.iter();
        notes.filter_map(|(key, note)| Some((key.parse().ok()?, note.clone().into_bytes()))).collect()
    }

    /// Which of the clinic's logs it was made from.
    #[must_use]
    pub fn log(&self) -> u64 {
        self.head().map_or(1, |(checkpoint, _)| log_number(&checkpoint.checkpoint().origin))
    }

    fn row(&self, month: Month) -> Result<PacketRow, CoreError> {
        let edition = serde_json::to_vec(self).expect("plain data serialises");
        Ok(PacketRow {
            month: month.to_string(),
            edition,
            markdown_sha256: self.markdown_sha256,
            pdf_sha256: self.pdf_sha256,
            size: self.size,
            root: self.root,
            made: self.said.made_at,
        })
    }
}

fn edition_key(tenant: TenantId, month: &str) -> String {
    format!("{tenant}/packets/{month}.json")
}

/// By content: a packet that broke off halfway never stands in the way of the one that is kept.
fn file_key(tenant: TenantId, month: &str, digest: Digest, ending: &str) -> String {
    format!("{tenant}/packet-files/{month}-{digest}.{ending}")
}

impl Core {
    /// What a month's packet was made from, and the packet itself where another version made it; `None`: it is still to be made.
    pub fn edition(
        &mut self,
        tenant: TenantId,
        month: Month,
        now: Millis,
    ) -> Result<Option<(Edition, Option<PacketFiles>)>, CoreError> {
        self.recall_packets(tenant, month, now)?;
        let Some(row) = self.store.packet(tenant, &month.to_string())? else { return Ok(None) };
        let edition = read(tenant, &row.edition)?;
        let other = edition.said.generator != crate::bundle::GENERATOR;
        let files = if other { self.packet_files(tenant, &row)? } else { None };
        Ok(Some((edition, files)))
    }

    /// Keeps the packet of a month that is over; gives the one that counts, which is the first.
    pub fn keep_packet(
        &mut self,
        tenant: TenantId,
        month: Month,
        edition: Edition,
        files: &PacketFiles,
        now: Millis,
    ) -> Result<Edition, CoreError> {
        self.recall_packets(tenant, month, now)?;
        let name = month.to_string();
        if let Some(first) = self.store.packet(tenant, &name)? {
            return read(tenant, &first.edition);
        }
        let row = edition.row(month)?;
        let until = self.retain_until(now);
        let markdown = file_key(tenant, &name, row.markdown_sha256, "md");
        let is_strange = |_: &str, _: &[u8]| false;
        self.put_ours(&markdown, files.markdown.as_bytes(), until, is_strange)?;
        if let (Some(pdf), Some(digest)) = (&files.pdf, row.pdf_sha256) {
            self.put_ours(&file_key(tenant, &name, digest, "pdf"), pdf, until, is_strange)?;
        }
        let key = edition_key(tenant, &name);
        let is_ours = |key: &str, bytes: &[u8]| self.open_paper::<Edition>(key, bytes).is_some();
        self.put_ours(&key, &self.seal_paper(&key, &edition)?, until, is_ours)?;
        self.store.add_packet(tenant, &row)?;
        self.packet_made(tenant, &row, now)?;
        Ok(edition)
    }

    /// Takes from the vault what the database has forgotten. One that it knows was the first, and has its predecessor.
    fn recall_packets(&mut self, tenant: TenantId, month: Month, now: Millis) -> Result<(), CoreError> {
        if self.store.packet(tenant, &month.to_string())?.is_some() {
            return Ok(());
        }
        for key in self.ports.vault.list(&format!("{tenant}/packets"))? {
            let Ok(month) = first_part(&key).parse::<Month>() else { continue };
            if self.store.packet(tenant, &month.to_string())?.is_some() {
                continue;
            }
            let Some(bytes) = self.object(&key)? else { continue };
            match self.edition_there(tenant, &key, &bytes)? {
                Some(edition) => {
                    let row = edition.row(month)?;
                    self.store.add_packet(tenant, &row)?;
                    self.note_kept(&[&key])?;
                    self.packet_made(tenant, &row, now)?;
                }
                None => self.is_strange(&key)?,
            }
        }
        Ok(())
    }

    /// An edition that lies in the vault. Where the key that signed it was taken away since, the log must speak of its packet.
    pub(super) fn edition_there(
        &self,
        tenant: TenantId,
        key: &str,
        bytes: &[u8],
    ) -> Result<Option<Edition>, CoreError> {
        if let Some(edition) = self.open_paper(key, bytes) {
            return Ok(Some(edition));
        }
        let Some(edition) = self.open_old_paper::<Edition>(key, bytes) else { return Ok(None) };
        let made = (edition.markdown_sha256, edition.pdf_sha256);
        let acts = self.store.acts(tenant, "packet")?;
        // Verified before they were kept here.
        let mut said = acts.iter().filter_map(|act| Claim::read(act).ok().flatten().map(Claim::unverified));
        let is_said = said.any(|act| match act.deed {
            Deed::Packet { month, markdown, pdf } => month == first_part(key) && (markdown, pdf) == made,
            _ => false,
        });
        Ok(is_said.then_some(edition))
    }

    /// The packet of a month as it was kept; `None`: there is none, or the vault has not got it.
    pub(super) fn kept_files(&self, tenant: TenantId, month: &str) -> Result<Option<PacketFiles>, CoreError> {
        match self.store.packet(tenant, month)? {
            Some(row) => self.packet_files(tenant, &row),
            None => Ok(None),
        }
    }

    fn packet_files(&self, tenant: TenantId, row: &PacketRow) -> Result<Option<PacketFiles>, CoreError> {
        let get = |digest: Digest, ending| -> Result<Option<Vec<u8>>, CoreError> {
            let found = self.object(&file_key(tenant, &row.month, digest, ending))?;
            Ok(found.filter(|bytes| Digest::of(bytes) == digest))
        };
        let Some(markdown) = get(row.markdown_sha256, "md")?.and_then(|bytes| String::from_utf8(bytes).ok())
        else {
            return Ok(None);
        };
        let pdf = match row.pdf_sha256 {
            Some(digest) => get(digest, "pdf")?,
            None => None,
        };
        Ok(Some(PacketFiles { markdown, pdf }))
    }
}

fn read(tenant: TenantId, bytes: &[u8]) -> Result<Edition, CoreError> {
    serde_json::from_slice(bytes).map_err(|error| CoreError::Log {
        tenant: tenant.to_string(),
        problem: format!("the edition of a packet cannot be read: {error}"),
    })
}
