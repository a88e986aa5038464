//! OSCAL 1.1.3: the few objects of NIST's format that we write, as plain types, and those documents that follow from the
//! baseline and the Security Rule alone.
//!
//! The rule: **the same facts give the same bytes.** Nothing here asks a clock; every UUID is a name's (version 5), so that
//! whoever makes a document again makes the same one. A control supports a paragraph; no document says more than that.
//!
//! ```text
//!  security-rule.csv, statements.csv ──catalog──> Catalog
//!  Baseline ──component_definition──> ComponentDefinition: what is set, looked at and expected, by paragraph
//!           ──assessment_plan──────> AssessmentPlan: how each control is looked at, and how often
//!  the control plane, from a bundle ──> AssessmentResults, Poam (types here, content there)
//! ```

mod catalog;
mod common;
mod component;
mod plan;
mod results;
mod text;

use serde::Serialize;
use uuid::Uuid;

pub use catalog::{Catalog, CatalogControl, Group, Part, STATEMENTS, catalog, control_id, statement_id};
pub use common::{BackMatter, Link, Metadata, Party, Property, Resource};
pub use component::{
    Component, ComponentDefinition, Implementation, Requirement, Statement, component_definition,
};
pub use plan::{
    Activity, ActivityUse, AssessmentPlan, ControlChoice, ControlChoices, Everything, Frequency, Import,
    PlanDefinitions, ReviewedControls, Step, SubjectChoice, Task, Timing, assessment_plan, reviewed,
};
pub use results::{
    AssessmentResult, AssessmentResults, ComponentStatus, Definitions, Evidence, Finding, MitigatingFactor,
    Observation, ObservationRef, Poam, PoamItem, Response, Risk, RiskRef, Status, Subject, SystemComponent,
    SystemId, Target,
};
pub use text::{line, markup, time};

/// The version of OSCAL that is written; later tools read it too.
pub const OSCAL_VERSION: &str = "1.1.3";
/// Whose properties those are that OSCAL does not define.
pub const NS: &str = "urn:orderly:oscal:v1";
/// The file of the catalogue in this folder.
pub const CATALOG_FILE: &str = "security-rule-catalog.json";
/// When documents that follow from data in this folder last changed their form.
const LAST_MODIFIED: &str = "2026-11-29T00:00:00Z";
/// The namespace of our UUIDs: drawn once, and never to change.
const NAMESPACE: Uuid = Uuid::from_bytes([
    0x5d, 0x2f, 0x0c, 0x7e, 0x93, 0x1b, 0x4a, 0x64, 0xb8, 0x0f, 0x6e, 0x27, 0xd1, 0x3a, 0xc9, 0x50,
]);

/// A document. Serialises as OSCAL wants it: one key that says what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// Paragraphs that there are to comply with.
    Catalog(Catalog),
    /// What a component does for them.
    ComponentDefinition(ComponentDefinition),
    /// How it is to be looked at.
    AssessmentPlan(AssessmentPlan),
    /// What was found.
    AssessmentResults(AssessmentResults),
    /// What is still to be done.
    PlanOfActionAndMilestones(Poam),
}

impl Document {
    /// Its bytes: one spelling.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let indented = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut writer = serde_json::Serializer::with_formatter(&mut bytes, indented);
        self.serialize(&mut writer).expect("plain data serialises");
        bytes.push(b'\n');
        bytes
    }
}

/// The UUID of a thing, by what it is and what sets it apart from others of its kind.
#[must_use]
pub fn id(kind: &str, parts: &[&str]) -> Uuid {
    let mut name = kind.to_owned();
    for part in parts {
        // Lengths keep parts apart: no two lists of them make one name.
        name.push_str(&format!("\n{} {part}", part.len()));
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_different_things_give_different_uuids_of_the_kind_that_oscal_allows() {
        let all = [id("a", &[]), id("b", &[]), id("a", &["b"]), id("a", &["", "b"]), id("a", &["b", ""])];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(one.get_version_num(), 5);
            assert!(!all[..at].contains(one), "{one}");
        }
        assert_eq!(id("a", &["b", "c"]), id("a", &["b", "c"]));
        assert_ne!(id("a", &["b", "c"]), id("a", &["bc"]));
        // Kept in documents that were handed over: it must never come out otherwise.
        assert_eq!(id("catalog", &[]).to_string(), "b843f438-5340-5a53-a6c9-9216240cf524");
    }
}
