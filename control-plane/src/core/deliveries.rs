//! Packets on their way to recipients, and what comes back: mails in an outbox, acknowledgements in the log.
//!
//! The rule: a mail is kept until a mail server has taken it or never will. Whatever is tried again carries the name of the
//! first time, so that who got it twice can tell. A link is good for one acknowledgement, and only its hash is kept.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    act::{Claim, Deed, Through},
    digest::Digest,
    field::text,
    ids::TenantId,
    time::Millis,
};

use serde_json::{Value, json};

use super::{Core, CoreError};
use crate::{
    bundle::Month,
    mode::Brand,
    packet::{self, PacketFiles},
    store::{MailRow, MailState, PacketRow},
    telling::retry::PACKETS,
};

/// Mails that are taken out of the outbox at once: each carries a packet.
const AT_ONCE: u32 = 4;
/// A packet that a database from a backup hears of again is not mailed again.
const NEWS_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a link is good for, and then how late an acknowledgement is.
const LINK_FOR: Duration = Duration::from_secs(60 * 24 * 3600);
const REVIEW_WITHIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most bytes of a reviewer's name or role.
const NAME_MAX: usize = 80;
const MONTHS_SHOWN: u32 = 24;
/// The incident that says that a packet did not reach everybody.
pub(super) const UNDELIVERED: &str = "packet.undelivered";

/// Whether this server sends mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mailing {
    /// It has no mail server.
    Off,
    /// It has one; no page is to be reached by those who get mail.
    Plain,
    /// It has one, and each mail carries a link to acknowledge its packet by.
    WithLinks,
}

/// A mail that is to be sent now.
#[derive(Clone)]
pub struct Outgoing {
    /// What it is.
    pub row: MailRow,
    /// What the clinic is called.
    pub clinic: String,
    /// How whoever sends it wants to be known.
    pub brand: Brand,
    /// Which month.
    pub month: Month,
    /// The packet.
    pub files: PacketFiles,
    /// The secret of its link, where there is to be one.
    pub secret: Option<String>,
}

/// What a mail server came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It took the mail.
    Taken,
    /// Not now: it said so, or nothing.
    Later(String),
    /// It never will.
    Never(String),
}

/// A packet that was made, sent and acknowledged, as far as it was.
#[derive(Debug, Clone)]
pub struct Tracked {
    /// Whose.
    pub tenant: TenantId,
    /// What was made.
    pub packet: PacketRow,
    /// Mails of it.
    pub mails: Vec<MailRow>,
    /// Who acknowledged it.
    pub reviews: Vec<Reviewed>,
    /// Nobody did, and it is time.
    pub overdue: bool,
}

impl Tracked {
    /// SHA-256 of what people read.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        whole(&self.packet)
    }
}

/// Somebody who acknowledged a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// By what name.
    pub name: String,
    /// As what.
    pub role: String,
    /// How it came here.
    pub through: Through,
    /// When.
    pub at: Millis,
}

/// What a page shows of a packet before it is acknowledged.
#[derive(Debug, Clone)]
pub struct Page {
    /// What the clinic is called.
    pub clinic: String,
    /// Who made it, as people know them.
    pub by: String,
    /// Which month.
    pub month: Month,
    /// SHA-256 of the packet.
    pub sha256: Digest,
    /// The month in a few lines.
    pub brief: Vec<String>,
    /// Who acknowledged it already.
    pub reviews: Vec<Reviewed>,
}

impl Core {
    /// A packet was made: it is logged, and goes to the clinic's recipients.
    pub(super) fn packet_made(
        &mut self,
        tenant: TenantId,
        row: &PacketRow,
        now: Millis,
    ) -> Result<(), CoreError> {
        let (month, markdown, pdf) = (row.month.clone(), row.markdown_sha256, row.pdf_sha256);
        self.note_once(tenant, Deed::Packet { month, markdown, pdf }, now)?;
        // The act may have been read back of a packet whose mails a power cut undid; once they are out, that is an act too.
        if row.made.plus(NEWS_FOR) > now && !self.was_delivered(tenant, &row.month)? {
            self.queue_mails(tenant, &row.month, now)?;
        }
        Ok(())
    }

    fn was_delivered(&self, tenant: TenantId, of: &str) -> Result<bool, CoreError> {
        let acts = self.store.acts(tenant, "delivery")?;
        // Verified before they were kept here.
        let said = acts.iter().filter_map(|act| Claim::read(act).ok().flatten().map(Claim::unverified));
        Ok(said.into_iter().any(|act| matches!(act.deed, Deed::Delivery { month, .. } if month == of)))
    }

