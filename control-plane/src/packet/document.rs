//! What a packet is made of, before it is Markdown or pages: text in blocks, and nothing about how it looks.
//!
//! The rule: every text here is data. Both writers escape all of it, so nothing that a clinic, a provider or a log line
//! is called can become markup.

use super::model::Presence;

/// How a judgement is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Neither.
    Plain,
    /// As it should be.
    Good,
    /// Wants looking at.
    Warn,
    /// Not as it should be.
    Bad,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Large on the cover.
    pub title: String,
    /// Whom it is about.
    pub subject: String,
    /// What time it covers.
    pub period: String,
    /// What names this packet, of all there are.
    pub reference: String,
    /// Who made it.
    pub issuer: String,
    /// Facts on the cover: label and value.
    pub cover: Vec<(String, String)>,
    /// The sentence at the cover's foot.
    pub notice: String,
    /// The rest.
    pub sections: Vec<Section>,
}

/// A numbered section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its title.
    pub title: &'static str,
    /// It begins on a new page.
    pub new_page: bool,
    /// What is in it.
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A smaller title.
    Subsection(String),
    /// Prose.
    Paragraph(String),
    /// A list.
    Bullets(Vec<String>),
    /// Labels and values; the values in the mono face or not.
    Facts(Vec<(String, String)>, bool),
    /// Set apart: a few words, the text, the tone.
    Note(String, String, Tone),
    /// Large numbers and their labels.
    Totals(Vec<(String, String)>),
    /// Judgements side by side.
    Verdicts(Vec<Judgement>),
    /// A table.
    Records(Table),
    /// A picture, and the same in words.
    Chart(Chart),
    /// Text that a camera reads, and what it is.
    Code(String, String),
}

/// A judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// On what.
    pub label: String,
    /// In a word.
    pub outcome: String,
    /// How it is meant.
    pub tone: Tone,
    /// Why.
    pub reason: String,
}

/// A picture where a person would rather look than read. Whoever cannot see it gets the same from `words` and, in Markdown,
/// from a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What there is to see in it.
    pub words: String,
    /// The figures.
    pub drawing: Drawing,
}

/// The figures of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drawing {
    /// Columns, one a day, each parted by the same kinds in the same order.
    Days {
        /// What the parts are.
        kinds: [&'static str; 4],
        /// Day of the month, and how many of each.
        days: Vec<(usize, [u64; 4])>,
    },
    /// Lines, one a kind of thing, each in two parts.
    Bars {
        /// What the parts are.
        kinds: [&'static str; 2],
        /// What the line is, and how many of each.
        bars: Vec<(String, [u64; 2])>,
    },
    /// A row a box, a cell a day.
    Calendar(Vec<(String, Vec<Presence>)>),
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Header texts.
    pub columns: Vec<&'static str>,
    /// Each as long as the header.
    pub rows: Vec<Vec<String>>,
    /// Columns in the mono face, from 0.
    pub mono: Vec<usize>,
    /// Columns of numbers, from 0.
    pub numbers: Vec<usize>,
    /// Shares of the width; empty: by the length of the texts.
    pub widths: Vec<u16>,
    /// Cells that carry a judgement.
    pub tones: Vec<(&'static str, Tone)>,
    /// Stands there when there are no rows.
    pub empty: &'static str,
}

impl Table {
    /// A table of plain text.
    #[must_use]
    pub fn new(columns: &[&'static str], rows: Vec<Vec<String>>, empty: &'static str) -> Self {
        Self {
            columns: columns.to_vec(),
            rows,
            mono: vec![],
            numbers: vec![],
            widths: vec![],
            tones: vec![],
            empty,
        }
    }
}
