//! Verifying a bundle: the one command that asks no server, and all that the program `orderly-verify` is.
//!
//! The rule: nothing here speaks to anybody. Keys, a head of the log and a period come from the auditor, everything else
//! from the bundle's folder.

mod answer;
mod misuse;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use proto::{
    charter::OrganizationKeys,
    log::{Checkpoint, Hash, Head},
    time::Millis,
};

use crate::{
    bundle::{
        Folder,
        verify::{Asked, Progress, verify_watched},
    },
    files,
};

pub use answer::Answer;
pub use misuse::is_misuse;
pub(crate) use misuse::{Misuse, misuse};

/// Largest trust file.
const TRUST_MAX: u64 = 64 * 1024;
/// Largest checkpoint: a note with all the signatures that one may have.
const CHECKPOINT_MAX: u64 = 1 << 20;

/// What `verify` is asked.
#[derive(Debug, Args)]
pub struct Verify {
    /// The organization's public keys, from anywhere but the bundle
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// A head of the log known from elsewhere, that it must continue: a checkpoint file, or SIZE:ROOT (base64)
    #[arg(long, value_name = "HEAD", value_parser = head)]
    head: Option<Head>,
    /// Judge silence from this day or time on, UTC [default: what the provider says]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<Millis>,
    /// Judge silence until just before this day or time, UTC [default: what the provider says]
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<Millis>,
    /// The bundle's folder
    bundle: PathBuf,
}

impl Verify {
    /// Verifies at `now`; a bar on the terminal, where there is one, shows how far it has come.
    pub fn run(&self, now: Millis) -> anyhow::Result<Answer> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to <= from
        {
            return Err(misuse(format!("--to is {to}, must be after --from, {from}")));
        }
        let asked = Asked { from: self.from, to: self.to, head: self.head };
        let trust = self.trust.as_deref().map(read_trust).transpose()?;
        let folder = Folder::open(&self.bundle).with_context(|| {
            Misuse(format!("BUNDLE is {}, must be the folder of a bundle", self.bundle.display()))
        })?;
        let bar = ProgressBar::no_length().with_style(style()?);
        let mut show = |done, of| {
            bar.set_length(of);
            bar.set_position(done);
        };
        let report = verify_watched(&folder, trust.as_ref(), asked, now, &mut Progress::new(&mut show));
        bar.finish_and_clear();
        Ok(Answer::new(report.to_string(), serde_json::to_value(&report)?).with_code(report.exit_code()))
    }
}

fn style() -> anyhow::Result<ProgressStyle> {
    Ok(ProgressStyle::with_template("{bar:40} {percent:>3} %  {pos} of {len} files  {eta} left")?)
}

/// The organization's keys from a file.
pub(crate) fn read_trust(path: &Path) -> anyhow::Result<OrganizationKeys> {
    let wrong = || Misuse(format!("--trust is {}, must be a file of organization keys", path.display()));
    let text = files::read(path, TRUST_MAX).with_context(wrong)?;
    OrganizationKeys::parse(&text).with_context(wrong)
}

/// A day, or a moment of it, as RFC 3339.
pub(crate) fn date(text: &str) -> Result<Millis, String> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    full.parse().map_err(|_| "must be a date such as 2027-11-01, or RFC 3339 in UTC".to_owned())
}

/// A file that begins with a checkpoint, whoever signed it; or a size and a root.
pub(crate) fn head(text: &str) -> Result<Head, String> {
    let wrong = || "must be a file with a checkpoint, or SIZE:ROOT with the root in base64".to_owned();
    if let Some((size, root)) = text.split_once(':')
        && let (Ok(size), Some(root)) = (size.parse(), Hash::from_base64(root))
    {
        return Ok(Head { size, root });
    }
    let bytes =
        files::read(Path::new(text), CHECKPOINT_MAX).map_err(|error| format!("{}: {error}", wrong()))?;
    let note = String::from_utf8(bytes).map_err(|_| wrong())?;
    let text = note.split_once("\n\n").map_or(note.clone(), |(text, _)| format!("{text}\n"));
    Checkpoint::parse(&text)
        .map(|checkpoint| checkpoint.head())
        .map_err(|error| format!("{}: {error}", wrong()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_file_or_two_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let expected = Head { size: 7, root: Hash([9; 32]) };
        let text = Checkpoint::new("evidence.msp.example/1", expected).text();
        for written in [text.clone(), format!("{text}\n\u{2014} somebody AAAA\n")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(head(path.to_str().unwrap()), Ok(expected));
        }
        assert_eq!(head(&format!("7:{}", expected.root.to_base64())), Ok(expected));
        std::fs::write(&path, "nothing of the kind").unwrap();
        for wrong in [path.to_str().unwrap(), "7", "7:", "x:y", "/nowhere"] {
            assert!(head(wrong).unwrap_err().starts_with("must be a file"), "{wrong}");
        }
    }
}
