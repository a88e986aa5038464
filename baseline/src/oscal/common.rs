//! What all documents have in common: metadata, properties, links, parties, and resources that are referred to.

use serde::Serialize;
use uuid::Uuid;

use super::{LAST_MODIFIED, NS, OSCAL_VERSION, line};

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metadata {
    /// For people.
    pub title: String,
    /// When its content was settled.
    pub last_modified: String,
    /// Of the content.
    pub version: String,
    /// Of the format.
    pub oscal_version: &'static str,
    /// Whatever else is to be said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub props: Vec<Property>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Who it speaks of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parties: Vec<Party>,
    /// How it is to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remarks: Option<String>,
}

impl Metadata {
    /// Of a document that follows from the data in this folder.
    pub(super) fn of_data(title: String, version: String, remarks: &str) -> Self {
        Self {
            title,
            last_modified: LAST_MODIFIED.to_owned(),
            version,
            oscal_version: OSCAL_VERSION,
            props: Vec::new(),
            links: Vec::new(),
            parties: Vec::new(),
            remarks: Some(remarks.to_owned()),
        }
    }
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// Who says what the name means; `None`: OSCAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: Option<&'static str>,
    /// The value, in one line.
    pub value: String,
}

impl Property {
    /// One of ours.
    #[must_use]
    pub fn own(name: &'static str, value: &str) -> Self {
        Self { name, ns: Some(NS), value: line(value) }
    }

    /// One that OSCAL defines.
    #[must_use]
    pub fn oscal(name: &'static str, value: &str) -> Self {
        Self { name, ns: None, value: line(value) }
    }
}

/// A reference to something outside of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Where.
    pub href: String,
    /// In what relation.
    pub rel: &'static str,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A person or an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Party {
    /// Its UUID.
    pub uuid: Uuid,
    /// `organization`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remarks: Option<String>,
}

/// Things that the document refers to by their UUID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackMatter {
    /// Each of them.
    pub resources: Vec<Resource>,
}

/// Such a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Its UUID.
    pub uuid: Uuid,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
}
