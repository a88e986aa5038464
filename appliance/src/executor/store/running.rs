//! The newest beat, and what runs on the box.

use proto::{
    evidence::{Software, Token},
    field::BadField,
    time::Millis,
};
use rusqlite::{OptionalExtension as _, named_params};

use super::{StoreError, View, Write, bits, millis, span, sql};
use crate::{
    executor::pulse::{Moment, Pulse},
    world::BootId,
};

impl View<'_> {
    /// The newest beat; of a box that never made one, none.
    pub fn pulse(&self) -> Result<Pulse, StoreError> {
        let query = "SELECT boot_id, boot, wall_ms, beats FROM beat";
        let read = |row: &rusqlite::Row<'_>| {
            let boot_id = row.get::<_, Option<[u8; 16]>>(0)?.map(BootId);
            let last = Moment { boot_id, boot: span(row.get(1)?), wall: Millis(row.get(2)?) };
            Ok((last, row.get::<_, String>(3)?))
        };
        let found = self.0.query_row(query, [], read).optional().map_err(sql("read the newest beat"))?;
        let Some((last, beats)) = found else { return Ok(Pulse::default()) };
        let beats = serde_json::from_str(&beats)
            .map_err(|_| BadField::new("beat.beats", "must be what an executor wrote"))?;
        Ok(Pulse { last: Some(last), beats })
    }

    /// What ran when somebody last looked.
    pub fn software(&self) -> Result<Option<Software>, StoreError> {
        let query = "SELECT program, system, generation FROM software";
        let read = |row: &rusqlite::Row<'_>| {
            let generation = row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned);
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, generation))
        };
        let found = self.0.query_row(query, [], read).optional().map_err(sql("read what ran"))?;
        let Some((program, system, generation)) = found else { return Ok(None) };
        let token = |text: String| Token::try_from(text).map_err(|bad| bad.within("software"));
        Ok(Some(Software { program: token(program)?, system: system.map(token).transpose()?, generation }))
    }
}

impl Write<'_> {
    /// Keeps the newest beat.
    pub fn keep_pulse(&self, pulse: &Pulse) -> Result<(), StoreError> {
        let Some(last) = &pulse.last else { return Ok(()) };
        let beats = serde_json::to_string(&pulse.beats).unwrap_or_default();
        let kept = self.0.0.execute(
            "INSERT OR REPLACE INTO beat (id, boot_id, boot, wall_ms, beats) VALUES (1, :boot_id, :boot, :wall, :beats)",
            named_params! {
                ":boot_id": last.boot_id.map(|id| id.0), ":boot": millis(last.boot), ":wall": last.wall.0, ":beats": beats,
            },
        );
        kept.map(|_| ()).map_err(sql("keep a beat"))
    }

    /// Keeps what runs.
    pub fn keep_software(&self, software: &Software) -> Result<(), StoreError> {
        let kept = self.0.0.execute(
            "INSERT OR REPLACE INTO software (id, program, system, generation) VALUES (1, :program, :system, :generation)",
            named_params! {
                ":program": software.program.as_str(),
                ":system": software.system.as_ref().map(Token::as_str),
                ":generation": software.generation.map(bits),
            },
        );
        kept.map(|_| ()).map_err(sql("keep what runs"))
    }
}
