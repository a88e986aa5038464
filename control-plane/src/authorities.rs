//! The certificate authorities of this installation, as the charter in force names them.
//!
//! The rule: an authority counts from the charter that names it to the one that leaves it out. While there are two the new
//! one issues to boxes, for who gets its certificate gets that charter with it. The server itself goes on to show a
//! certificate of the old one, so that a box that was away all the while still knows whom it talks to.
//!
//! ```text
//!  charter names     boxes get certificates of     the server shows one of     boxes may show one of
//!  old               old                           old                         old
//!  old, new          new                           old                         either
//!  new               new                           new                         new
//! ```

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use proto::{field::BadField, identity::SpiffeId, time::Millis};

use crate::{
    ca::{self, CaError, CertificateAuthority},
    clock,
    core::{chain, ports::CertificateIssuer},
    directory::Directory,
    files::{self, Access, FileError},
};

/// Most bytes of a key's file.
const FILE_MAX: u64 = 64 * 1024;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file.
    #[error("cannot use the files of a certificate authority")]
    File(#[from] FileError),
    /// What is in it.
    #[error("certificate authority {path}")]
    Content {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CaError,
    },
    /// The charter has others.
    #[error("must name one that is here: {here}")]
    NotNamed {
        /// What is here, by SHA-256.
        here: String,
    },
}

/// Those of them that a charter names.
#[derive(Debug)]
pub struct Named {
    /// All that it names, PEM: boxes may show a certificate of any.
    pub all: Vec<String>,
    /// The newest that is here: boxes get certificates of it.
    pub issues: Arc<CertificateAuthority>,
    /// The oldest that is here: the server shows a certificate of it.
    pub vouches: Arc<CertificateAuthority>,
}

impl Named {
    /// When the first of those that are here ends.
    #[must_use]
    pub fn not_after(&self) -> Millis {
        self.issues.not_after().min(self.vouches.not_after())
    }
}

/// The authorities, and which of them count now.
pub struct Authorities {
    here: Here,
    named: RwLock<Arc<Named>>,
}

/// Where they are.
enum Here {
    /// In files; looked for anew under each charter.
    Files(Directory),
    /// The newest first.
    Memory(Vec<Arc<CertificateAuthority>>),
}

impl Here {
    fn under(&self, all: &[String]) -> Result<Arc<Named>, AuthorityError> {
        let found = match self {
            Self::Files(directory) => installed(directory)?.into_iter().map(|(_, one)| one).collect(),
            Self::Memory(here) => here.clone(),
        };
        under(&found, all).map(Arc::new)
    }
}

impl Authorities {
    /// Those of an installation, under a charter that names these (PEM).
    pub fn open(directory: &Directory, all: &[String]) -> Result<Arc<Self>, AuthorityError> {
        Self::new(Here::Files(directory.clone()), all)
    }

    /// These, the newest first, under a charter that names `all` (PEM).
    pub fn of(here: Vec<Arc<CertificateAuthority>>, all: &[String]) -> Result<Arc<Self>, AuthorityError> {
        Self::new(Here::Memory(here), all)
    }

    fn new(here: Here, all: &[String]) -> Result<Arc<Self>, AuthorityError> {
        let named = RwLock::new(here.under(all)?);
        Ok(Arc::new(Self { here, named }))
    }

    /// One that stays.
    #[must_use]
    pub fn one(authority: Arc<CertificateAuthority>) -> Arc<Self> {
        let all = vec![authority.certificate_pem().to_owned()];
        let named = Named { all, issues: authority.clone(), vouches: authority.clone() };
        Arc::new(Self { here: Here::Memory(vec![authority]), named: RwLock::new(Arc::new(named)) })
    }

