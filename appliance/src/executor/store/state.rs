//! The one row of state: who this executor is, how far its time, its orders and its chain have come.

use std::time::Duration;

use proto::{
    digest::Digest, evidence::Head, field::BadField, ids::Incarnation, keys::PublicKey, time::Millis,
};
use rusqlite::{OptionalExtension as _, named_params};

use super::{StoreError, View, Write, bits, millis, span, sql};
use crate::world::BootId;

/// The row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Drawn when the row was written first.
    pub incarnation: Incarnation,
    /// The key that signs here.
    pub evidence_key: PublicKey,
    /// SHA-256 of the TLS key last proven; pinned from the adoption on.
    pub tls_spki: Option<Digest>,
    /// Highest order sequence seen.
    pub order_high: u64,
    /// How time stood at the last write.
    pub times: Times,
    /// End of the chain.
    pub head: Head,
    /// Active time of the newest heartbeat.
    pub heartbeat: Option<Duration>,
    /// Refusals that were only counted since then.
    pub refusals_not_signed: u64,
    /// Why orders were held when evidence last said so.
    pub held: Option<String>,
}

/// What is durable of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Certainly past.
    pub floor: Millis,
    /// Active time.
    pub active: Duration,
    /// Which boot that was in, and its boot-time clock then.
    pub boot: Option<(BootId, Duration)>,
    /// The newest moment at which trusted time was known.
    pub mark: Option<Mark>,
}

/// One moment by every clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Active time.
    pub active: Duration,
    /// Trusted time.
    pub trusted: Millis,
    /// The wall clock.
    pub wall: Millis,
    /// Which boot it was in, where the machine says so.
    pub boot: Option<BootId>,
}

impl View<'_> {
    /// The row; `None` in a new database.
    pub fn state(&self) -> Result<Option<State>, StoreError> {
        let read = |row: &rusqlite::Row<'_>| {
            Ok((
                row.get::<_, [u8; 16]>("incarnation")?,
                row.get::<_, String>("evidence_key")?,
                row.get::<_, Option<[u8; 32]>>("tls_spki")?,
                State {
                    incarnation: Incarnation([0; 16]),
                    evidence_key: PublicKey::Ed25519([0; 32]),
                    tls_spki: None,
                    order_high: row.get::<_, i64>("order_high")?.cast_unsigned(),
                    times: Times {
                        floor: Millis(row.get("floor_ms")?),
                        active: span(row.get("active")?),
                        boot: match (row.get("boot_id")?, row.get("boot")?) {
                            (Some(id), Some(at)) => Some((BootId(id), span(at))),
                            _ => None,
                        },
                        mark: match (
                            row.get("mark_active")?,
                            row.get("mark_trusted_ms")?,
                            row.get("mark_wall_ms")?,
                        ) {
                            (Some(active), Some(trusted), Some(wall)) => Some(Mark {
                                active: span(active),
                                trusted: Millis(trusted),
                                wall: Millis(wall),
                                boot: row.get::<_, Option<[u8; 16]>>("mark_boot_id")?.map(BootId),
                            }),
                            _ => None,
                        },
                    },
                    head: Head {
                        next: row.get::<_, i64>("chain_next")?.cast_unsigned(),
                        digest: Digest(row.get("chain_head")?),
                    },
                    heartbeat: row.get::<_, Option<i64>>("heartbeat_active")?.map(span),
                    refusals_not_signed: row.get::<_, i64>("refusals_not_signed")?.cast_unsigned(),
                    held: row.get("held")?,
                },
            ))
        };
        let found =
            (self.0.query_row("SELECT * FROM state", [], read)).optional().map_err(sql("read the state"))?;
        let Some((incarnation, key, spki, state)) = found else { return Ok(None) };
        Ok(Some(State {
            incarnation: Incarnation(incarnation),
            evidence_key: key.parse().map_err(|bad: BadField| bad.within("state.evidence_key"))?,
            tls_spki: spki.map(Digest),
            ..state
        }))
    }

    /// The end of the chain.
    pub fn head(&self) -> Result<Head, StoreError> {
        self.0
            .query_row("SELECT chain_next, chain_head FROM state", [], |row| {
                Ok(Head { next: row.get::<_, i64>(0)?.cast_unsigned(), digest: Digest(row.get(1)?) })
            })
            .map_err(sql("read the chain's head"))
    }
}

