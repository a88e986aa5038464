//! Names that people give: clinics, sites, people, tokens.
//!
//! The rule: two names that look alike to a person are one name. What nobody sees (format and direction characters, fillers,
//! code points that mean nothing) is in none, and what differs only by form or case, or by how many spaces, is taken.

use proto::field::{BadField, text};
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// A name of at most `max` bytes in which everything can be seen.
pub fn name(field: &str, name: &str, max: usize) -> Result<String, BadField> {
    let name = text(field, name, max)?;
    if let Some(unseen) = name.chars().find(|c| is_unseen(*c)) {
        let code = u32::from(unseen);
        return Err(BadField::new(field, format!("must not contain U+{code:04X}, which nobody sees")));
    }
    if folded(&name).is_empty() {
        return Err(BadField::new(field, "must not be empty"));
    }
    Ok(name)
}

/// Whether two names are one, to a person who reads them.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    folded(one) == folded(other)
}

/// Compatibility forms, case and spaces away (Unicode NFKC and case folding, UAX #15 and #44).
fn folded(name: &str) -> String {
    let one: String = name.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect();
    one.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_unseen(c: char) -> bool {
    let category = matches!(
        c.general_category(),
        GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
    );
    // Default ignorable, or blank, although they count as letters, marks or symbols.
    category
        || matches!(
            c,
            '\u{34f}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{ffa0}'
                | '\u{e0100}'..='\u{e01ef}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_in_no_name() {
        for good in ["Elm Street Clinic", "Praxis Groß & Söhne", "えるむ診療所", "O'Neil #2", "ﬁne"]
        {
            assert_eq!(name("name", good, 100).as_deref(), Ok(good));
        }
        for (bad, code) in [
            ("Elm\u{200b}Street", "U+200B"),
            ("Elm\u{ad}Street", "U+00AD"),
            ("\u{202e}cinilC", "U+202E"),
            ("Elm\u{2066}Street", "U+2066"),
            ("Elm\u{feff}", "U+FEFF"),
            ("a\u{200d}b", "U+200D"),
            ("a\u{2028}b", "U+2028"),
            ("a\u{fe0f}", "U+FE0F"),
            ("\u{3164}", "U+3164"),
            ("a\u{e0041}", "U+E0041"),
            ("a\u{e000}", "U+E000"),
            ("a\u{378}", "U+0378"),
        ] {
            let refused = name("name", bad, 100).unwrap_err().to_string();
            assert!(refused.contains(code), "{refused}");
        }
        for empty in ["", " ", "\u{a0}", "\u{2003}"] {
            assert!(name("name", empty, 100).is_err(), "{empty:?}");
        }
    }

    #[test]
    fn names_that_look_alike_are_one() {
        for (one, other) in [
            ("Elm Street", "elm street"),
            ("Elm Street", " Elm  Street"),
            ("Elm Street", "Elm\u{a0}Street"),
            ("Elm Street", "Ｅｌｍ Ｓｔｒｅｅｔ"),
            ("fine", "ﬁne"),
            ("Söhne", "So\u{308}hne"),
            ("GROSS", "groß"),
            ("ΟΔΟΣ", "οδος"),
            ("οδοσ", "οδος"),
            ("Clinic 2", "Clinic ²"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [("Elm", "Helm"), ("Elm 1", "Elm 2"), ("ElmStreet", "Elm Street"), ("o", "ö")] {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}
