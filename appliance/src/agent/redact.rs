//! What an event may say about what was read.
//!
//! The rule: what a patient would not want kept never touches this machine's disk a second time, and never leaves it. In
//! an event that is kept in the plainest way: not a byte of a line is in it, only which of the configured patterns were
//! held, and how often. Lines themselves travel apart from it, redacted (`sources/log_file/chunks.rs`).

/// The most bytes of a note, as the contract has it.
pub const NOTE_MAX: usize = 1000;

/// The note on lines that matched: `"ERROR" in 3 lines`. Patterns are the owner's words, from the configuration.
#[must_use]
pub fn line(matches: &[(String, u64)]) -> String {
    let parts: Vec<String> = matches
        .iter()
        .filter(|(_, lines)| *lines > 0)
        .map(|(pattern, lines)| format!("{pattern:?} in {lines} line{}", if *lines == 1 { "" } else { "s" }))
        .collect();
    note(&parts.join(", "))
}

/// Any text as a note: one line, cut to what the contract allows.
#[must_use]
pub fn note(text: &str) -> String {
    let mut note: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    note.truncate(note.floor_char_boundary(NOTE_MAX));
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_counts_and_nothing_else() {
        let matches = [("ERROR".to_owned(), 3), ("panic".to_owned(), 0), ("a\nb".to_owned(), 1)];
        assert_eq!(line(&matches), r#""ERROR" in 3 lines, "a\nb" in 1 line"#);
        assert_eq!(line(&[]), "");
    }

    #[test]
    fn a_note_is_one_line_of_bounded_length() {
        let note = note(&"ä\n".repeat(1000));
        assert!(note.len() <= NOTE_MAX && note.len() > NOTE_MAX - 4 && !note.contains('\n'));
    }
}
