//! Exports in NIST's format: what a bundle's evidence says, as OSCAL 1.1.3, for whatever tools an auditor has.
//!
//! The rule: like the packet they are made from a bundle's facts and from nothing else, so that anyone who has the bundle
//! makes the same bytes. Times are those of the evidence, or when the provider says that the bundle was made. What nobody
//! could look at is never satisfied.
//!
//! ```text
//!  Facts ──Posture::new──> how each control stood on each box ──> results: observations, findings by paragraph, risks
//!    └──deeds──> restore drills, updates, incidents ──────────────┘
//!                                                            └──> poam: what is still open, since when, until when
//!  Facts.baselines ──baseline::oscal──> catalog, component definition, assessment plan
//! ```

mod deeds;
mod paper;
mod poam;
mod posture;
mod results;
mod risks;
mod seen;

use std::collections::BTreeMap;

use baseline::oscal;

use self::posture::Posture;
use crate::bundle::Facts;

/// A file of the folder `oscal` in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Export {
    /// The Security Rule's paragraphs.
    Catalog,
    /// What an appliance does for them.
    Components,
    /// How that is looked at.
    Plan,
    /// What was found.
    Results,
    /// What is still to be done; not there when nothing is.
    Poam,
}

impl Export {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Catalog, Self::Components, Self::Plan, Self::Results, Self::Poam];

    /// Its file's name.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Catalog => "catalog.json",
            Self::Components => "component-definition.json",
            Self::Plan => "assessment-plan.json",
            Self::Results => "assessment-results.json",
            Self::Poam => "poam.json",
        }
    }

    /// The file of that name.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|export| export.file() == name)
    }
}

/// Makes all of them. Same facts, same bytes.
#[must_use]
pub fn build(facts: &Facts) -> BTreeMap<Export, Vec<u8>> {
    let posture = Posture::new(facts);
    let baselines: Vec<_> = posture.baselines.values().copied().collect();
    let observations = seen::observations(&posture);
    let (risks, deeds) = (risks::risks(&posture), deeds::deeds(&posture));
    let poam = poam::document(&posture, &observations, &risks);
    let made = [
        (Export::Catalog, Some(oscal::catalog())),
        (Export::Components, Some(oscal::component_definition(&baselines, Export::Catalog.file()))),
        (Export::Plan, Some(oscal::assessment_plan(&baselines))),
        (Export::Results, Some(results::document(&posture, observations, deeds, risks))),
        (Export::Poam, poam),
    ];
    made.into_iter().filter_map(|(export, document)| Some((export, document?.encode()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_by_its_name() {
        for export in Export::ALL {
            assert_eq!(Export::of_file(export.file()), Some(export));
        }
        assert_eq!(Export::of_file("profile.json"), None);
    }
}