    /// One mail to each recipient that has none on its way; says how many.
    fn queue_mails(&mut self, tenant: TenantId, month: &str, now: Millis) -> Result<usize, CoreError> {
        if self.settings.mail == Mailing::Off {
            return Ok(0);
        }
        let before = self.store.mails(tenant, month)?;
        let mut queued = 0;
        for address in self.store.recipients(tenant)? {
            let mut to = before.iter().filter(|row| row.address == address);
            let count = to.clone().count();
            if to.any(|row| row.state == MailState::Waiting) {
                continue;
            }
            let name = Digest::of(format!("{tenant} {month} {address} {count}").as_bytes()).to_string();
            let message_id = format!("<packet-{month}-{}@{}>", &name[..32], self.settings.organization);
            self.store.add_mail((tenant, month), &address, &message_id, now)?;
            queued += 1;
        }
        Ok(queued)
    }

    /// Sends a packet once more, to the recipients of now.
    pub fn send_packet(&mut self, tenant: &str, month: Month, now: Millis) -> Result<Tracked, CoreError> {
        let tenant = self.tenant(tenant)?;
        let row = self.packet_of(tenant.id, month)?;
        if self.settings.mail == Mailing::Off {
            let why = "this server sends no mail; [mail] in config.toml names a mail server";
            return Err(CoreError::Precondition(why.into()));
        }
        if self.store.recipients(tenant.id)?.is_empty() {
            return Err(CoreError::Precondition(format!(
                "{} has no recipients; `control-plane tenant recipients` adds some",
                tenant.name
            )));
        }
        let queued = self.queue_mails(tenant.id, &row.month, now)?;
        self.changed(
            Some(tenant.id),
            "mails of a packet",
            Value::Null,
            json!({ "month": row.month, "queued": queued }),
        );
        self.tracked(tenant.id, row, now)
    }

    fn packet_of(&self, tenant: TenantId, month: Month) -> Result<PacketRow, CoreError> {
        self.store.packet(tenant, &month.to_string())?.ok_or_else(|| {
            CoreError::NotFound(format!(
                "there is no packet of {month}; `control-plane packet list` shows those that are made"
            ))
        })
    }

    /// What is to be sent now, with all that a mail needs.
    pub fn mails_to_send(&mut self, now: Millis) -> Result<Vec<Outgoing>, CoreError> {
        let mut all = Vec::new();
        for row in self.store.mails_due(now, AT_ONCE)? {
            match self.outgoing(&row, now)? {
                Some(outgoing) => all.push(outgoing),
                None => {
                    let why = "the packet is not in the vault as it was kept";
                    self.mailed(&row, &Posted::Later(why.into()), now)?;
                }
            }
        }
        Ok(all)
    }

    fn outgoing(&mut self, row: &MailRow, now: Millis) -> Result<Option<Outgoing>, CoreError> {
        let Ok(month) = row.month.parse::<Month>() else { return Ok(None) };
        let Some(tenant) = self.store.tenant(row.tenant)? else { return Ok(None) };
        let Some(files) = self.kept_files(row.tenant, &row.month)? else { return Ok(None) };
        let secret = match self.settings.mail {
            // Each try has its own: what was kept of the one before is a hash.
            Mailing::WithLinks => {
                let secret = self.secret();
                self.store.add_review_link(Digest::of(secret.as_bytes()), row, now.plus(LINK_FOR), now)?;
                Some(secret)
            }
            Mailing::Off | Mailing::Plain => None,
        };
        let brand = self.brand().clone();
        Ok(Some(Outgoing { row: row.clone(), clinic: tenant.name, brand, month, files, secret }))
    }

    /// What a mail server came to.
    pub fn mailed(&mut self, row: &MailRow, posted: &Posted, now: Millis) -> Result<(), CoreError> {
        let (error, again) = match posted {
            Posted::Taken => ("", None),
            Posted::Later(error) => (error.as_str(), PACKETS.again(row.attempts + 1, None)),
            Posted::Never(error) => (error.as_str(), None),
        };
        let state = if *posted == Posted::Taken { MailState::Sent } else { MailState::Refused };
        let ended = match again {
            Some(wait) => {
                self.store.mail_delayed(row.id, now.plus(wait), error, now)?;
                false
            }
            None => self.store.mail_ended(row.id, state, error, now)?,
        };
        if ended { self.delivery_ended(row.tenant, &row.month, now) } else { Ok(()) }
    }

    /// Once no mail of a packet waits any more it is logged what became of them; and a person hears who got none.
    fn delivery_ended(&mut self, tenant: TenantId, month: &str, now: Millis) -> Result<(), CoreError> {
        let mails = self.store.mails(tenant, month)?;
        let newest: BTreeMap<&str, MailState> =
            mails.iter().map(|row| (row.address.as_str(), row.state)).collect();
        let count = |wanted| newest.values().filter(|state| **state == wanted).count() as u64;
        let (sent, refused) = (count(MailState::Sent), count(MailState::Refused));
        let Some(row) = self.store.packet(tenant, month)? else { return Ok(()) };
        if count(MailState::Waiting) > 0 {
            return Ok(());
        }
        let packet = whole(&row);
        self.note_act(tenant, Deed::Delivery { month: month.to_owned(), packet, sent, refused }, now);
        if refused > 0 {
            let why = format!(
                "the packet of {month} reached {sent} recipients and not {refused}; `control-plane packet list` says why"
            );
            self.call_clinic_daily(tenant, UNDELIVERED, &why, now)?;
        }
        Ok(())
    }

