//! Writes a packet as Markdown (CommonMark with tables).

use std::fmt::Write as _;

use super::{
    document::{Block, Chart, Document, Drawing, Section, Table},
    model::Presence,
};

/// The packet as text; ends with a newline.
#[must_use]
pub fn write(document: &Document) -> String {
    let mut out = format!("# {}\n\n", escape(&document.title));
    let _ = writeln!(out, "**{}** · {}\n", escape(&document.subject), escape(&document.period));
    facts(&mut out, &document.cover, false);
    let _ = writeln!(out, "*{}*\n", escape(&document.notice));
    for (n, section) in document.sections.iter().enumerate() {
        write_section(&mut out, n + 1, section);
    }
    let _ = writeln!(out, "---\n\n{}", escape(&document.reference));
    out
}

fn write_section(out: &mut String, number: usize, section: &Section) {
    let _ = writeln!(out, "## {number}. {}\n", escape(section.title));
    for block in &section.blocks {
        match block {
            Block::Subsection(title) => drop(writeln!(out, "### {}\n", escape(title))),
            Block::Paragraph(text) => drop(writeln!(out, "{}\n", escape(text))),
            Block::Bullets(items) => list(out, items.iter().map(|item| escape(item))),
            Block::Facts(rows, mono) => facts(out, rows, *mono),
            Block::Note(title, text, _) => drop(writeln!(out, "> **{}** {}\n", escape(title), escape(text))),
            Block::Totals(items) => {
                list(
                    out,
                    items.iter().map(|(number, label)| format!("**{}** {}", escape(number), escape(label))),
                );
            }
            Block::Verdicts(verdicts) => list(
                out,
                verdicts.iter().map(|v| {
                    format!("{}: **{}.** {}", escape(&v.label), escape(&v.outcome), escape(&v.reason))
                }),
            ),
            Block::Records(table) => records(out, table),
            Block::Chart(chart) => picture(out, chart),
            Block::Code(text, what) => {
                let rows: Vec<_> = text.lines().map(|line| (String::new(), line.to_owned())).collect();
                let _ = writeln!(out, "{}\n", escape(what));
                facts(out, &rows, true);
            }
        }
    }
}

fn list(out: &mut String, items: impl Iterator<Item = String>) {
    for item in items {
        let _ = writeln!(out, "- {item}");
    }
    out.push('\n');
}

fn facts(out: &mut String, rows: &[(String, String)], mono: bool) {
    if rows.is_empty() {
        return;
    }
    out.push_str("| | |\n| --- | --- |\n");
    for (label, value) in rows {
        let value = if mono { code(value) } else { escape(value) };
        let _ = writeln!(out, "| {} | {value} |", escape(label));
    }
    out.push('\n');
}

fn records(out: &mut String, table: &Table) {
    if table.rows.is_empty() {
        let _ = writeln!(out, "*{}*\n", escape(table.empty));
        return;
    }
    let line =
        |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    out.push_str(&line(&mut table.columns.iter().map(|column| escape(column))));
    let rule = |n| if table.numbers.contains(&n) { "---:" } else { "---" }.to_owned();
    out.push_str(&line(&mut (0..table.columns.len()).map(rule)));
    for row in &table.rows {
        let cell = |(n, value): (usize, &String)| match table.mono.contains(&n) {
            true => code(value),
            false => value.split('\n').map(escape).collect::<Vec<_>>().join("<br>"),
        };
        out.push_str(&line(&mut row.iter().enumerate().map(cell)));
    }
    out.push('\n');
}

/// A chart in words, and its figures as a table.
fn picture(out: &mut String, chart: &Chart) {
    let _ = writeln!(out, "**{}.** {}\n", escape(&chart.title), escape(&chart.words));
    let numbers = |counts: &[u64]| counts.iter().map(u64::to_string).collect::<Vec<_>>();
    let (columns, rows): (Vec<&'static str>, Vec<Vec<String>>) = match &chart.drawing {
        Drawing::Days { kinds, days } => {
            let looked = days.iter().filter(|(_, counts)| counts.iter().sum::<u64>() > 0);
            let rows =
                looked.map(|(day, counts)| [vec![day.to_string()], numbers(counts)].concat()).collect();
            ([&["Day"], &kinds[..]].concat(), rows)
        }
        Drawing::Bars { kinds, bars } => {
            let rows =
                bars.iter().map(|(what, counts)| [vec![what.clone()], numbers(counts)].concat()).collect();
            ([&["Kind"], &kinds[..]].concat(), rows)
        }
        Drawing::Calendar(boxes) => {
            let row = |(name, days): &(String, Vec<Presence>)| {
                let on = |wanted| days_named(days.iter().map(|day| *day == wanted));
                vec![name.clone(), on(Presence::Whole), on(Presence::Partly), on(Presence::Not)]
            };
            (vec!["Appliance", "Watched whole", "Partly", "Not"], boxes.iter().map(row).collect())
        }
    };
    if !rows.is_empty() {
        records(out, &Table { numbers: vec![], ..Table::new(&columns, rows, "") });
    }
}

/// Days of the month on which something is so: `1–3, 7`.
fn days_named(is: impl Iterator<Item = bool>) -> String {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for day in is.enumerate().filter_map(|(n, is)| is.then_some(n + 1)) {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == day => *last = day,
            _ => spans.push((day, day)),
        }
    }
    let named = spans.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}–{last}"),
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() { "–".to_owned() } else { named.join(", ") }
}

/// Digests and keys: no character of theirs means anything to Markdown. Anything else is written as text.
fn code(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b" +/=.:-".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) { format!("`{value}`") } else { escape(value) }
}

/// Text with nothing left in it that Markdown would take for its own, and nothing that hides or reorders.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || is_hidden(c) => drop(write!(out, "‹U+{:04X}›", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_no_markup() {
        assert_eq!(escape("a_b *c* <script>|x|"), r"a\_b \*c\* \<script\>\|x\|");
        assert_eq!(escape("[x](y)\n# z\u{202e}&lt;"), r"\[x\](y) \# z‹U+202E›\&lt;");
        assert_eq!(code("ab12/+="), "`ab12/+=`");
        assert_eq!(code("a`b"), r"a\`b");
    }

    #[test]
    fn days_are_named_in_spans() {
        let on = |days: &[usize]| days_named((1..=31).map(|day| days.contains(&day)));
        assert_eq!(on(&[]), "–");
        assert_eq!(on(&[1, 2, 3, 7, 30, 31]), "1–3, 7, 30–31");
    }

    #[test]
    fn a_table_without_rows_says_so() {
        let mut out = String::new();
        records(&mut out, &Table::new(&["A"], vec![], "Nothing."));
        assert_eq!(out, "*Nothing.*\n\n");
        let mut out = String::new();
        records(
            &mut out,
            &Table { numbers: vec![1], ..Table::new(&["A", "B"], vec![vec!["x|".into(), "1".into()]], "") },
        );
        assert_eq!(out, "| A | B |\n| --- | ---: |\n| x\\| | 1 |\n\n");
    }
}
