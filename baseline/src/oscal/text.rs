//! Text as OSCAL wants it: values in one line, times with a zone, and names that are never markup.

use proto::time::Millis;

/// 1900-01-01 and 2999-12-31: what OSCAL's dates reach.
const FIRST: i64 = -2_208_988_800_000;
const LAST: i64 = 32_503_593_600_000;

/// One line, not empty, without blanks at either end: what OSCAL calls a string.
#[must_use]
pub fn line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.is_empty() { "–".to_owned() } else { line }
}

/// The same of somebody else's words, where OSCAL has Markdown: they are to be read, not to be rendered.
#[must_use]
pub fn markup(text: &str) -> String {
    let mut out = String::new();
    for c in line(text).chars() {
        if "\\`*_[]<>{}|~#!$&".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A time, RFC 3339 in UTC. What no date of OSCAL can be is its first or its last.
#[must_use]
pub fn time(at: Millis) -> String {
    Millis(at.0.clamp(FIRST, LAST)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_one_line_and_never_empty() {
        for (text, expected) in
            [("a b", "a b"), (" a\n\tb ", "a b"), ("", "–"), (" \n", "–"), ("a\u{7}b", "a b")]
        {
            assert_eq!(line(text), expected);
        }
        assert_eq!(markup("<b>*x*</b> | [a](b)"), "\\<b\\>\\*x\\*\\</b\\> \\| \\[a\\](b)");
    }

    #[test]
    fn times_stay_within_what_a_date_can_be() {
        assert_eq!(time(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(Millis(i64::MIN)), "1900-01-01T00:00:00.000Z");
        assert_eq!(time(Millis(i64::MAX)), "2999-12-31T00:00:00.000Z");
    }
}
