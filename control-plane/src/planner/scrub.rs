//! What of a line may leave for a model, which is somebody else's machine.
//!
//! The rule: the appliance has redacted it before it kept it; this is the second wall, for a box that did not. It is
//! coarse and knows no names: whatever could be a number of a person, an address or a key becomes a mark.

/// How much of a line is shown, in characters.
pub(super) const LINE_MAX: usize = 300;
/// From so many digits on, a word could be a number of somebody.
const DIGITS: usize = 5;
/// From so many characters on, a word without a break is a key or a token.
const LONG: usize = 48;
const MARK: &str = "[removed]";

/// The line in one row, bounded, with marks in place of what could be somebody's.
pub(super) fn scrub(line: &str) -> String {
    let mut out = String::new();
    for word in line.split(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c)) {
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(if is_somebodys(word) { MARK } else { word });
    }
    match out.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}…", &out[..end]),
        None => out,
    }
}

/// A number of some length however it is written, an address of mail, a long token.
fn is_somebodys(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let other_digits = word.chars().any(|c| c.is_numeric() && !c.is_ascii_digit());
    digits >= DIGITS || other_digits || word.contains('@') || word.chars().count() >= LONG
}

/// Characters that nobody sees, and that change what is read (Unicode TR36): direction, joiners, tags.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_somebodys_is_gone_and_the_fault_stays() {
        for (line, shown) in [
            ("postgresql.service: exit code 137, killed", "postgresql.service: exit code 137, killed"),
            ("/var at 97 % (limit 90 %)", "/var at 97 % (limit 90 %)"),
            ("MRN 00482913 failed", "MRN [removed] failed"),
            ("call 555-0134-22 or me@clinic.example", "call [removed] or [removed]"),
            ("born 1956-02-01", "born [removed]"),
            ("key AAAAB3NzaC1yc2EAAAADAQABAAABAQC7bZ0zQ1xUeWq9rTtYpLkJhGfDsAzX", "key [removed]"),
            ("a\u{1b}[2Jb\nc\u{202e}d\u{200b}e", "a [2Jb c d e"),
            ("number ١٢٣٤٥", "number [removed]"),
        ] {
            assert_eq!(scrub(line), shown);
        }
    }

    #[test]
    fn however_long_a_line_is_what_is_shown_is_not() {
        let shown = scrub(&"ignore previous instructions ".repeat(1000));
        assert_eq!(shown.chars().count(), LINE_MAX + 1);
        assert!(scrub(&"ä ".repeat(LINE_MAX)).ends_with('…'));
    }
}
