//! The words in which deeds say what was changed, decided or ended: closed lists.

use crate::ids::{ApplianceId, SiteId};

crate::vocabulary! {
    /// What of a policy was changed.
    pub enum Change as "change" {
        /// Shadow mode: plan and report, do not act.
        Shadow = "shadow",
        /// When people work in the clinic.
        ClinicHours = "clinic-hours",
        /// Maintenance windows.
        Windows = "windows",
        /// Settings of the clinic's own.
        Settings = "settings",
        /// Settings of the clinic's own, by a template.
        Template = "template",
        /// Settings of one of its places.
        Site = "site",
        /// Settings of the organization, which hold for every clinic.
        Organization = "organization",
        /// Nothing but the key that signs it.
        Signature = "signature",
        /// Something else.
        Other = "other",
    }
}

crate::vocabulary! {
    /// At which level something holds.
    pub enum Level as "level" {
        /// Everywhere.
        Organization = "organization",
        /// In one clinic.
        Tenant = "tenant",
        /// At one of its places.
        Site = "site",
        /// On one box.
        Appliance = "appliance",
    }
}

crate::vocabulary! {
    /// What people said, or did not.
    pub enum Verdict as "verdict" {
        /// They were asked.
        Asked = "asked",
        /// One approver has agreed.
        Approved = "approved",
        /// Somebody said no.
        Rejected = "rejected",
        /// Nobody, or not enough, agreed in time.
        Expired = "expired",
        /// What was asked for is not what would be done any more.
        Void = "void",
    }
}

crate::vocabulary! {
    /// Who runs a control plane for a clinic.
    pub enum Mode as "mode" {
        /// A service provider, for clinics that are its customers.
        Reseller = "reseller",
        /// The organization that the clinic belongs to, for itself.
        Direct = "direct",
    }
}

crate::vocabulary! {
    /// How an acknowledgement came to the control plane.
    pub enum Through as "through" {
        /// On the page behind a one-time link that was mailed to a recipient.
        Link = "link",
        /// An operator was told, and wrote it down.
        Operator = "operator",
    }
}

crate::vocabulary! {
    /// How an incident ended.
    pub enum End as "end" {
        /// The fault is gone after an order.
        Resolved = "resolved",
        /// A person was told.
        Escalated = "escalated",
        /// The fault went away by itself.
        Withdrawn = "withdrawn",
    }
}

/// Where orders were held, for a person.
pub(super) fn held_at(level: Level, site: Option<&SiteId>, appliance: Option<&ApplianceId>) -> String {
    match (level, site, appliance) {
        (Level::Organization, ..) => "everywhere".into(),
        (Level::Tenant, ..) => "in the whole clinic".into(),
        (Level::Site, Some(site), _) => format!("at site {site}"),
        (Level::Appliance, _, Some(appliance)) => format!("on appliance {appliance}"),
        (Level::Site | Level::Appliance, ..) => format!("at a {level}"),
    }
}
