//! What the demo says, and the table at its end.

use std::{
    fmt::Display,
    io::IsTerminal as _,
    path::Path,
    time::{Duration, Instant},
};

use crate::clock;

/// Tells the story.
pub struct Teller {
    begun: Instant,
    colour: bool,
    lines: Vec<(String, String, Duration)>,
}

impl Teller {
    /// Begins now. Colour only on a terminal that wants it.
    #[must_use]
    pub fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { begun: clock::instant(), colour, lines: Vec::new() }
    }

    /// A heading.
    pub fn scene(&self, number: usize, title: &str) {
        println!("\n{}", self.bold(&format!("{number}  {title}")));
    }

    /// Something that happened.
    pub fn say(&self, text: impl Display) {
        println!("{:>7.1} s  {text}", clock::since(self.begun).as_secs_f64());
    }

    /// A line for the table.
    pub fn proved(&mut self, what: &str, how: impl Display, took: Duration) {
        self.say(&how);
        self.lines.push((what.to_owned(), how.to_string(), took));
    }

    /// A line for what could not be shown here.
    pub fn left_out(&mut self, what: &str, why: &str) {
        self.say(format!("left out: {why}"));
        self.lines.push((what.to_owned(), format!("left out: {why}"), Duration::ZERO));
    }

    /// The table.
    pub fn summary(&self, folder: &Path) {
        println!("\n{}", self.bold("What was shown"));
        for (what, how, took) in &self.lines {
            println!("  {what:<34} {:>6.1} s  {how}", took.as_secs_f64());
        }
        println!(
            "\n  in all {:.1} s; left behind in {}:",
            clock::since(self.begun).as_secs_f64(),
            folder.display()
        );
        for (name, what) in [
            ("packet.pdf", "the month's report for an auditor"),
            ("bundle/", "everything to verify it with, offline"),
            ("trust/", "the organization's public keys: what an auditor gets from elsewhere"),
            ("control-plane/", "the installation of the provider"),
            ("witness/", "who watches the log: another organization"),
            ("appliance/", "the box in the clinic"),
        ] {
            println!("    {name:<16} {what}");
        }
    }

    fn bold(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Default for Teller {
    fn default() -> Self {
        Self::new()
    }
}
