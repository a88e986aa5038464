//! Text as a Typst string literal.
//!
//! The rule: **what comes from outside is data.** Between the quotes of a literal nothing is code,
//! so the only things to escape are the quote, the backslash and what a page cannot show.

use super::SHELF;

/// The family that sets all prose, in the lower case that the font book is keyed by.
const BODY_FAMILY: &str = "libertinus serif";

/// Makes `text` safe between the quotes of a Typst string literal, and fit to be printed.
///
/// The literal's value is `text`, except that line ends become `\n` and that a character which
/// would be invisible, would reorder its neighbours or is in no body font is spelled out as
/// `‹U+202E›`. The reader sees that it is there, and no such character can hide words from an
/// auditor or make PDF/UA-1 refuse the whole packet.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\r' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c => out.push_str(&format!("‹U+{:04X}›", u32::from(c))),
        }
    }
    out
}

/// Whether every face of the body family can draw `c`, so that no fallback can leave a blank box.
fn is_printable(c: char) -> bool {
    let hidden = matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' // soft hyphen, grapheme joiner, Arabic letter mark
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' // zero width, line ends, overrides
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' // isolates, variation selectors
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFF}' // byte order mark, specials
        | '\u{E000}'..='\u{F8FF}' | '\u{E0000}'..) // private use, tags
        || c.is_control();
    if hidden || c.is_ascii() {
        return !hidden;
    }
    let book = SHELF.fonts.book();
    let mut faces = book.select_family(BODY_FAMILY).filter_map(|face| book.info(face)).peekable();
    faces.peek().is_some() && faces.all(|face| face.coverage.contains(u32::from(c)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use typst::syntax::{SyntaxNode, ast, parse_code};

    use super::super::render;
    use super::*;

    #[test]
    fn every_printable_character_can_be_written() {
        let all: String = ('!'..'\u{2FFFF}').filter(|&c| is_printable(c)).collect();
        assert!(["xyz", "é", "→", "‹"].iter().all(|text| all.contains(text)));
        assert!(!all.contains(['\u{7F}', '\u{200B}', '\u{202E}', '\u{E000}', '診']));
        for face in ["Libertinus Serif", "DejaVu Sans Mono"] {
            let text = escape(&all);
            let source =
                format!("#set document(title: \"T\")\n#set text(font: \"{face}\")\n#text(\"{text}\")");
            render(&source, 0, "a").unwrap();
        }
    }

    proptest! {
        #[test]
        fn an_escaped_text_is_one_literal_with_its_value(text in any::<String>()) {
            let node = parse_code(&format!("\"{}\"", escape(&text)));
            let children: Vec<&SyntaxNode> = node.children().collect();
            prop_assert_eq!(children.len(), 1);
            let value = children[0].cast::<ast::Str>().unwrap().get();
            let spelled = |c: char| match c {
                '\n' | '\t' => c.to_string(),
                '\r' => "\n".to_owned(),
                c if is_printable(c) => c.to_string(),
                c => format!("‹U+{:04X}›", u32::from(c)),
            };
            let want: String = text.replace("\r\n", "\n").chars().map(spelled).collect();
            prop_assert_eq!(value.as_str(), want.as_str());
        }
    }
}
