//! Writes a packet as the source that sets its pages: calls of the style's functions, with every text as a literal.

use std::fmt::Write as _;

use super::{
    document::{Block, Chart, Document, Drawing, Table, Tone},
    model::Presence,
    pdf::escape,
    qr,
};

/// How a packet looks.
const STYLE: &str = concat!(include_str!("style.typ"), include_str!("charts.typ"));

/// The source.
#[must_use]
pub fn write(document: &Document) -> String {
    let mut out = STYLE.to_owned();
    let _ = writeln!(
        out,
        "\n#show: packet.with(title: {}, subject: {}, period: {}, reference: {}, issuer: {})",
        text(&document.title),
        text(&document.subject),
        text(&document.period),
        text(&document.reference),
        text(&document.issuer),
    );
    let _ = writeln!(
        out,
        "#cover(title: {}, kicker: {}, subtitle: {}, rows: {}, notice: {})",
        text(&document.title),
        text(&document.issuer),
        text(&format!("{}, {}", document.subject, document.period)),
        pairs(&document.cover),
        text(&document.notice),
    );
    for section in &document.sections {
        let _ = writeln!(out, "#section({}, break-before: {})", text(section.title), section.new_page);
        for block in &section.blocks {
            let _ = writeln!(out, "#{}", call(block));
        }
    }
    out
}

fn call(block: &Block) -> String {
    match block {
        Block::Subsection(title) => format!("subsection({})", text(title)),
        Block::Paragraph(prose) => format!("paragraph({})", text(prose)),
        Block::Bullets(items) => format!("bullets({})", array(items.iter().map(|item| text(item)))),
        Block::Facts(rows, mono) => {
            format!("facts({}, values: {})", pairs(rows), text(if *mono { "mono" } else { "body" }))
        }
        Block::Note(title, prose, tone) => {
            format!("note({}, title: {}, tone: {})", text(prose), text(title), text(name(*tone)))
        }
        Block::Totals(items) => format!("totals({})", pairs(items)),
        Block::Verdicts(verdicts) => {
            let verdict = verdicts.iter().map(|v| {
                format!(
                    "(label: {}, outcome: {}, tone: {}, reason: {})",
                    text(&v.label),
                    text(&v.outcome),
                    text(name(v.tone)),
                    text(&v.reason)
                )
            });
            format!("verdicts({})", array(verdict))
        }
        Block::Records(table) => records(table),
        Block::Chart(chart) => picture(chart),
        Block::Code(value, what) => match qr::svg(value) {
            Some(drawing) => {
                format!("code({}, alt: {}, value: {})", text(&drawing), text(what), text(value))
            }
            // More than a code holds: the text itself.
            None => format!("digest({})", text(value)),
        },
    }
}

fn records(table: &Table) -> String {
    let numbers = |columns: &[usize]| array(columns.iter().map(usize::to_string));
    let rows = table.rows.iter().map(|row| array(row.iter().map(|cell| text(cell))));
    let tones: Vec<String> =
        table.tones.iter().map(|(cell, tone)| format!("{}: {}", text(cell), text(name(*tone)))).collect();
    let tones = if tones.is_empty() { "(:)".to_owned() } else { format!("({})", tones.join(", ")) };
    let widths = match &table.widths[..] {
        [] => "auto".to_owned(),
        shares => array(shares.iter().map(|share| format!("{share}fr"))),
    };
    format!(
        "records(columns: {}, rows: {}, mono: {}, numbers: {}, tones: {tones}, widths: {widths}, empty: {})",
        array(table.columns.iter().map(|column| text(column))),
        array(rows),
        numbers(&table.mono),
        numbers(&table.numbers),
        text(table.empty),
    )
}

fn picture(chart: &Chart) -> String {
    let counts = |counts: &[u64]| array(counts.iter().map(u64::to_string));
    let words = |kinds: &[&str]| array(kinds.iter().map(|kind| text(kind)));
    let about = format!("title: {}, alt: {}", text(&chart.title), text(&chart.words));
    match &chart.drawing {
        Drawing::Days { kinds, days } => {
            let days = days.iter().map(|(day, parts)| format!("({day}, {})", counts(parts)));
            format!("day-columns({}, kinds: {}, {about})", array(days), words(kinds))
        }
        Drawing::Bars { kinds, bars } => {
            let bars = bars.iter().map(|(what, parts)| format!("({}, {})", text(what), counts(parts)));
            format!("bars({}, kinds: {}, {about})", array(bars), words(kinds))
        }
        Drawing::Calendar(boxes) => {
            let mark = |day: &Presence| {
                text(match day {
                    Presence::Whole => "whole",
                    Presence::Partly => "partly",
                    Presence::Not => "not",
                    Presence::NotYet => "",
                })
            };
            let row = |(name, days): &(String, Vec<Presence>)| {
                format!("({}, {})", text(name), array(days.iter().map(mark)))
            };
            format!("calendar({}, {about})", array(boxes.iter().map(row)))
        }
    }
}

fn name(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "plain",
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
    }
}

/// A string literal: the only way for text into the source.
fn text(value: &str) -> String {
    format!("\"{}\"", escape(value))
}

/// An array; the comma after the last makes one of one element an array too.
fn array(items: impl Iterator<Item = String>) -> String {
    let mut out = String::from("(");
    for item in items {
        out.push_str(&item);
        out.push_str(", ");
    }
    out.push(')');
    out
}

fn pairs(rows: &[(String, String)]) -> String {
    array(rows.iter().map(|(a, b)| format!("({}, {})", text(a), text(b))))
}
