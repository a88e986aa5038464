//! The Security Rule's paragraphs by name, so that a clinic owner need not look them up.
//!
//! Names and designations follow the matrix in Appendix A to Subpart C of 45 CFR Part 164; the names are short, not the
//! rule's words. An action supports a paragraph; that a clinic complies with it is for people to judge.

use std::fmt;

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

use Designation::{Addressable, Required, Standard};

impl fmt::Display for Designation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Required => "required",
            Addressable => "addressable",
            Standard => "standard",
        })
    }
}

/// A citation without `45 CFR` and blanks, as tables show it.
#[must_use]
pub fn short(citation: &str) -> String {
    let bare = citation.trim().strip_prefix("45 CFR").unwrap_or(citation);
    bare.trim().trim_start_matches('§').trim().to_owned()
}

/// Name and designation of a paragraph; `None`: not one of the Security Rule.
#[must_use]
pub fn lookup(citation: &str) -> Option<(&'static str, Designation)> {
    let short = short(citation);
    PARAGRAPHS
        .iter()
        .find(|(paragraph, ..)| *paragraph == short)
        .map(|(_, name, designation)| (*name, *designation))
}

#[rustfmt::skip]
const PARAGRAPHS: &[(&str, &str, Designation)] = &[
    ("164.308(a)(1)(i)", "Security management process", Standard),
    ("164.308(a)(1)(ii)(A)", "Security management process: risk analysis", Required),
    ("164.308(a)(1)(ii)(B)", "Security management process: risk management", Required),
    ("164.308(a)(1)(ii)(C)", "Security management process: sanction policy", Required),
    ("164.308(a)(1)(ii)(D)", "Security management process: information system activity review", Required),
    ("164.308(a)(2)", "Assigned security responsibility", Required),
    ("164.308(a)(3)(i)", "Workforce security", Standard),
    ("164.308(a)(3)(ii)(A)", "Workforce security: authorization and/or supervision", Addressable),
    ("164.308(a)(3)(ii)(B)", "Workforce security: workforce clearance procedure", Addressable),
    ("164.308(a)(3)(ii)(C)", "Workforce security: termination procedures", Addressable),
    ("164.308(a)(4)(i)", "Information access management", Standard),
    ("164.308(a)(4)(ii)(A)", "Information access management: isolating health care clearinghouse functions", Required),
    ("164.308(a)(4)(ii)(B)", "Information access management: access authorization", Addressable),
    ("164.308(a)(4)(ii)(C)", "Information access management: access establishment and modification", Addressable),
    ("164.308(a)(5)(i)", "Security awareness and training", Standard),
    ("164.308(a)(5)(ii)(A)", "Security awareness and training: security reminders", Addressable),
    ("164.308(a)(5)(ii)(B)", "Security awareness and training: protection from malicious software", Addressable),
    ("164.308(a)(5)(ii)(C)", "Security awareness and training: log-in monitoring", Addressable),
    ("164.308(a)(5)(ii)(D)", "Security awareness and training: password management", Addressable),
    ("164.308(a)(6)(i)", "Security incident procedures", Standard),
    ("164.308(a)(6)(ii)", "Security incident procedures: response and reporting", Required),
    ("164.308(a)(7)(i)", "Contingency plan", Standard),
    ("164.308(a)(7)(ii)(A)", "Contingency plan: data backup plan", Required),
    ("164.308(a)(7)(ii)(B)", "Contingency plan: disaster recovery plan", Required),
    ("164.308(a)(7)(ii)(C)", "Contingency plan: emergency mode operation plan", Required),
    ("164.308(a)(7)(ii)(D)", "Contingency plan: testing and revision procedures", Addressable),
    ("164.308(a)(7)(ii)(E)", "Contingency plan: applications and data criticality analysis", Addressable),
    ("164.308(a)(8)", "Evaluation", Required),
    ("164.308(b)(1)", "Business associate contracts and other arrangements", Standard),
    ("164.308(b)(2)", "Business associate contracts and other arrangements: subcontractors", Standard),
    ("164.308(b)(3)", "Business associate contracts and other arrangements: written contract or other arrangement", Required),
    ("164.310(a)(1)", "Facility access controls", Standard),
    ("164.310(a)(2)(i)", "Facility access controls: contingency operations", Addressable),
    ("164.310(a)(2)(ii)", "Facility access controls: facility security plan", Addressable),
    ("164.310(a)(2)(iii)", "Facility access controls: access control and validation procedures", Addressable),
    ("164.310(a)(2)(iv)", "Facility access controls: maintenance records", Addressable),
    ("164.310(b)", "Workstation use", Required),
    ("164.310(c)", "Workstation security", Required),
    ("164.310(d)(1)", "Device and media controls", Standard),
    ("164.310(d)(2)(i)", "Device and media controls: disposal", Required),
    ("164.310(d)(2)(ii)", "Device and media controls: media re-use", Required),
    ("164.310(d)(2)(iii)", "Device and media controls: accountability", Addressable),
    ("164.310(d)(2)(iv)", "Device and media controls: data backup and storage", Addressable),
    ("164.312(a)(1)", "Access control", Standard),
    ("164.312(a)(2)(i)", "Access control: unique user identification", Required),
    ("164.312(a)(2)(ii)", "Access control: emergency access procedure", Required),
    ("164.312(a)(2)(iii)", "Access control: automatic logoff", Addressable),
    ("164.312(a)(2)(iv)", "Access control: encryption and decryption", Addressable),
    ("164.312(b)", "Audit controls", Required),
    ("164.312(c)(1)", "Integrity", Standard),
    ("164.312(c)(2)", "Integrity: mechanism to authenticate ePHI", Addressable),
    ("164.312(d)", "Person or entity authentication", Required),
    ("164.312(e)(1)", "Transmission security", Standard),
    ("164.312(e)(2)(i)", "Transmission security: integrity controls", Addressable),
    ("164.312(e)(2)(ii)", "Transmission security: encryption", Addressable),
    ("164.314(a)(1)", "Business associate contracts or other arrangements", Standard),
    ("164.314(a)(2)(i)", "Business associate contracts or other arrangements: business associate contracts", Required),
    ("164.314(a)(2)(ii)", "Business associate contracts or other arrangements: other arrangements", Required),
    ("164.314(a)(2)(iii)", "Business associate contracts or other arrangements: business associate contracts with subcontractors", Required),
    ("164.314(b)(1)", "Requirements for group health plans", Standard),
    ("164.314(b)(2)(i)", "Requirements for group health plans: implement safeguards", Required),
    ("164.314(b)(2)(ii)", "Requirements for group health plans: adequate separation", Required),
    ("164.314(b)(2)(iii)", "Requirements for group health plans: agents", Required),
    ("164.314(b)(2)(iv)", "Requirements for group health plans: report security incidents", Required),
    ("164.316(a)", "Policies and procedures", Required),
    ("164.316(b)(1)", "Documentation", Standard),
    ("164.316(b)(2)(i)", "Documentation: time limit", Required),
    ("164.316(b)(2)(ii)", "Documentation: availability", Required),
    ("164.316(b)(2)(iii)", "Documentation: updates", Required),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_found_however_they_are_cited() {
        for citation in
            ["164.308(a)(7)(ii)(A)", "45 CFR 164.308(a)(7)(ii)(A)", "45 CFR § 164.308(a)(7)(ii)(A)"]
        {
            assert_eq!(
                lookup(citation),
                Some(("Contingency plan: data backup plan", Required)),
                "{citation}"
            );
        }
        assert_eq!(lookup("164.999"), None);
    }

    #[test]
    fn each_paragraph_once() {
        let mut seen = std::collections::BTreeSet::new();
        assert!(PARAGRAPHS.iter().all(|(paragraph, ..)| seen.insert(paragraph)));
    }
}
