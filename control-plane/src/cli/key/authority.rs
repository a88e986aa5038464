//! `key rotate ca`: the next certificate authority.
//!
//! The rule: first every box knows both, then the new one issues, and the old one is left out when nobody needs it any more.
//! A box gets the charter with its next certificate, or before; after 37 days it either has one of the new authority, or none
//! that could be renewed. See [`crate::authorities`].

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::anyhow;
use proto::{
    charter::Charter,
    identity::{CERTIFICATE_LIFETIME, RENEWAL_GRACE},
};
use serde_json::json;

use super::super::{World, misuse, output::Answer};
use crate::{
    authorities::{installed, names, settle},
    ca::CertificateAuthority,
    directory::Directory,
    files::{self, Access},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One of this installation.
pub(super) struct Listed {
    pub(super) fingerprint: String,
    pub(super) at: String,
    pub(super) is_named: bool,
}

/// Those of this installation.
pub(super) fn list(directory: &Directory, charter: &Charter) -> anyhow::Result<Vec<Listed>> {
    let listed = |(path, one): &(PathBuf, Arc<CertificateAuthority>)| Listed {
        fingerprint: one.fingerprint().to_string(),
        at: format!("{}, until {}", path.display(), one.not_after()),
        is_named: names(&charter.certificate_authorities, one),
    };
    Ok(installed(directory)?.iter().map(listed).collect())
}

/// Makes it, and says how it goes on.
pub(super) fn rotate(directory: &Directory, charter: &Charter, world: World) -> anyhow::Result<Answer> {
    // A server that runs has done it already.
    settle(directory, &charter.certificate_authorities)?;
    let (next, next_key) = (directory.next_ca_certificate(), directory.next_ca_key());
    let found = installed(directory)?;
    let (_, current) = found.last().ok_or_else(|| anyhow!("there is no certificate authority"))?;
    if next.exists() {
        return Err(misuse(format!(
            "{} is there already ({}): one exchange after the other; have a charter leave the old authority out first, \
             or remove that file and its key where no charter is to name it",
            next.display(),
            found[0].1.fingerprint()
        )));
    }
    let mut serial = [0; 16];
    (world.random)(&mut serial);
    let made = CertificateAuthority::create(&charter.organization, (world.now)(), serial)?;
    // The key first: there is an authority once its certificate is there.
    files::replace(&next_key, made.key_pem().as_bytes(), Access::Secret)?;
    files::create(&next, made.certificate_pem().as_bytes(), Access::Public)?;
    let (new, old, file) = (made.fingerprint(), current.fingerprint(), next.display());
    let days = (CERTIFICATE_LIFETIME + RENEWAL_GRACE).as_secs() / DAY.as_secs();
    let text = format!(
        "new authority: {new}\nin {file}, its key in {}\nold authority: {old}\n\n\
         It issues nothing yet. Have a charter name both: boxes get certificates of the new one from then on, each when its own \
         is due, and that charter with it. The server shows one of the old authority as before.\n  \
         control-plane charter renew --authority {file} --key ... --key ...\n\
         Whoever trusts {} otherwise (--ca of command lines, browsers) is to trust both files by then.\n\n\
         After {days} days no certificate of the old one can be used or renewed any more. Then leave it out; at once if its key was \
         stolen. A box that was away all the while must be enrolled anew.\n  \
         control-plane charter renew --without-authority {old} --key ... --key ...",
        next_key.display(),
        directory.ca_certificate().display(),
    );
    let json = json!({ "kind": "ca", "file": next, "fingerprint": new, "old": old, "days": days });
    Ok(Answer::new(text, json))
}
