//! The Security Rule as a catalogue: each paragraph of the table, in the rule's order, under its section.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Serialize;
use uuid::Uuid;

use super::{Document, Link, Metadata, Property, id};
use crate::rule;

/// What each paragraph asks for, and what supports it. The file says where that was read.
pub const STATEMENTS: &str = include_str!("../../oscal/statements.csv");

const RULE: &str = "https://www.ecfr.gov/current/title-45/subtitle-A/subchapter-C/part-164/subpart-C";
const REFERENCES: &str = "https://csrc.nist.gov/projects/cprt";
/// Sections, as the rule calls them.
const SECTIONS: [(&str, &str, &str); 5] = [
    ("164.308", "hipaa-164-308", "Administrative safeguards"),
    ("164.310", "hipaa-164-310", "Physical safeguards"),
    ("164.312", "hipaa-164-312", "Technical safeguards"),
    ("164.314", "hipaa-164-314", "Organizational requirements"),
    ("164.316", "hipaa-164-316", "Policies and procedures and documentation requirements"),
];

/// Paragraphs that there are to comply with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Catalog {
    /// Its UUID.
    pub uuid: Uuid,
    /// What it is.
    pub metadata: Metadata,
    /// Sections.
    pub groups: Vec<Group>,
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// `hipaa-164-308`.
    pub id: &'static str,
    /// Its name.
    pub title: &'static str,
    /// Its paragraphs.
    pub controls: Vec<CatalogControl>,
}

/// A paragraph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogControl {
    /// `hipaa-164-312-a-1`.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// Its citation, how it binds, and what supports it.
    pub props: Vec<Property>,
    /// What it asks for.
    pub parts: Vec<Part>,
}

/// A part of a paragraph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `hipaa-164-312-a-1_smt`.
    pub id: String,
    /// `statement`.
    pub name: &'static str,
    /// In few words.
    pub prose: String,
}

/// What `statements.csv` has of a paragraph.
struct Asked {
    supports: Vec<&'static str>,
    statement: &'static str,
}

static ASKED: LazyLock<BTreeMap<&'static str, Asked>> = LazyLock::new(|| {
    let row = |line: &'static str| {
        let mut fields = line.splitn(3, ',');
        let (citation, supports, statement) = (fields.next()?, fields.next()?, fields.next()?);
        let supports = supports.split_whitespace().collect();
        citation.starts_with("164.").then_some((citation, Asked { supports, statement }))
    };
    STATEMENTS.lines().filter_map(row).collect()
});

/// What a paragraph is called in the catalogue, however it is cited; `None`: not one of the Security Rule.
#[must_use]
pub fn control_id(citation: &str) -> Option<String> {
    let paragraph = rule::lookup(citation)?;
    let plain = paragraph.citation.replace(['.', '('], "-").replace(')', "");
    Some(format!("hipaa-{}", plain.to_ascii_lowercase()))
}

/// What its statement is called.
#[must_use]
pub fn statement_id(control_id: &str) -> String {
    format!("{control_id}_smt")
}

/// The catalogue of the Security Rule.
#[must_use]
pub fn catalog() -> Document {
    let links = [
        (RULE, "The rule itself"),
        (REFERENCES, "SP 800-66 revision 2 to SP 800-53 revision 5.1.1, informative references"),
    ];
    let metadata = Metadata {
        links: links
            .into_iter()
            .map(|(href, text)| Link { href: href.into(), rel: "reference", text: Some(text.into()) })
            .collect(),
        ..Metadata::of_data(
            "HIPAA Security Rule, 45 CFR Part 164 Subpart C (164.308 to 164.316)".into(),
            "1".into(),
            "Paragraphs as in the matrix of the rule's Appendix A; 164.308(b), 164.314 and 164.316 as amended in 2013. Titles and \
             statements are short and not the rule's own words: quote the rule itself. Controls of SP 800-53 support a paragraph; \
             they are never the same as it.",
        )
    };
    let group = |(section, id, title): (&str, &'static str, &'static str)| {
        let of_section = rule::paragraphs().iter().filter(|paragraph| {
            paragraph.citation.strip_prefix(section).is_some_and(|rest| rest.starts_with('('))
        });
        Group { id, title, controls: of_section.filter_map(control).collect() }
    };
    Document::Catalog(Catalog {
        uuid: id("catalog", &[]),
        metadata,
        groups: SECTIONS.into_iter().map(group).collect(),
    })
}

fn control(paragraph: &rule::Paragraph) -> Option<CatalogControl> {
    let id = control_id(paragraph.citation)?;
    let asked = ASKED.get(paragraph.citation)?;
    let mut props = vec![
        Property::oscal("label", paragraph.citation),
        Property::own("designation", &paragraph.designation.to_string()),
    ];
    props.extend(asked.supports.iter().map(|control| Property::own("supported-by-sp800-53r5", control)));
    let parts = vec![Part { id: statement_id(&id), name: "statement", prose: asked.statement.to_owned() }];
    Some(CatalogControl { id, title: paragraph.name.to_owned(), props, parts })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_paragraph_of_the_table_is_in_it_once_with_what_it_asks_for() {
        let Document::Catalog(catalog) = catalog() else { panic!() };
        let controls: Vec<_> = catalog.groups.iter().flat_map(|group| &group.controls).collect();
        let labels: Vec<&str> = controls.iter().map(|control| control.props[0].value.as_str()).collect();
        let table: Vec<&str> = rule::paragraphs().iter().map(|paragraph| paragraph.citation).collect();
        assert_eq!(labels, table);
        let ids: BTreeSet<_> = controls.iter().map(|control| &control.id).collect();
        assert_eq!(ids.len(), controls.len(), "no two citations make one name");
        assert!(controls.iter().all(|control| control.parts[0].prose.len() > 10));
        assert_eq!(ASKED.len(), table.len(), "a statement too many");
    }

    #[test]
    fn a_citation_has_one_name_however_it_is_written() {
        for citation in ["164.308(a)(1)(ii)(D)", "45 CFR 164.308(a)(1)(ii)(D)"] {
            assert_eq!(control_id(citation).unwrap(), "hipaa-164-308-a-1-ii-d");
        }
        assert_eq!(control_id("164.999"), None);
        assert_eq!(statement_id("hipaa-164-312-d"), "hipaa-164-312-d_smt");
    }
}
