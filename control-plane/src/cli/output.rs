//! What a command answers: text for people, JSON for programs, an exit code.
//!
//! The rule: names and notes come from appliances and clinics, so nothing of them reaches a terminal as a control
//! sequence; JSON keys are stable, times are RFC 3339, what is absent is null.

use std::fmt::Write as _;

use proto::time::Millis;
use serde_json::Value;

pub use crate::offline::Answer;

/// Columns under their headings, or a word that there is nothing.
pub(super) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().map(|row| row.map(|cell| printable(&cell))).collect();
    if rows.is_empty() {
        return "none".to_owned();
    }
    let headings = headings.map(str::to_owned);
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().chain([&headings]).map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let mut text = String::new();
    for row in [&headings].into_iter().chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines of `name: value`, the values below one another.
pub(super) fn facts<const N: usize>(facts: [(&str, String); N]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default() + 1;
    facts.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{:width$}  {}", format!("{name}:"), printable(value));
        text
    })
}

/// Without anything that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c }).collect()
}

/// Characters that turn the direction of what follows, and so can make a line read as another (Unicode TR36).
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A time for people.
pub(super) fn when(ms: i64) -> String {
    if ms == 0 { "never".to_owned() } else { Millis(ms).to_string() }
}

/// A time for programs.
pub(super) fn time(ms: i64) -> Value {
    if ms == 0 { Value::Null } else { Value::from(Millis(ms).to_string()) }
}

/// Text for programs: empty is null.
pub(super) fn optional(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::from(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text = table(["A", "LONGER"], [["größe".into(), "1".into()], ["x".into(), String::new()]]);
        assert_eq!(text, "A      LONGER\ngröße  1\nx\n");
        assert_eq!(table(["A"], []), "none");
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        let text = table(["NAME"], [["a\u{1b}[2Jb\nc\u{202e}d".to_owned()]]);
        assert_eq!(text, "NAME\na\u{fffd}[2Jb\u{fffd}c\u{fffd}d\n");
        assert!(!facts([("name", "\u{9b}31m".to_owned())]).contains('\u{9b}'));
    }

    #[test]
    fn absent_is_null_for_programs_and_a_word_for_people() {
        assert_eq!((time(0), when(0).as_str()), (Value::Null, "never"));
        assert_eq!(time(1_000), Value::from("1970-01-01T00:00:01.000Z"));
        assert_eq!(optional(""), Value::Null);
    }
}