    /// Whether this server sends any mail.
    #[must_use]
    pub fn sends_mail(&self) -> bool {
        self.settings.mail != Mailing::Off
    }

    /// Packets, newest first; of one clinic or of all.
    pub fn tracked_packets(
        &mut self,
        tenant: &str,
        most: u32,
        now: Millis,
    ) -> Result<Vec<Tracked>, CoreError> {
        let tenant = self.tenant_filter(tenant)?;
        let most = if most == 0 { MONTHS_SHOWN } else { most.min(1000) };
        let rows = self.store.packets(tenant, most)?;
        rows.into_iter().map(|(tenant, row)| self.tracked(tenant, row, now)).collect()
    }

    fn tracked(&self, tenant: TenantId, packet: PacketRow, now: Millis) -> Result<Tracked, CoreError> {
        let (mails, reviews) = (self.store.mails(tenant, &packet.month)?, self.reviews(tenant, &packet)?);
        let overdue = reviews.is_empty() && packet.made.plus(REVIEW_WITHIN) < now;
        Ok(Tracked { tenant, packet, mails, reviews, overdue })
    }

    fn reviews(&self, tenant: TenantId, packet: &PacketRow) -> Result<Vec<Reviewed>, CoreError> {
        let whole = whole(packet);
        let acts = self.store.acts(tenant, "review")?;
        let acts = acts.iter().filter_map(|envelope| Claim::read(envelope).ok().flatten());
        Ok(acts
            .map(Claim::unverified)
            .filter_map(|act| match act.deed {
                Deed::Review { month, packet: of, name, role, through }
                    if month == packet.month && of == whole =>
                {
                    Some(Reviewed { name, role, through, at: act.at })
                }
                _ => None,
            })
            .collect())
    }

    /// A person acknowledged a packet, and an operator writes it down.
    pub fn review_packet(
        &mut self,
        tenant: &str,
        month: Month,
        (name, role): (&str, &str),
        now: Millis,
    ) -> Result<Tracked, CoreError> {
        let tenant = self.tenant(tenant)?.id;
        let row = self.packet_of(tenant, month)?;
        let reviewed = self.note_review(tenant, &row, (name, role), Through::Operator, now)?;
        let mut tracked = self.tracked(tenant, row, now)?;
        // It is in the log when the command has ended; the answer speaks of it now.
        tracked.reviews.push(reviewed);
        tracked.overdue = false;
        Ok(tracked)
    }

    /// What the page behind a link shows; `None`: the link is unknown, used or too old.
    pub fn review_page(&mut self, secret: &str, now: Millis) -> Result<Option<Page>, CoreError> {
        let Some((tenant, row)) = self.linked(secret, now)? else { return Ok(None) };
        let (Some(of), Some(files)) = (self.store.tenant(tenant)?, self.kept_files(tenant, &row.month)?)
        else {
            return Ok(None);
        };
        Ok(Some(Page {
            clinic: of.name,
            by: self.brand().name_of(&self.settings.organization).to_owned(),
            month: row.month.parse()?,
            sha256: whole(&row),
            brief: packet::brief(&files.markdown),
            reviews: self.reviews(tenant, &row)?,
        }))
    }

    /// Whoever has a link acknowledges its packet, once; `false`: the link is unknown, used or too old.
    pub fn review_by_link(
        &mut self,
        secret: &str,
        reviewer: (&str, &str),
        now: Millis,
    ) -> Result<bool, CoreError> {
        let Some((tenant, row)) = self.linked(secret, now)? else { return Ok(false) };
        self.note_review(tenant, &row, reviewer, Through::Link, now)?;
        Ok(self.store.use_review_link(Digest::of(secret.as_bytes()))?)
    }

    fn linked(&self, secret: &str, now: Millis) -> Result<Option<(TenantId, PacketRow)>, CoreError> {
        let Some((tenant, month)) = self.store.review_link(Digest::of(secret.as_bytes()), now)? else {
            return Ok(None);
        };
        Ok(self.store.packet(tenant, &month)?.map(|row| (tenant, row)))
    }

    fn note_review(
        &mut self,
        tenant: TenantId,
        row: &PacketRow,
        (name, role): (&str, &str),
        through: Through,
        now: Millis,
    ) -> Result<Reviewed, CoreError> {
        let (name, role) = (text("name", name.trim(), NAME_MAX)?, text("role", role.trim(), NAME_MAX)?);
        let deed = Deed::Review {
            month: row.month.clone(),
            packet: whole(row),
            name: name.clone(),
            role: role.clone(),
            through,
        };
        self.note_act(tenant, deed, now);
        Ok(Reviewed { name, role, through, at: now })
    }
}

/// SHA-256 of what people read: the PDF, where there is one.
fn whole(row: &PacketRow) -> Digest {
    row.pdf_sha256.unwrap_or(row.markdown_sha256)
}
