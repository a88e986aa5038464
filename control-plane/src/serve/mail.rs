//! Sends mail: letters of an incident, and packets, which it takes from the core's outbox until the mail server has answered
//! for good.
//!
//! The rule: what the server said decides. 2xx is sent, 5xx never will be, all else (4xx, silence, a broken line) is tried
//! again with the same Message-ID. A crash between the server's yes and ours repeats a mail, as SMTP itself may; nothing is lost.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    address::AddressError,
    message::{Attachment, Mailbox, MultiPart, SinglePart, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        extension::ClientId,
    },
};
use proto::{digest::Digest, time::Millis};
use tokio::{task::JoinSet, time};

use super::{listener::Stop, rounds::Rounds, writer::Writer};
use crate::{
    config::{ConfigError, Mail, MailTls},
    core::{
        chain,
        deliveries::{Outgoing, Posted},
    },
    files, packet,
    telling::mail::Letter,
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// All of one mail: a packet has some hundred kB.
pub const MAIL_WITHIN: Duration = Duration::from_secs(300);
/// All of one letter: some lines.
pub const LETTER_WITHIN: Duration = Duration::from_secs(60);
const AUTHORITY_MAX: u64 = 1 << 20;
/// No TLS, no password, or a wrong one (RFC 4954 section 6, RFC 3207 section 4).
const NOT_ABOUT_A_MAIL: [&str; 4] = ["530", "534", "535", "538"];
/// How much of what went wrong is kept.
const ERROR_KEPT: usize = 300;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A way to the mail server.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    organization: String,
    link: Option<String>,
    limit: Duration,
}

impl Mailer {
    /// As the settings say; one mail may take `limit` in all.
    pub fn new(mail: &Mail, organization: &str, limit: Duration) -> Result<Self, ConfigError> {
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.server)
            .port(mail.port)
            .tls(tls_of(mail)?)
            .hello_name(ClientId::Domain(organization.to_owned()))
            .timeout(Some(limit));
        if let Some((user, password)) = mail.password()? {
            builder = builder.credentials(Credentials::new(user, password.expose().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            from: mail.from.clone(),
            organization: organization.to_owned(),
            link: mail.link.clone(),
            limit,
        })
    }

    /// Gives one mail to the server.
    pub async fn post(&self, outgoing: &Outgoing, now: Millis) -> Posted {
        self.give(self.message(outgoing, now)).await
    }

    /// Gives one letter about an incident to the server.
    pub async fn post_letter(&self, letter: &Letter, now: Millis) -> Posted {
        let to = letter.to.parse().map_err(|error: AddressError| error.into());
        let message = to.and_then(|to| {
            let builder = Message::builder()
                .from(self.from.clone())
                .to(Mailbox::new(None, to))
                .subject(letter.subject.clone())
                .message_id(Some(letter.message_id.clone()))
                .in_reply_to(letter.thread.clone())
                .references(letter.thread.clone())
                .date(sent(now));
            Ok(builder.singlepart(SinglePart::plain(letter.text.clone()))?)
        });
        self.give(message).await
    }

    async fn give(&self, message: Result<Message, Failure>) -> Posted {
        let message = match message {
            Ok(message) => message,
            Err(error) => return Posted::Never(kept(&chain(&*error))),
        };
        match time::timeout(self.limit, self.transport.send(message)).await {
            Err(_) => Posted::Later("the mail server did not answer in time".to_owned()),
            Ok(Ok(_)) => Posted::Taken,
            Ok(Err(error)) => {
                let why = kept(&chain(&error));
                let status = error.status().map(|code| code.to_string()).unwrap_or_default();
                // Of what is wrong between the two servers no recipient is to blame, and an operator can mend it.
                let is_ours = NOT_ABOUT_A_MAIL.contains(&status.as_str());
                if error.is_permanent() && !is_ours { Posted::Never(why) } else { Posted::Later(why) }
            }
        }
    }

    /// The mail: the month in a few lines, the packet, and how to check it.
    fn message(&self, outgoing: &Outgoing, now: Millis) -> Result<Message, Failure> {
        let files = &outgoing.files;
        let (bytes, ending, kind) = match &files.pdf {
            Some(pdf) => (pdf.clone(), "pdf", "application/pdf"),
            None => (files.markdown.clone().into_bytes(), "md", "text/markdown; charset=utf-8"),
        };
        let name = format!("packet-{}.{ending}", outgoing.row.month);
        let body = self.body(outgoing, &name, Digest::of(&bytes));
        let to: lettre::Address = outgoing.row.address.parse().map_err(|e: AddressError| e)?;
        let attachment = Attachment::new(name).body(bytes, ContentType::parse(kind)?);
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(format!("Evidence packet of {}, {}", outgoing.clinic, outgoing.month.title()))
            .message_id(Some(outgoing.row.message_id.clone()))
            .date(sent(now))
            .multipart(MultiPart::mixed().singlepart(SinglePart::plain(body)).singlepart(attachment))?;
        Ok(message)
    }

