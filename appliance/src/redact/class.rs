//! The kinds of identifier, and the words that stand in their place.

/// One of the eighteen identifiers of 45 CFR 164.514(b)(2)(i), by its letter there, or a whole HL7 segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// (A) names, logins with them
    Name,
    /// (B) geographic subdivisions smaller than a state
    Place,
    /// (C) elements of dates other than the year, ages over 89
    Date,
    /// (D) telephone numbers
    Phone,
    /// (E) fax numbers
    Fax,
    /// (F) electronic mail addresses
    Email,
    /// (G) social security numbers
    Ssn,
    /// (H) medical record numbers
    Mrn,
    /// (I) health plan beneficiary numbers
    Plan,
    /// (J) account numbers
    Account,
    /// (K) certificate and licence numbers
    Licence,
    /// (L) vehicle identifiers and serial numbers, plates
    Vehicle,
    /// (M) device identifiers and serial numbers
    Device,
    /// (N) web addresses
    Url,
    /// (O) Internet protocol addresses
    Ip,
    /// (P) biometric identifiers: the files that hold them
    Biometric,
    /// (Q) photographs: the files that hold them
    Photo,
    /// (R) any other unique number, characteristic or code; whatever has no known harmless shape
    Code,
    /// the fields of an HL7 v2 segment, which may hold any of them
    Hl7,
}

/// Every class, with its mark.
const ALL: [(Class, &str); 19] = [
    (Class::Name, "<name>"),
    (Class::Place, "<place>"),
    (Class::Date, "<date>"),
    (Class::Phone, "<phone>"),
    (Class::Fax, "<fax>"),
    (Class::Email, "<email>"),
    (Class::Ssn, "<ssn>"),
    (Class::Mrn, "<mrn>"),
    (Class::Plan, "<plan>"),
    (Class::Account, "<account>"),
    (Class::Licence, "<licence>"),
    (Class::Vehicle, "<vehicle>"),
    (Class::Device, "<device>"),
    (Class::Url, "<url>"),
    (Class::Ip, "<ip>"),
    (Class::Biometric, "<biometric>"),
    (Class::Photo, "<photo>"),
    (Class::Code, "<code>"),
    (Class::Hl7, "<hl7>"),
];

impl Class {
    /// Every class there is.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(class, _)| *class)
    }

    /// What stands in the text where such an identifier stood.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        ALL[self as usize].1
    }

    /// The mark that starts at `at`, and where it ends.
    pub(super) fn mark_at(text: &[u8], at: usize) -> Option<(Self, usize)> {
        let rest = text.get(at..)?;
        ALL.iter().find(|(_, word)| rest.starts_with(word.as_bytes())).map(|(c, word)| (*c, at + word.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, class) in Class::all().enumerate() {
            assert_eq!(class as usize, at);
            let word = class.mark();
            assert_eq!(Class::mark_at(word.as_bytes(), 0), Some((class, word.len())));
        }
    }
}
