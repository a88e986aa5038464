//! The identifiers, and the search for them.

mod observer;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use proto::digest::Digest;
use rusqlite::Connection;

pub use observer::Observer;

/// Names that no dictionary, library or log has by itself.
pub const GIVEN: &str = "Zebulonia";
pub const FAMILY: &str = "Quackenfrost";
pub const STREET: &str = "Wexelbrandt";
pub const MRN: &str = "84632917";
pub const BIRTH: &str = "1951-03-17";
pub const SSN: &str = "512-48-9137";
pub const PHONE: &str = "555-0182";
pub const MEMBER: &str = "XQZ904417725";

/// Each identifier in every form that bytes travel in, by its first two bytes.
pub struct Canaries(BTreeMap<[u8; 2], Vec<(String, Vec<u8>)>>);

impl Canaries {
    /// `whole`: unit names, paths and the like that hold an identifier; of these a plain digest would tell them, too.
    pub fn new(whole: &[String]) -> Self {
        let mut forms = Vec::new();
        let mut add = |name: String, form: Vec<u8>| forms.push((name, form));
        for word in [GIVEN, FAMILY, STREET, MRN, BIRTH, "19510317", SSN, "512489137", PHONE, MEMBER] {
            for text in [word.to_owned(), word.to_uppercase(), word.to_lowercase()] {
                add(word.to_owned(), text.clone().into_bytes());
                add(format!("{word} in UTF-16"), text.encode_utf16().flat_map(u16::to_le_bytes).collect());
                add(format!("{word} in hex"), hex::encode(&text).into_bytes());
                add(format!("{word} in hex"), hex::encode_upper(&text).into_bytes());
                base64(&text).into_iter().for_each(|form| add(format!("{word} in base64"), form));
            }
        }
        let words = [GIVEN, FAMILY, MRN, BIRTH, SSN, MEMBER].map(ToOwned::to_owned);
        for text in words.iter().chain(whole) {
            let digest = Digest::of(text.as_bytes());
            add(format!("the digest of {text}"), digest.0.to_vec());
            add(format!("the digest of {text} in hex"), hex::encode(digest.0).into_bytes());
            add(format!("the digest of {text} in base64"), STANDARD_NO_PAD.encode(digest.0).into_bytes());
        }
        let mut by_start: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, form) in forms {
            by_start.entry([form[0], form[1]]).or_default().push((name, form));
        }
        Self(by_start)
    }

    pub fn absent_in(&self, place: &str, bytes: &[u8]) -> Result<()> {
        for (at, pair) in bytes.windows(2).enumerate() {
            let Some(forms) = self.0.get(pair) else { continue };
            if let Some((name, _)) = forms.iter().find(|(_, form)| bytes[at..].starts_with(form)) {
                let around = &bytes[at.saturating_sub(120)..(at + 160).min(bytes.len())];
                bail!("{name} is in {place}, at {at}: {:?}", String::from_utf8_lossy(around));
            }
        }
        Ok(())
    }

    /// Searches all files below a folder, and their names; gives how many bytes there were.
    pub fn absent_below(&self, folder: &Path) -> Result<usize> {
        let mut bytes = 0;
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            self.absent_in(&format!("the name of a file in {}", folder.display()), name)?;
            let kind = fs::symlink_metadata(&path)?;
            if kind.is_dir() {
                bytes += self.absent_below(&path)?;
            } else if kind.is_file() {
                let content = fs::read(&path)?;
                bytes += content.len();
                self.absent_in(&path.display().to_string(), &content)?;
            }
        }
        Ok(bytes)
    }

    /// Finds what it is to find, wherever it begins and in each kind of place: a search that finds nothing would pass
    /// for ever. `folder`: one of those that are searched.
    pub fn prove_themselves(&self, folder: &Path) -> Result<()> {
        self.absent_in("nothing", b"an ordinary line")?;
        for lead in ["", "x", "xy", "xyz"] {
            let text = format!("{lead}{FAMILY} and more");
            let base64 = STANDARD_NO_PAD.encode(&text).into_bytes();
            for hidden in [text.clone().into_bytes(), hex::encode(&text).into_bytes(), base64] {
                let found = self.absent_in("a plant", &hidden).is_err();
                ensure!(found, "not found: {}", String::from_utf8_lossy(&hidden));
            }
        }
        let plant = folder.join("plant");
        let found = |what: &str| match self.absent_below(folder) {
            Err(error) if error.to_string().contains("plant") => Ok(()),
            Err(error) => Err(error),
            Ok(_) => bail!("{what} was not found"),
        };
        fs::create_dir(&plant)?;
        fs::write(plant.join(FAMILY), "")?;
        found("a file's name")?;
        fs::remove_file(plant.join(FAMILY))?;
        fs::write(plant.join("digest"), Digest::of(MRN.as_bytes()).0)?;
        found("a digest in a file")?;
        fs::remove_file(plant.join("digest"))?;
        // Committed and not yet in the database's own file: the write-ahead log is read, too.
        let db = Connection::open(plant.join("a.db"))?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.execute_batch("CREATE TABLE note (text TEXT) STRICT")?;
        db.execute("INSERT INTO note VALUES (?1)", [format!("MRN {MRN}")])?;
        let of_the_database = fs::read(plant.join("a.db"))?;
        ensure!(self.absent_in("a.db", &of_the_database).is_ok(), "it is to be in the log alone");
        found("a row in a write-ahead log")?;
        drop(db);
        Ok(fs::remove_dir_all(plant)?)
    }
}

/// The characters that stand for `text` wherever it begins, in both alphabets of base64: at each of three alignments,
/// those that depend on nothing else.
fn base64(text: &str) -> Vec<Vec<u8>> {
    let aligned = |lead: usize| {
        let padded = [&b"\0\0"[..lead], text.as_bytes()].concat();
        let (first, whole) = ((lead * 8).div_ceil(6), padded.len() * 8 / 6);
        STANDARD_NO_PAD.encode(padded)[first..whole].to_owned()
    };
    (0..3)
        .map(aligned)
        .flat_map(|form| [form.replace('+', "-").replace('/', "_"), form].map(String::into_bytes))
        .collect()
}
