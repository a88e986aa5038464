//! One clinic's log, grown from what is committed, entry by entry: it knows the root of every size.

use std::collections::BTreeMap;

use anyhow::ensure;
use control_plane::store::Store;
use proto::{
    digest::Digest,
    ids::TenantId,
    log::{Hash, Head, MemoryTiles, append, leaf_hash},
};

/// How many entries are read at once.
const PAGE: u32 = 1_000;

/// A log.
pub(super) struct Log {
    tiles: MemoryTiles,
    head: Head,
    roots: Vec<Hash>,
    index: BTreeMap<Digest, u64>,
}

impl Default for Log {
    fn default() -> Self {
        Self { tiles: MemoryTiles::default(), head: Head::EMPTY, roots: Vec::new(), index: BTreeMap::new() }
    }
}

impl Log {
    /// Takes what was committed since, and compares the heads.
    pub(super) fn follow(&mut self, store: &Store, tenant: TenantId) -> anyhow::Result<()> {
        for row in store.evidence(tenant, self.head.size, PAGE)? {
            ensure!(
                row.log_index == self.head.size,
                "log entry {} follows {}",
                row.log_index,
                self.head.size
            );
            ensure!(
                row.sha256 == Digest::of(&row.envelope),
                "log entry {} is not what it is called",
                row.log_index
            );
            let twice = self.index.insert(row.sha256, row.log_index);
            ensure!(twice.is_none(), "log entries {twice:?} and {} are the same", row.log_index);
            let appended = append(&self.tiles, self.head, &[leaf_hash(&row.envelope)])?;
            self.tiles.write(appended.writes);
            self.head = appended.head;
            self.roots.push(appended.head.root);
        }
        let log = store.log_head(tenant)?;
        ensure!(log.halted.is_none(), "the log of {tenant} is halted: {:?}", log.halted);
        ensure!(
            log.head == self.head,
            "the log of {tenant} stands at {:?}, its entries say {:?}",
            log.head,
            self.head
        );
        Ok(())
    }

    /// All of it is still what it was.
    pub(super) fn is_unchanged(&self, store: &Store, tenant: TenantId) -> anyhow::Result<()> {
        let rows = store.evidence(tenant, 0, u32::MAX)?;
        ensure!(rows.len() as u64 == self.head.size, "the log of {tenant} has {} entries", rows.len());
        for row in rows {
            let known = self.index.get(&Digest::of(&row.envelope));
            ensure!(known == Some(&row.log_index), "log entry {} of {tenant} was changed", row.log_index);
        }
        Ok(())
    }

    /// Whether that envelope is in it.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.index.contains_key(&digest)
    }

    /// Its root when it had that size.
    pub(super) fn root(&self, size: u64) -> Option<Hash> {
        self.roots.get(usize::try_from(size.checked_sub(1)?).ok()?).copied()
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }
}