    /// What counts now.
    #[must_use]
    pub fn named(&self) -> Arc<Named> {
        self.named.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What counts under a charter that names these.
    pub fn under(&self, all: &[String]) -> Result<Arc<Named>, AuthorityError> {
        let named = self.named();
        if named.all == all { Ok(named) } else { self.here.under(all) }
    }

    /// A charter that names these is in force.
    pub fn go_by(&self, all: &[String]) -> Result<(), AuthorityError> {
        let named = self.under(all)?;
        if !Arc::ptr_eq(&named, &self.named()) {
            let (issues, vouches) = (named.issues.fingerprint(), named.vouches.fingerprint());
            tracing::warn!(
                "certificates of boxes are by authority {issues} from now on, the server's by {vouches}"
            );
            *self.named.write().unwrap_or_else(PoisonError::into_inner) = named;
        }
        match &self.here {
            Here::Files(directory) => settle(directory, all),
            Here::Memory(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").field(&self.named()).finish()
    }
}

/// For the core: issues under the charter that it has in hand, which need not be durable yet.
pub(crate) struct Issuer {
    authorities: Arc<Authorities>,
    /// What was gone by last, files and all.
    settled: Mutex<Vec<String>>,
}

impl Issuer {
    pub(crate) fn new(authorities: Arc<Authorities>) -> Self {
        Self { authorities, settled: Mutex::default() }
    }
}

impl CertificateIssuer for Issuer {
    fn check(&self, named: &[String]) -> Result<(), BadField> {
        self.authorities.under(named).map(drop).map_err(|error| bad("certificate_authorities", &error))
    }

    fn issue(&self, csr: &[u8], id: &SpiffeId, named: &[String], now: Millis) -> Result<Vec<u8>, BadField> {
        let mut serial = [0; 16];
        clock::random(&mut serial);
        let named = self.authorities.under(named).map_err(|error| bad("certificate_authorities", &error))?;
        named.issues.issue_appliance(csr, id, now, serial).map_err(|error| bad("csr", &error))
    }

    fn in_force(&self, named: &[String]) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if *settled == named {
            return;
        }
        match self.authorities.go_by(named) {
            Ok(()) => *settled = named.to_vec(),
            Err(error) => {
                tracing::error!("the certificate authorities of the charter in force: {}", chain(&error))
            }
        }
    }
}

fn bad(field: &str, error: &(dyn Error + 'static)) -> BadField {
    BadField::new(field, chain(error))
}

/// An authority, and the file of its certificate.
type Installed = (PathBuf, Arc<CertificateAuthority>);

/// The authorities in the files of an installation, the newest first.
pub fn installed(directory: &Directory) -> Result<Vec<Installed>, AuthorityError> {
    let (current, next) = (directory.ca_certificate(), directory.next_ca_certificate());
    if !next.exists() {
        return Ok(vec![read(current, &directory.ca_key())?]);
    }
    let next = read(next, &directory.next_ca_key())?;
    // It was being put in the place of the one before when the power went: the key there may still be the other's.
    if files::read_text(&current, FILE_MAX)? == next.1.certificate_pem() {
        return Ok(vec![next]);
    }
    Ok(vec![next, read(current, &directory.ca_key())?])
}

fn read(path: PathBuf, key: &Path) -> Result<Installed, AuthorityError> {
    let (pem, key) = (files::read_text(&path, FILE_MAX)?, files::read_secret(key, FILE_MAX)?);
    match CertificateAuthority::load(&pem, &key) {
        Ok(read) => Ok((path, Arc::new(read))),
        Err(source) => Err(AuthorityError::Content { path, source }),
    }
}

/// Puts what follows in the place of the one before, once a charter that names it leaves that one out, whose key has no use
/// any more. The power may go between any two steps: [`installed`] knows what each leaves, and this goes on from there.
pub fn settle(directory: &Directory, named: &[String]) -> Result<(), AuthorityError> {
    let (next, next_key) = (directory.next_ca_certificate(), directory.next_ca_key());
    if !next.exists() {
        return Ok(());
    }
    let here = installed(directory)?;
    let is_named = |(_, one): &Installed| names(named, one);
    if !here.first().is_some_and(is_named) || here.get(1).is_some_and(is_named) {
        return Ok(());
    }
    files::replace(
        &directory.ca_certificate(),
        files::read_text(&next, FILE_MAX)?.as_bytes(),
        Access::Public,
    )?;
    files::replace(&directory.ca_key(), files::read_secret(&next_key, FILE_MAX)?.as_bytes(), Access::Secret)?;
    for path in [next, next_key] {
        fs::remove_file(&path).map_err(|source| FileError::Write { path, source })?;
    }
    Ok(())
}

fn under(here: &[Arc<CertificateAuthority>], all: &[String]) -> Result<Named, AuthorityError> {
    let mut named = here.iter().filter(|one| names(all, one));
    let Some(issues) = named.next() else {
        let here: Vec<String> = here.iter().map(|one| one.fingerprint().to_string()).collect();
        return Err(AuthorityError::NotNamed { here: here.join(", ") });
    };
    let vouches = named.next_back().unwrap_or(issues);
    Ok(Named { all: all.to_vec(), issues: issues.clone(), vouches: vouches.clone() })
}

/// Whether an authority is one of these.
#[must_use]
pub fn names(all: &[String], authority: &CertificateAuthority) -> bool {
    all.iter().any(|pem| ca::fingerprint(pem).is_ok_and(|print| print == authority.fingerprint()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Whatever of the exchange was done when the power went, the server starts, issues by the new one, and finishes it.
    #[test]
    fn an_exchange_may_be_cut_off_anywhere() {
        let now = Millis(1_795_000_000_000);
        let made = |seed| CertificateAuthority::create("msp.example", now, [seed; 16]).unwrap();
        let (old, new) = (made(1), made(2));
        let named = [new.certificate_pem().to_owned()];
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        let (current, key) = (directory.ca_certificate(), directory.ca_key());
        let (next, next_key) = (directory.next_ca_certificate(), directory.next_ca_key());
        let [old_pem, new_pem] = [&old, &new].map(|one| one.certificate_pem().to_owned());
        // Each step of `settle`, as it leaves the files; the first changes nothing.
        let mut files = BTreeMap::from([
            (&current, old_pem),
            (&key, old.key_pem()),
            (&next, new_pem.clone()),
            (&next_key, new.key_pem()),
        ]);
        let steps = [
            (&next_key, Some(new.key_pem())),
            (&current, Some(new_pem)),
            (&key, Some(new.key_pem())),
            (&next, None),
            (&next_key, None),
        ];
        for (done, (path, text)) in steps.into_iter().enumerate() {
            match text {
                Some(text) => drop(files.insert(path, text)),
                None => drop(files.remove(path)),
            }
            let _ = fs::remove_dir_all(folder.path().join("keys"));
            files::create_folder(&folder.path().join("keys")).unwrap();
            for (path, text) in &files {
                files::create(path, text.as_bytes(), Access::Secret).unwrap();
            }
            let authorities = Authorities::open(&directory, &named).unwrap();
            assert_eq!(authorities.named().issues.fingerprint(), new.fingerprint(), "after {done} steps");
            authorities.go_by(&named).unwrap();
            let [(path, one)] = &installed(&directory).unwrap()[..] else {
                panic!("two, after {done} steps")
            };
            assert_eq!((path, one.fingerprint()), (&current, new.fingerprint()), "after {done} steps");
            assert!(!next.exists());
        }
        // While the charter names the old one too, nothing of it goes.
        for (path, text) in [(&next, old.certificate_pem().to_owned()), (&next_key, old.key_pem())] {
            files::replace(path, text.as_bytes(), Access::Secret).unwrap();
        }
        let both = [new.certificate_pem().to_owned(), old.certificate_pem().to_owned()];
        Authorities::open(&directory, &both).unwrap().go_by(&both).unwrap();
        assert_eq!(installed(&directory).unwrap().len(), 2);
        assert!(Authorities::open(&directory, &[made(3).certificate_pem().to_owned()]).is_err());
    }
}
