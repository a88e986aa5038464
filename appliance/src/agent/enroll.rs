//! Enrolment: a one-time ticket becomes an identity that agent and executor share.
//!
//! The rule: it may be cut anywhere and run again. Each step first looks whether it was done; the one answer that the
//! control plane gives for a token is kept on disk before anything is done with it. What is pinned is never replaced.
//! Root pins, and is the agent's user from there on: in a folder of the agent's it does nothing that the agent could not.
//!
//! ```text
//!  ticket ─> pin keys and authority ─> TLS key ─> executor vouches ─> Enroll ─> answer kept
//!         ─> charter under the pinned keys ─> executor adopts ─> certificate kept: enrolled
//! ```

mod pin;
mod ticket;

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf};

use nix::{
    errno::Errno,
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};
use prost::Message as _;
use proto::{
    charter::{CharterError, OrganizationKeys},
    digest::Digest,
    field::BadField,
    identity::CertificateFacts,
    local, pb,
};

use super::{
    credentials::{self, CredentialError, Folder, TlsKey},
    executor::{self, AskError},
    link::LinkError,
};
use crate::{
    config::{Config, UnknownUser, User},
    files::{self, FileError},
    world::Executor,
};

pub use pin::PinError;
pub use ticket::{Ticket, TicketError};

/// Why this appliance is not enrolled, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// What the ticket pins is not what is pinned.
    #[error("cannot pin what the ticket says")]
    Pin(#[from] PinError),
    /// Key or certificate.
    #[error("cannot use the agent's credentials")]
    Credentials(#[from] CredentialError),
    /// A file.
    #[error("cannot keep what was agreed")]
    File(#[from] FileError),
    /// The executor.
    #[error("the executor must run, and take part")]
    Executor(#[from] AskError),
    /// The control plane.
    #[error(
        "the control plane gave no certificate; run this again, and if it says that the token was used, get a new ticket"
    )]
    Link(#[from] LinkError),
    /// The charter is not signed by the pinned keys.
    #[error("the charter that came with the certificate is not believed; nothing was adopted")]
    Charter(#[source] CharterError),
    /// The certificate is not what the charter allows.
    #[error("the certificate that came is not believed; nothing was adopted")]
    Certificate(#[source] BadField),
    /// What an earlier run left is damaged.
    #[error("{path} is damaged; remove it, and enrol with a new ticket")]
    Pending {
        /// The file.
        path: PathBuf,
    },
    /// This agent was enrolled before, its executor was not.
    #[error(
        "{certificate} names {appliance}, but the executor has no identity: it is a new incarnation; move {folder} away, and enrol with a new ticket"
    )]
    NewIncarnation {
        /// The agent's certificate.
        certificate: PathBuf,
        /// Whom it names.
        appliance: String,
        /// The agent's folder.
        folder: PathBuf,
    },
    /// Agent and executor are not the same appliance.
    #[error(
        "the agent's certificate names {agent}, the executor is {executor}; enrol neither again before you know which is right"
    )]
    TwoIdentities {
        /// By the certificate.
        agent: String,
        /// By its own word.
        executor: String,
    },
    /// `agent.user` is no user of this machine.
    #[error("agent.user = {user}")]
    User {
        /// Who.
        user: User,
        /// Why not.
        #[source]
        source: UnknownUser,
    },
    /// This process cannot become `agent.user`.
    #[error("cannot become the agent's user; nothing of its was touched")]
    StepDown(#[source] Errno),
}

/// What an enrolment came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The certificate.
    pub certificate: CertificateFacts,
    /// Whether there was nothing left to do.
    pub already: bool,
}

/// Enrols, or finishes an enrolment that was cut off. `ask` sends the request to the control plane.
pub fn enroll(
    config: &Config,
    ticket: &Ticket,
    executor: &mut dyn Executor,
    ask: impl FnOnce(pb::EnrollRequest) -> Result<pb::EnrollResponse, LinkError>,
) -> Result<Enrolled, EnrollError> {
    pin::pin(&config.trust, ticket)?;
    let folder = Folder::at(config.paths.agent());
    match &config.agent.user {
        Some(user) if Uid::effective().is_root() => {
            let (uid, gid) =
                user.resolve().map_err(|source| EnrollError::User { user: user.clone(), source })?;
            files::private_folder_of(folder.path(), Some((uid, gid)))?;
            step_down(uid, gid).map_err(EnrollError::StepDown)?;
        }
        _ => files::private_folder(folder.path())?,
    }
    let _alone = files::lock(&folder.lock())?;
    let key = TlsKey::load_or_make(&folder)?;
    let description = executor::describe(executor)?;
    Ok(match known(&folder, description.identity.as_ref())? {
        Some(certificate) => Enrolled { certificate, already: true },
        None => {
            let answer = match pending(&folder)? {
                Some(answer) => answer,
                None => request(&folder, &key, ticket, executor, ask)?,
            };
            Enrolled { certificate: finish(&folder, &key, ticket, executor, answer)?, already: false }
        }
    })
}

