//! A packet in a few lines, for a mail or a page: what its cover and its first section say, and no names of boxes.
//!
//! It is read from the packet's Markdown, which is what is kept: a packet that another version made is told as it was.

/// The month in half a sentence, the judgements, the large numbers.
#[must_use]
pub fn brief(markdown: &str) -> Vec<String> {
    let cover = markdown.lines().filter_map(|line| line.strip_prefix("| In short | ")?.strip_suffix(" |"));
    let summary = markdown.split("\n## ").nth(1).unwrap_or_default();
    let lists = summary.split("\n### ").next().unwrap_or_default();
    let lines = lists.lines().filter_map(|line| line.strip_prefix("- "));
    cover.take(1).chain(lines).map(plain).collect()
}

/// Without what Markdown means by it.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.extend(rest.next()),
            '*' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lists_of_boxes_stay_out() {
        let markdown = "# Evidence packet\n\n| | |\n| --- | --- |\n| Clinic | A \\| B |\n| In short | 3 actions, all successful. |\n\n\
            ## 1. Summary\n\nAt A.\n\n- Integrity: **Sound.** All 9 records\\_x.\n\n- **9 of 12** incidents resolved\n\n\
            ### What was done\n\n- Front desk: 3\n\n## 2. Scope\n\n- Computers\n";
        assert_eq!(
            brief(markdown),
            [
                "3 actions, all successful.",
                "Integrity: Sound. All 9 records_x.",
                "9 of 12 incidents resolved"
            ]
        );
    }
}
