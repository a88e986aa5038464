//! The paragraphs of the Security Rule (45 CFR Part 164 Subpart C) by name, so that nobody need look them up.
//!
//! An action supports a paragraph; whether a clinic complies with it is for people to judge.

use std::{fmt, sync::LazyLock};

/// The table as a file: what bundles carry.
pub const CSV: &str = include_str!("../security-rule.csv");

/// How the rule binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Designation {
    /// Must be implemented.
    Required,
    /// Must be assessed, and implemented where reasonable and appropriate; else the reason is written down.
    Addressable,
    /// A standard that is met through its specifications.
    Standard,
}

impl Designation {
    const ALL: [Self; 3] = [Self::Required, Self::Addressable, Self::Standard];

    fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Addressable => "addressable",
            Self::Standard => "standard",
        }
    }
}

impl fmt::Display for Designation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paragraph {
    /// `164.308(a)(7)(ii)(A)`.
    pub citation: &'static str,
    /// What it is about.
    pub name: &'static str,
    /// How it binds.
    pub designation: Designation,
}

static PARAGRAPHS: LazyLock<Vec<Paragraph>> = LazyLock::new(|| CSV.lines().filter_map(paragraph).collect());

fn paragraph(line: &'static str) -> Option<Paragraph> {
    let mut fields = line.split(',');
    let (citation, name, designation) = (fields.next()?, fields.next()?, fields.next()?);
    let designation = Designation::ALL.into_iter().find(|d| d.name() == designation)?;
    citation.starts_with("164.").then_some(Paragraph { citation, name, designation })
}

/// All paragraphs, in the rule's order.
#[must_use]
pub fn paragraphs() -> &'static [Paragraph] {
    &PARAGRAPHS
}

/// A citation without `45 CFR` and blanks, as tables show it.
#[must_use]
pub fn short(citation: &str) -> String {
    let bare = citation.trim().strip_prefix("45 CFR").unwrap_or(citation);
    bare.trim().trim_start_matches('§').trim().to_owned()
}

/// The paragraph that a citation means; `None`: not one of the Security Rule.
#[must_use]
pub fn lookup(citation: &str) -> Option<Paragraph> {
    let short = short(citation);
    paragraphs().iter().find(|paragraph| paragraph.citation == short).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paragraphs_are_found_however_they_are_cited() {
        for citation in
            ["164.308(a)(7)(ii)(A)", "45 CFR 164.308(a)(7)(ii)(A)", "45 CFR § 164.308(a)(7)(ii)(A)"]
        {
            let found = lookup(citation).unwrap();
            assert_eq!(
                (found.name, found.designation),
                ("Contingency plan: data backup plan", Designation::Required)
            );
        }
        assert_eq!(lookup("164.999"), None);
    }

    #[test]
    fn every_line_of_the_table_is_a_paragraph_and_each_stands_once() {
        let lines = CSV.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(paragraphs().len(), lines - 1, "all but the heading");
        let citations: BTreeSet<_> = paragraphs().iter().map(|p| p.citation).collect();
        assert_eq!(citations.len(), paragraphs().len());
        assert_eq!(paragraphs().len(), 69, "the matrix and its amendments");
    }
}