/// For good, with every thread of this process: a name that the agent has put into its folder leads nowhere that it may
/// not go by itself.
fn step_down(uid: Uid, gid: Gid) -> nix::Result<()> {
    setgroups(&[gid])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

/// The certificate of an enrolment that was finished.
fn known(
    folder: &Folder,
    executor: Option<&local::Identity>,
) -> Result<Option<CertificateFacts>, EnrollError> {
    let certificate = match credentials::certificate(folder) {
        Err(CredentialError::NotEnrolled { .. }) => return Ok(None),
        other => other?.1,
    };
    let agent = certificate.spiffe.to_string();
    let Some(identity) = executor else {
        let (path, folder) = (folder.certificate(), folder.path().to_owned());
        return Err(EnrollError::NewIncarnation { certificate: path, appliance: agent, folder });
    };
    let local::Identity { organization, tenant, appliance } = identity;
    let executor = format!("spiffe://{organization}/tenant/{tenant}/appliance/{appliance}");
    if agent != executor {
        return Err(EnrollError::TwoIdentities { agent, executor });
    }
    forget(folder)?;
    Ok(Some(certificate))
}

/// The answer is of no use any more; it may be gone already.
fn forget(folder: &Folder) -> Result<(), FileError> {
    let path = folder.pending();
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError { doing: "remove", path, source })
        }
        _ => files::sync_parent(&path),
    }
}

fn pending(folder: &Folder) -> Result<Option<pb::EnrollResponse>, EnrollError> {
    let path = folder.pending();
    match fs::read(&path) {
        Ok(bytes) => {
            pb::EnrollResponse::decode(bytes.as_slice()).map(Some).map_err(|_| EnrollError::Pending { path })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError { doing: "read", path, source }.into()),
    }
}

fn request(
    folder: &Folder,
    key: &TlsKey,
    ticket: &Ticket,
    executor: &mut dyn Executor,
    ask: impl FnOnce(pb::EnrollRequest) -> Result<pb::EnrollResponse, LinkError>,
) -> Result<pb::EnrollResponse, EnrollError> {
    let challenge = Digest::of(ticket.token.as_bytes());
    let key_proof = executor::prove_keys(executor, key.spki().to_vec(), challenge.to_vec())?;
    let answer = ask(pb::EnrollRequest {
        token: ticket.token.clone(),
        csr: key.request()?,
        key_proof,
        hardware: std::env::consts::ARCH.to_owned(),
    })?;
    check(key, ticket, &answer)?;
    files::replace(&folder.pending(), &answer.encode_to_vec())?;
    Ok(answer)
}

/// Believes the answer for the same reasons for which the executor will.
fn check(key: &TlsKey, ticket: &Ticket, answer: &pb::EnrollResponse) -> Result<(), EnrollError> {
    let keys: &OrganizationKeys = &ticket.organization_keys;
    let charter = keys.open(&answer.charter).map_err(EnrollError::Charter)?.into_value();
    let facts = CertificateFacts::issued_by(&answer.certificate, &charter.certificate_authorities)
        .map_err(EnrollError::Certificate)?;
    let wrong = |problem: String| Err(EnrollError::Certificate(BadField::new("certificate", problem)));
    if facts.spki != key.spki() {
        return wrong("must be for this appliance's TLS key".to_owned());
    }
    if facts.spiffe.trust_domain != charter.organization {
        return wrong(format!("must be of {}, is of {}", charter.organization, facts.spiffe.trust_domain));
    }
    Ok(())
}

fn finish(
    folder: &Folder,
    key: &TlsKey,
    ticket: &Ticket,
    executor: &mut dyn Executor,
    answer: pb::EnrollResponse,
) -> Result<CertificateFacts, EnrollError> {
    check(key, ticket, &answer)?;
    let pb::EnrollResponse { certificate, charter, catalogue, policy } = answer;
    let adopt = local::Adopt { charter, certificate: certificate.clone(), catalogue, policy };
    executor::adopt(executor, adopt)?;
    let facts = credentials::keep_certificate(folder, key, &certificate)?;
    forget(folder)?;
    Ok(facts)
}

/// Makes a file that holds nothing secret readable by the other of the two processes.
fn publish(path: &std::path::Path) -> Result<(), FileError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(|source| FileError {
        doing: "open to others",
        path: path.to_owned(),
        source,
    })
}