impl Write<'_> {
    fn change(
        &self,
        doing: &'static str,
        query: &str,
        values: &[(&str, &dyn rusqlite::ToSql)],
    ) -> Result<(), StoreError> {
        match self.0.0.execute(query, values).map_err(sql(doing))? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict("the state is not the one that this change was made for")),
        }
    }

    /// Begins an incarnation.
    pub fn begin(
        &self,
        incarnation: Incarnation,
        evidence_key: &PublicKey,
        floor: Millis,
    ) -> Result<(), StoreError> {
        self.change(
            "begin an incarnation",
            "INSERT INTO state (id, incarnation, evidence_key, floor_ms) VALUES (1, :incarnation, :key, :floor)",
            named_params! {":incarnation": incarnation.0, ":key": evidence_key.to_string(), ":floor": floor.0},
        )
    }

    /// Keeps how time stands.
    pub fn keep_times(&self, times: &Times) -> Result<(), StoreError> {
        self.change(
            "keep the time",
            "UPDATE state SET floor_ms = max(floor_ms, :floor), active = max(active, :active),
                    boot_id = iif(:active >= active, :boot_id, boot_id), boot = iif(:active >= active, :boot, boot),
                    mark_active = coalesce(:mark_active, mark_active),
                    mark_trusted_ms = coalesce(:mark_trusted, mark_trusted_ms),
                    mark_wall_ms = coalesce(:mark_wall, mark_wall_ms),
                    mark_boot_id = iif(:mark_active IS NULL, mark_boot_id, :mark_boot_id)",
            named_params! {
                ":floor": times.floor.0,
                ":active": millis(times.active),
                ":boot_id": times.boot.map(|(id, _)| id.0),
                ":boot": times.boot.map(|(_, at)| millis(at)),
                ":mark_active": times.mark.map(|mark| millis(mark.active)),
                ":mark_trusted": times.mark.map(|mark| mark.trusted.0),
                ":mark_wall": times.mark.map(|mark| mark.wall.0),
                ":mark_boot_id": times.mark.and_then(|mark| mark.boot).map(|id| id.0),
            },
        )
    }

    /// Sets the floor back to what the organization has signed: the key that raised it is withdrawn.
    pub fn take_back_floor(&self, floor: Millis) -> Result<(), StoreError> {
        self.change(
            "take the floor of time back",
            "UPDATE state SET floor_ms = :floor, mark_active = NULL, mark_trusted_ms = NULL, mark_wall_ms = NULL,
                    mark_boot_id = NULL",
            named_params! {":floor": floor.0},
        )
    }

    /// Remembers the TLS key that a proof was made for; not once it is pinned.
    pub fn prove_tls(&self, spki: Digest) -> Result<(), StoreError> {
        self.change(
            "keep the proven TLS key",
            "UPDATE state SET tls_spki = :spki WHERE tls_spki IS :spki OR NOT EXISTS (SELECT 1 FROM identity)",
            named_params! {":spki": spki.0},
        )
    }

    /// Raises the highest sequence seen from `seen` to `sequence`.
    pub fn raise_order_high(&self, seen: u64, sequence: u64) -> Result<(), StoreError> {
        if sequence <= seen {
            return Err(StoreError::Conflict("the highest sequence can only rise"));
        }
        self.change(
            "raise the highest sequence",
            "UPDATE state SET order_high = :sequence WHERE order_high = :seen",
            named_params! {":sequence": bits(sequence), ":seen": bits(seen)},
        )
    }

    /// Moves the end of the chain from `seen` to `head`.
    pub fn move_head(&self, seen: Head, head: Head) -> Result<(), StoreError> {
        self.change(
            "move the chain's head",
            "UPDATE state SET chain_next = :next, chain_head = :head WHERE chain_next = :seen AND chain_head = :seen_head",
            named_params! {
                ":next": bits(head.next), ":head": head.digest.0,
                ":seen": bits(seen.next), ":seen_head": seen.digest.0,
            },
        )
    }

    /// A heartbeat was signed: its time is kept, the count of unsigned refusals begins anew.
    pub fn beat(&self, active: Duration) -> Result<(), StoreError> {
        self.change(
            "keep the heartbeat's time",
            "UPDATE state SET heartbeat_active = :active, refusals_not_signed = 0",
            named_params! {":active": millis(active)},
        )
    }

    /// One more refusal that was not signed.
    pub fn count_refusal(&self) -> Result<(), StoreError> {
        self.change("count a refusal", "UPDATE state SET refusals_not_signed = refusals_not_signed + 1", &[])
    }

    /// What evidence last said about holding.
    pub fn keep_held(&self, held: Option<&str>) -> Result<(), StoreError> {
        self.change("keep the hold", "UPDATE state SET held = :held", named_params! {":held": held})
    }
}
