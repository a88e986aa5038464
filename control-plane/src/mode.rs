//! The two ways to run this control plane, and all that differs between them.
//!
//! The rule: what differs stands in [`of`], and whoever does something differently asks it. Which mode holds for a clinic is
//! an act in its log, so an auditor reads it signed, and a change is seen; as long as no act says so, it is `reseller`. A brand
//! is the provider's word, and is shown beside the name that the log is signed in, never in its place.
//!
//! ```text
//!                              reseller                              direct
//!  who runs it                 a service provider, for customers     the clinic's own organization
//!  people read, packets say    the provider's name                   the organization's own
//!  an auditor is shown         a business associate agreement, or    that there is no service provider, and
//!                              that it is missing                    so nobody to have one with
//!  who approves                the provider's people everywhere, a   the organization's people everywhere
//!                              clinic's own in that clinic alone
//!  who is told of incidents    the channels of the settings          these, and each clinic's recipients
//!  who gets packets            each clinic's recipients              the same
//! ```

use std::collections::BTreeMap;

pub use proto::act::Mode;
use proto::{
    field::{BadField, text},
    ids::TenantId,
};
use serde::{Deserialize, Serialize};

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Differs {
    /// What whoever runs it is called in a packet.
    pub runner: &'static str,
    /// Whether whoever runs it handles what is the clinic's as somebody else: 45 CFR 164.308(b)(1).
    pub needs_agreement: bool,
    /// Whether approvers may be a clinic's own people, who then count there alone.
    pub binds_approvers: bool,
    /// Whether a clinic's recipients hear of its incidents.
    pub tells_recipients: bool,
}

/// What holds in a mode.
#[must_use]
pub const fn of(mode: Mode) -> Differs {
    match mode {
        Mode::Reseller => Differs {
            runner: "service provider",
            needs_agreement: true,
            binds_approvers: true,
            tells_recipients: false,
        },
        Mode::Direct => Differs {
            runner: "organization",
            needs_agreement: false,
            binds_approvers: false,
            tells_recipients: true,
        },
    }
}

/// How whoever runs this wants to be known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brand {
    /// By what name; empty: by the trust domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where people ask for help: an address, a number, a page; empty: nobody said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
}

impl Brand {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The name for people.
    #[must_use]
    pub fn name_of<'n>(&'n self, organization: &'n str) -> &'n str {
        if self.name.is_empty() { organization } else { &self.name }
    }

    /// The name for people who check: with the trust domain, which is what is signed.
    #[must_use]
    pub fn whole_name(&self, organization: &str) -> String {
        match self.name.as_str() {
            "" => organization.to_owned(),
            name => format!("{name} ({organization})"),
        }
    }

    /// What it must hold to: it is printed.
    pub fn check(&self) -> Result<(), BadField> {
        for (field, value, most) in [("brand.name", &self.name, 80), ("brand.contact", &self.contact, 120)] {
            if !value.is_empty() {
                text(field, value, most)?;
            }
        }
        Ok(())
    }
}

/// How this control plane is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// In which mode.
    pub mode: Mode,
    /// Under which name.
    pub brand: Brand,
    /// Approvers who are a clinic's own people: by their name in the charter, the clinic's name or ID.
    pub approvers: BTreeMap<String, String>,
}

impl Default for Running {
    fn default() -> Self {
        Self { mode: Mode::Reseller, brand: Brand::default(), approvers: BTreeMap::new() }
    }
}

impl Running {
    /// Whether an approver of that name counts in a clinic. Who may approve at all, the charter says.
    #[must_use]
    pub fn may_approve(&self, approver: &str, (id, name): (TenantId, &str)) -> bool {
        let bound = self.approvers.get(approver).filter(|_| of(self.mode).binds_approvers);
        bound.is_none_or(|clinic| *clinic == name || *clinic == id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clinics_own_approver_counts_there_alone_where_a_provider_has_many() {
        let approvers = [("dr-lee".to_owned(), "Elm".to_owned())].into();
        let mut running = Running { approvers, ..Running::default() };
        let id = |n: u8| -> TenantId { format!("0190a0c0-0000-7000-8000-0000000000{n:02}").parse().unwrap() };
        let may = |running: &Running| {
            [("ann", "Elm"), ("ann", "Oak"), ("dr-lee", "Elm"), ("dr-lee", "Oak")]
                .map(|(approver, clinic)| running.may_approve(approver, (id(1), clinic)))
        };
        assert_eq!(may(&running), [true, true, true, false]);
        running.approvers = [("dr-lee".to_owned(), id(1).to_string())].into();
        assert!(
            running.may_approve("dr-lee", (id(1), "renamed"))
                && !running.may_approve("dr-lee", (id(2), "Oak"))
        );
        running.mode = Mode::Direct;
        assert_eq!(may(&running), [true; 4]);
    }

    #[test]
    fn a_brand_stands_beside_the_name_that_is_signed() {
        let brand = Brand { name: "Acme IT".into(), contact: String::new() };
        assert_eq!(
            (brand.name_of("msp.example"), Brand::default().name_of("msp.example")),
            ("Acme IT", "msp.example")
        );
        assert_eq!(brand.whole_name("msp.example"), "Acme IT (msp.example)");
        assert!(Brand { name: "two\nlines".into(), contact: String::new() }.check().is_err());
        assert!(Brand { name: "x".repeat(81), contact: String::new() }.check().is_err());
        assert_eq!(Brand::default().check(), Ok(()));
    }
}
