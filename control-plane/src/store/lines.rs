//! Lines of logs: what the boxes redacted and sent, for as long as there is room.
//!
//! Each box has so much room of its own; its oldest lines go first. They are for people who look into a fault: no
//! decision rests on them, and no evidence.

use proto::{
    ids::{ApplianceId, TenantId},
    sync::{Lines, unpack_lines},
    time::Millis,
};
use rusqlite::{OptionalExtension as _, params};

use super::{
    Store, StoreError,
    convert::{Col, col},
};

/// What a record counts for beyond its bytes.
const ROW: u64 = 256;

/// Lines that stood together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinesRow {
    /// Of which log.
    pub watch: String,
    /// When they were read.
    pub at: Millis,
    /// Of which file.
    pub file: u64,
    /// Where the first began.
    pub offset: u64,
    /// All of them, each with its line feed.
    pub text: String,
}

impl Store {
    /// Keeps lines; the box's oldest go until it has no more than `most` bytes here.
    pub fn add_lines(
        &self,
        tenant: TenantId,
        appliance: ApplianceId,
        lines: &Lines,
        most: u64,
        now: Millis,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached("INSERT INTO lines VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
            .execute(params![
                Col(tenant),
                Col(appliance),
                lines.watch.as_str(),
                Col(lines.place.file),
                Col(lines.place.offset),
                Col(lines.place.length),
                lines.count,
                lines.size(),
                lines.packed(),
                Col(lines.at),
                Col(now)
            ])?;
        let weight: i64 = self
            .db
            .prepare_cached(
                "INSERT INTO lines_account VALUES (?1, ?2, ?3) ON CONFLICT (appliance) DO UPDATE
                 SET taken = taken + excluded.taken, weight = weight + excluded.weight RETURNING weight",
            )?
            .query_row(
                params![Col(appliance), lines.count, Col(lines.packed().len() as u64 + ROW)],
                |row| row.get(0),
            )?;
        self.drop_lines(appliance, weight.cast_unsigned(), most)
    }

    fn drop_lines(&self, appliance: ApplianceId, mut weight: u64, most: u64) -> Result<(), StoreError> {
        while weight > most {
            let dropped: Option<i64> = self
                .db
                .prepare_cached(
                    "DELETE FROM lines WHERE id = (SELECT min(id) FROM lines WHERE appliance = ?1)
                     RETURNING length(packed)",
                )?
                .query_row([Col(appliance)], |row| row.get(0))
                .optional()?;
            let Some(dropped) = dropped else { break };
            let less = dropped.cast_unsigned() + ROW;
            weight = weight.saturating_sub(less);
            self.db
                .prepare_cached("UPDATE lines_account SET weight = weight - ?2 WHERE appliance = ?1")?
                .execute(params![Col(appliance), Col(less)])?;
        }
        Ok(())
    }

    /// How many lines ever came from a box.
    pub fn lines_taken(&self, appliance: ApplianceId) -> Result<u64, StoreError> {
        let taken = self
            .db
            .prepare_cached("SELECT taken FROM lines_account WHERE appliance = ?1")?
            .query_row([Col(appliance)], |row| col(row, "taken"))
            .optional()?;
        Ok(taken.unwrap_or_default())
    }

    /// The newest records of a box, or of one of its logs, that hold `most` lines together and no more than `bytes`; in
    /// the order in which they came.
    pub fn newest_lines(
        &self,
        appliance: ApplianceId,
        watch: Option<&str>,
        most: u64,
        bytes: u64,
    ) -> Result<Vec<LinesRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM lines WHERE appliance = ?1 AND (?2 IS NULL OR watch = ?2) ORDER BY id DESC",
        )?;
        let mut rows = statement.query(params![Col(appliance), watch])?;
        let (mut found, mut lines, mut held) = (Vec::new(), 0, 0);
        while lines < most
            && let Some(row) = rows.next()?
        {
            let (size, packed): (u32, Vec<u8>) = (row.get("size")?, row.get("packed")?);
            held += u64::from(size);
            if held > bytes && !found.is_empty() {
                break;
            }
            let text =
                unpack_lines(size, &packed).map_err(|_| StoreError::Corrupt { column: "lines.packed" })?;
            lines += row.get::<_, i64>("count")?.cast_unsigned();
            found.push(LinesRow {
                watch: row.get("watch")?,
                at: col(row, "at_ms")?,
                file: col(row, "file")?,
                offset: col(row, "offset")?,
                text,
            });
        }
        found.reverse();
        Ok(found)
    }
}
