//! Proposed: what a rule to come may ask for, beside what the evidence says of it.
//!
//! The rule: nothing here is required today, and the words must never let anybody think so.

use crate::packet::document::{Block, Tone};

/// One note for all items: what is proposed, and what the evidence says.
pub(super) fn block(items: Vec<(&'static str, String)>) -> Block {
    let mut text = String::from(
        "What an amendment of the Security Rule would ask for that was proposed on January 6, 2025 (90 FR 898), and was still \
         a proposal when this program was made. None of it is in the rule that this packet is about.",
    );
    for (what, says) in items {
        text.push_str(&format!("\n\nProposed: {}. {says}", lowered(what)));
    }
    Block::Note("Proposed.".into(), text, Tone::Plain)
}

fn lowered(what: &str) -> String {
    let mut letters = what.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
