//! Assessment results, and plans of action and milestones: types alone. What they say comes from evidence.

use serde::Serialize;
use uuid::Uuid;

use super::{
    Metadata, Property,
    plan::{Import, ReviewedControls},
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AssessmentResults {
    /// Its UUID.
    pub uuid: Uuid,
    /// What it is.
    pub metadata: Metadata,
    /// The plan that was followed.
    pub import_ap: Import,
    /// One for each period.
    pub results: Vec<AssessmentResult>,
}

/// What was found in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AssessmentResult {
    /// Its UUID.
    pub uuid: Uuid,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
    /// Begin of the period.
    pub start: String,
    /// Its end.
    pub end: String,
    /// Where the evidence stands.
    pub props: Vec<Property>,
    /// The appliances.
    #[serde(skip_serializing_if = "Definitions::is_empty")]
    pub local_definitions: Definitions,
    /// The paragraphs that were looked into.
    pub reviewed_controls: ReviewedControls,
    /// What was seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<Observation>,
    /// What can happen because of that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// What it comes to, by paragraph.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How it is to be read.
    pub remarks: String,
}

/// Things that the document speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Definitions {
    /// The appliances.
    pub components: Vec<SystemComponent>,
}

impl Definitions {
    /// Whether there are none; OSCAL allows no empty list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.components.is_empty()
    }
}

/// An appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SystemComponent {
    /// Its UUID.
    pub uuid: Uuid,
    /// `hardware`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it is called.
    pub title: String,
    /// For people.
    pub description: String,
    /// What it is known by.
    pub props: Vec<Property>,
    /// That it is in use.
    pub status: ComponentStatus,
}

/// Whether it is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentStatus {
    /// `operational`.
    pub state: &'static str,
}

/// What was seen of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Observation {
    /// Its UUID.
    pub uuid: Uuid,
    /// For people.
    pub title: String,
    /// What was seen.
    pub description: String,
    /// How it stands.
    pub props: Vec<Property>,
    /// `TEST`: a program looked.
    pub methods: Vec<&'static str>,
    /// `control-objective`.
    pub types: Vec<&'static str>,
    /// On what.
    pub subjects: Vec<Subject>,
    /// By what one knows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relevant_evidence: Vec<Evidence>,
    /// When.
    pub collected: String,
    /// What else is to be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remarks: Option<String>,
}

/// A thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subject {
    /// Which.
    pub subject_uuid: Uuid,
    /// `component`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it is called.
    pub title: String,
}

/// A file that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The file, as seen from this one.
    pub href: String,
    /// What it is.
    pub description: String,
    /// Its digest, and its place in the log.
    pub props: Vec<Property>,
}

/// What it comes to for one paragraph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Its UUID.
    pub uuid: Uuid,
    /// The paragraph.
    pub title: String,
    /// What was found.
    pub description: String,
    /// How it stands.
    pub target: Target,
    /// By what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related_observations: Vec<ObservationRef>,
    /// What can happen because of that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related_risks: Vec<RiskRef>,
}

/// How a paragraph stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Target {
    /// `statement-id`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its statement's name in the catalogue.
    pub target_id: String,
    /// The verdict.
    pub status: Status,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// `satisfied` or `not-satisfied`.
    pub state: &'static str,
    /// `pass`, `fail` or `other`.
    pub reason: &'static str,
    /// Why.
    pub remarks: String,
}

/// An observation of this document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObservationRef {
    /// Which.
    pub observation_uuid: Uuid,
}

/// A risk of this document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RiskRef {
    /// Which.
    pub risk_uuid: Uuid,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Risk {
    /// Its UUID: the same in every period as long as it is open.
    pub uuid: Uuid,
    /// For people.
    pub title: String,
    /// What is wrong.
    pub description: String,
    /// What can happen because of that.
    pub statement: String,
    /// How bad, and since when.
    pub props: Vec<Property>,
    /// `open`, `investigating` or `deviation-approved`.
    pub status: &'static str,
    /// What is done instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mitigating_factors: Vec<MitigatingFactor>,
    /// Until when it must be resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What puts it right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remediations: Vec<Response>,
    /// By what one knows it.
    pub related_observations: Vec<ObservationRef>,
}

/// What is done instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MitigatingFactor {
    /// Its UUID.
    pub uuid: Uuid,
    /// For people.
    pub description: String,
}

/// What puts it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Response {
    /// Its UUID.
    pub uuid: Uuid,
    /// `planned` or `recommendation`.
    pub lifecycle: &'static str,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
}

/// What is still to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Poam {
    /// Its UUID.
    pub uuid: Uuid,
    /// What it is.
    pub metadata: Metadata,
    /// Whose.
    pub system_id: SystemId,
    /// The appliances.
    #[serde(skip_serializing_if = "Definitions::is_empty")]
    pub local_definitions: Definitions,
    /// What was seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<Observation>,
    /// What can happen because of that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// One for each risk.
    pub poam_items: Vec<PoamItem>,
}

/// A system by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SystemId {
    /// What kind of name it is.
    pub identifier_type: &'static str,
    /// The name.
    pub id: String,
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoamItem {
    /// Its UUID: the same in every period as long as it is open.
    pub uuid: Uuid,
    /// For people.
    pub title: String,
    /// What is to be done.
    pub description: String,
    /// How long it has been open.
    pub props: Vec<Property>,
    /// By what one knows it.
    pub related_observations: Vec<ObservationRef>,
    /// What can happen because of it.
    pub related_risks: Vec<RiskRef>,
}