    fn body(&self, outgoing: &Outgoing, name: &str, digest: Digest) -> String {
        let brief = packet::brief(&outgoing.files.markdown);
        let lines: Vec<String> = brief.iter().map(|line| format!("  - {line}")).collect();
        let link = match (&self.link, &outgoing.secret) {
            (Some(link), Some(secret)) => format!(
                "\nPlease read it, and acknowledge on this page that you did (45 CFR 164.308(a)(1)(ii)(D)). The link is for you \
                 alone, works once, and for 60 days:\n\n{link}/review/{secret}\n"
            ),
            _ => String::new(),
        };
        let by = outgoing.brand.name_of(&self.organization);
        let help = match outgoing.brand.contact.as_str() {
            "" => String::new(),
            contact => format!("\nQuestions: {contact}\n"),
        };
        format!(
            "The evidence packet of {} for {} is attached, made by {by}.\n\nIn short:\n\n{}\n{link}\n\
             How to check it\n\n\
             {name} has SHA-256\n{digest}\n\n\
             Everything in it can be checked without trusting anybody: ask {by} for the month's bundle and its verifier, and follow the \
             section \"How to verify\" in the packet. The packet holds no patient data.\n{help}",
            outgoing.clinic,
            outgoing.month.title(),
            lines.join("\n"),
        )
    }
}

fn sent(now: Millis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.0).unwrap_or(0))
}

/// How the way to the server is secured, with the certificates that the settings name.
pub(crate) fn tls_of(mail: &Mail) -> Result<Tls, ConfigError> {
    if mail.tls == MailTls::None {
        return Ok(Tls::None);
    }
    let named = mail.authority.as_deref().map_or_else(String::new, |path| path.display().to_string());
    let wrong = |error: String| ConfigError::Value {
        key: "mail.authority",
        value: named.clone(),
        allowed: format!("a file of certificates in PEM: {error}"),
    };
    let mut builder = TlsParameters::builder(mail.server.clone());
    builder = match &mail.authority {
        None => builder.certificate_store(CertificateStore::WebpkiRoots),
        Some(path) => {
            let pem = files::read(path, AUTHORITY_MAX).map_err(|error| wrong(chain(&error)))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(chain(&error)))?;
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificate)
        }
    };
    let parameters = builder.build_rustls().map_err(|error| wrong(chain(&error)))?;
    Ok(match mail.tls {
        MailTls::Tls => Tls::Wrapper(parameters),
        MailTls::StartTls | MailTls::None => Tls::Required(parameters),
    })
}

/// What a server said, as far as a line holds it, printable.
fn kept(error: &str) -> String {
    error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_KEPT).collect()
}

/// Sends what is due until `stopped`.
pub async fn send(writer: Writer, mailer: Mailer, clock: fn() -> Millis, stopped: Stop) {
    let mailer = Arc::new(mailer);
    let mut rounds = Rounds::every(LOOK_EVERY, stopped);
    while rounds.next().await {
        // What is left off is sent again after the next start, under the same name.
        rounds.unless_stopped(round(&writer, &mailer, clock)).await;
    }
}

/// Everything that is due now, once.
pub async fn round(writer: &Writer, mailer: &Arc<Mailer>, clock: fn() -> Millis) {
    loop {
        let Ok(due) = writer.run(|core, now| core.mails_to_send(now)).await else { return };
        if due.is_empty() {
            return;
        }
        let mut posts: JoinSet<(Outgoing, Posted)> = due
            .into_iter()
            .map(|outgoing| {
                let mailer = mailer.clone();
                async move {
                    let posted = mailer.post(&outgoing, clock()).await;
                    (outgoing, posted)
                }
            })
            .collect();
        while let Some(posted) = posts.join_next().await {
            let Ok((outgoing, posted)) = posted else { continue };
            if let Posted::Later(why) | Posted::Never(why) = &posted {
                let (tenant, month) = (outgoing.row.tenant, outgoing.month);
                tracing::warn!(%tenant, %month, error = why, "a mail server did not take the packet of {month}");
            }
            // If this is not stored it is sent again, under the same name.
            if writer.run(move |core, now| core.mailed(&outgoing.row, &posted, now)).await.is_err() {
                return;
            }
        }
    }
}
