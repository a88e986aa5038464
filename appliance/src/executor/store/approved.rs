//! Documents that people approved: of each slot the newest that was ever taken, withdrawn ones too.

use proto::{
    digest::Digest,
    document::{DOCUMENTS_MAX, Slot},
    field::BadField,
    sealed::OpeningKey,
};
use rusqlite::named_params;

use super::{Document, StoreError, View, Write, bits, sql};

impl View<'_> {
    /// The private key that secrets are sealed to.
    pub fn opening_key(&self) -> Result<Option<OpeningKey>, StoreError> {
        let key =
            self.0.query_row("SELECT opening_key FROM state", [], |row| row.get::<_, Option<[u8; 32]>>(0));
        Ok(key.map_err(sql("read the opening key"))?.map(OpeningKey::new))
    }

    /// All that are kept, by slot.
    pub fn approved(&self) -> Result<Vec<(Slot, Document)>, StoreError> {
        type Row = (String, Slot, Document);
        let read = || -> rusqlite::Result<Vec<Row>> {
            self.0
                .prepare_cached("SELECT kind, name, for_one, serial, digest, envelope FROM approved")?
                .query_map([], |row| {
                    let serial = row.get::<_, i64>(3)?.cast_unsigned();
                    let document = Document { serial, digest: Digest(row.get(4)?), envelope: row.get(5)? };
                    let kind = proto::document::Kind::Exception;
                    Ok((row.get(0)?, Slot { kind, name: row.get(1)?, is_for_one: row.get(2)? }, document))
                })?
                .collect()
        };
        let within = |bad: BadField| bad.within("approved");
        let rows = read().map_err(sql("read the approved documents"))?.into_iter();
        rows.map(|(kind, slot, document)| {
            Ok((Slot { kind: kind.parse().map_err(within)?, ..slot }, document))
        })
        .collect()
    }
}

impl Write<'_> {
    /// Keeps the private key that secrets are sealed to.
    pub fn keep_opening_key(&self, key: &OpeningKey) -> Result<(), StoreError> {
        let kept = self.0.0.execute("UPDATE state SET opening_key = ?1", [key.to_bytes()]);
        kept.map(|_| ()).map_err(sql("keep the opening key"))
    }

    /// Keeps a document in the place of the one before it. `false`: there is no room for another.
    pub fn keep_approved(&self, slot: &Slot, document: &Document) -> Result<bool, StoreError> {
        let kept = self.0.0.execute(
            "INSERT INTO approved (kind, name, for_one, serial, digest, envelope)
             SELECT :kind, :name, :for_one, :serial, :digest, :envelope
             WHERE (SELECT count(*) FROM approved) < :most
                OR EXISTS (SELECT 1 FROM approved WHERE kind = :kind AND name = :name AND for_one = :for_one)
             ON CONFLICT (kind, name, for_one) DO UPDATE
                SET serial = :serial, digest = :digest, envelope = :envelope",
            named_params! {
                ":kind": slot.kind.as_str(), ":name": slot.name, ":for_one": slot.is_for_one,
                ":serial": bits(document.serial), ":digest": document.digest.0, ":envelope": document.envelope,
                ":most": i64::try_from(DOCUMENTS_MAX).unwrap_or(i64::MAX),
            },
        );
        Ok(kept.map_err(sql("keep an approved document"))? == 1)
    }
}
