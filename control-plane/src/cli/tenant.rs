//! `control-plane tenant`: clinics.

use std::path::PathBuf;

use clap::Subcommand;
use proto::{
    digest::Digest,
    pb::{
        self, AgreementView, CreateTenant, ListTenants, OffboardTenant, RecordAgreement, ShadowTenant,
        TenantRecipients, TenantTimes, tenants_client::TenantsClient,
    },
    time::Millis,
};
use runbooks::Window;
use serde_json::{Value, json};

use super::{
    Global,
    catalogue::date,
    connection::{answer, connect},
    output::{Answer, facts, optional, table, time, when},
    usage::usage,
};
use crate::{
    bundle::{Month, date as day},
    files,
};

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Add a clinic
    #[command(after_help = "Example:\n  control-plane tenant create \"Elm Street Clinic\"")]
    Create {
        /// What people call it
        name: String,
    },
    /// Show all clinics
    List,
    /// Plan and report, but run nothing, until a day: for a new clinic's first weeks
    #[command(
        after_help = "Example:\n  control-plane tenant shadow \"Elm Street Clinic\" --until 2027-01-15"
    )]
    Shadow {
        /// Clinic, by name or ID
        tenant: String,
        /// Until when
        #[arg(long, value_name = "DATE", value_parser = date, required_unless_present = "off")]
        until: Option<Millis>,
        /// End it now
        #[arg(long, conflicts_with = "until")]
        off: bool,
    },
    /// Say when people work in a clinic: then no runbook runs that disturbs them; without times, show them
    #[command(after_help = HOURS)]
    Hours {
        /// Clinic, by name or ID
        tenant: String,
        /// All of its hours: days, from-to, and IANA time zone
        #[arg(value_name = "TIMES", value_parser = Window::typed)]
        times: Vec<Window>,
        /// It has none: whatever disturbs people runs at any time
        #[arg(long, conflicts_with = "times")]
        off: bool,
    },
    /// Record the contract with a clinic (business associate agreement) by its document's digest; without one, show it
    #[command(after_help = AGREEMENT)]
    Agreement {
        /// Clinic, by name or ID
        tenant: String,
        /// Day on which it was signed
        #[arg(long, value_name = "DATE", value_parser = date, requires = "which")]
        signed: Option<Millis>,
        /// Its last day [default: it holds until somebody ends it]
        #[arg(long, value_name = "DATE", value_parser = date, requires = "signed")]
        until: Option<Millis>,
        /// The signed document: only its SHA-256 leaves this machine
        #[arg(long, value_name = "FILE", group = "which", requires = "signed")]
        document: Option<PathBuf>,
        /// Its SHA-256, where the file is elsewhere
        #[arg(long, value_name = "HEX", group = "which", requires = "signed")]
        document_sha256: Option<Digest>,
    },
    /// Say to whom a clinic's packets are sent by mail; without addresses, show them
    #[command(after_help = RECIPIENTS)]
    Recipients {
        /// Clinic, by name or ID
        tenant: String,
        /// Send them to this address too; may be given again
        #[arg(long, value_name = "EMAIL")]
        add: Vec<String>,
        /// Send them no more to this address; may be given again
        #[arg(long, value_name = "EMAIL")]
        remove: Vec<String>,
    },
    /// Show what each clinic used in a month, for invoices
    #[command(
        after_help = "Months are UTC.\n\nExample:\n  control-plane tenant usage --month 2026-11 --csv > usage.csv"
    )]
    Usage {
        /// Only this clinic, by name or ID
        #[arg(default_value = "", hide_default_value = true)]
        tenant: String,
        /// Which month, such as 2026-11
        #[arg(long, value_name = "MONTH")]
        month: Month,
        /// Print CSV, for a spreadsheet or another program
        #[arg(long)]
        csv: bool,
    },
    /// A clinic leaves: shut out its boxes and whoever had access to it alone, for good; its evidence stays
    #[command(after_help = OFFBOARD)]
    Offboard {
        /// Clinic, by name or ID
        tenant: String,
        /// Its name once more, because this cannot be undone
        #[arg(long, value_name = "NAME")]
        confirm: String,
        /// Why, for the record
        #[arg(long)]
        why: String,
    },
    /// Say in which windows anything runs in a clinic, disturbing or not; without times, show them
    #[command(after_help = WINDOWS)]
    Windows {
        /// Clinic, by name or ID
        tenant: String,
        /// All of its windows: days, from-to, and IANA time zone
        #[arg(value_name = "TIMES", value_parser = Window::typed)]
        times: Vec<Window>,
        /// It has none: runbooks run at any time
        #[arg(long, conflicts_with = "times")]
        off: bool,
    },
}

const HOURS: &str = "\
What disturbs people (`disruptive: true` in the catalogue) waits until the hours are over; its incident escalates when that
takes too long. Appliances hold to these hours by themselves, and to their own (clinic_hours under [limits]) besides.

Days: monday to sunday, one or several, monday-friday, daily. What ends at or before it begins ends on the next day.

Examples:
  control-plane tenant hours \"Elm Street Clinic\" \"monday-friday 08:00-18:00 America/Chicago\" \\
      \"saturday 09:00-12:00 America/Chicago\"
  control-plane tenant hours \"Elm Street Clinic\"
  control-plane tenant hours \"Elm Street Clinic\" --off";

const WINDOWS: &str = "\
Outside of all windows nothing runs, and incidents escalate when that takes too long. For what only must not disturb people
at work, see `tenant hours`.

Days: monday to sunday, one or several, monday-friday, daily. What ends at or before it begins ends on the next day.

Examples:
  control-plane tenant windows \"Elm Street Clinic\" \"daily 20:00-06:00 America/Chicago\"
  control-plane tenant windows \"Elm Street Clinic\"
  control-plane tenant windows \"Elm Street Clinic\" --off";

const OFFBOARD: &str = "\
Boxes and their enrolment tokens are revoked, API tokens that were good for this clinic alone too, and packets go to nobody.
What was kept stays until its dates (45 CFR 164.316(b)(2)(i): six years); give the clinic a bundle of it.

Examples:
  control-plane evidence export --tenant \"Elm Street Clinic\" --out elm-street
  control-plane tenant offboard \"Elm Street Clinic\" --confirm \"Elm Street Clinic\" --why \"contract ended\"";

const AGREEMENT: &str = "\
The newest that is recorded is the one in force. It stands in the packet by its digest, with the day of signing; a clinic
without one is a finding there (45 CFR 164.308(b)(1), 164.504(e)). The document itself is not kept here.

Examples:
  control-plane tenant agreement \"Elm Street Clinic\" --signed 2026-01-05 --document baa.pdf
  control-plane tenant agreement \"Elm Street Clinic\" --signed 2026-01-05 --until 2028-01-04 --document-sha256 9f86d0...
  control-plane tenant agreement \"Elm Street Clinic\"";

const RECIPIENTS: &str = "\
Mails are sent when [mail] in config.toml names a server. Each recipient gets the packet of a month that is over once, with a
link to acknowledge it by.

Examples:
  control-plane tenant recipients \"Elm Street Clinic\" --add owner@clinic.example --add auditor@firm.example
  control-plane tenant recipients \"Elm Street Clinic\" --remove auditor@firm.example
  control-plane tenant recipients \"Elm Street Clinic\"";

/// The most bytes of a contract's document.
const DOCUMENT_MAX: u64 = 256 << 20;

fn asked(tenant: String, times: &[Window], off: bool) -> TenantTimes {
    let change = off || !times.is_empty();
    TenantTimes { tenant, change, times: times.iter().map(Window::to_string).collect() }
}

/// What people are told of times: each, or what it means that there are none.
fn told(tenant: &pb::Tenant, name: &str, times: &[String], none: &str) -> Answer {
    let times = if times.is_empty() { none.to_owned() } else { times.join("; ") };
    Answer::new(facts([("tenant", tenant.name.clone()), (name, times)]), view(tenant))
}

impl Tenant {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = TenantsClient::new(connect(global).await?);
        match self {
            Self::Create { name } => {
                let tenant = answer(client.create(CreateTenant { name })).await?;
                let text = facts([
                    ("tenant", tenant.name.clone()),
                    ("id", tenant.id.clone()),
                    ("log", tenant.log_origin.clone()),
                ]);
                Ok(Answer::new(text, view(&tenant)))
            }
            Self::List => {
                let tenants = answer(client.list(ListTenants {})).await?.tenants;
                let rows = tenants.iter().map(|t| {
                    let shadow = if t.shadow_until_ms == 0 { "-".into() } else { when(t.shadow_until_ms) };
                    let log = match (t.closed_ms, t.log_halted.is_empty()) {
                        (0, true) => "open",
                        (_, true) => "LEFT",
                        (_, false) => "HALTED",
                    };
                    let log = log.to_owned();
                    [t.id.clone(), t.name.clone(), t.log_size.to_string(), log, shadow, when(t.created_ms)]
                });
                let json = json!({ "tenants": tenants.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(
                    table(["ID", "NAME", "EVIDENCE", "LOG", "SHADOW UNTIL", "CREATED"], rows),
                    json,
                ))
            }
            Self::Shadow { tenant, until, .. } => {
                let request = ShadowTenant { tenant, until_ms: until.map_or(0, |until| until.0) };
                let tenant = answer(client.shadow(request)).await?;
                let shadow = match tenant.shadow_until_ms {
                    0 => "off: what policy allows runs".to_owned(),
                    until => format!("until {}: reported, not run", when(until)),
                };
                let text = facts([("tenant", tenant.name.clone()), ("shadow mode", shadow)]);
                Ok(Answer::new(text, view(&tenant)))
            }
            Self::Hours { tenant, times, off } => {
                let tenant = answer(client.hours(asked(tenant, &times, off))).await?;
                let none = "none: what disturbs people runs at any time";
                Ok(told(&tenant, "clinic hours", &tenant.clinic_hours, none))
            }
            Self::Windows { tenant, times, off } => {
                let tenant = answer(client.windows(asked(tenant, &times, off))).await?;
                Ok(told(&tenant, "windows", &tenant.windows, "none: runbooks run at any time"))
            }
            Self::Agreement { tenant, signed, until, document, document_sha256 } => {
                let digest = match document {
                    Some(path) => Some(Digest::of(&files::read(&path, DOCUMENT_MAX)?)),
                    None => document_sha256,
                };
                let request = RecordAgreement {
                    tenant,
                    change: signed.is_some(),
                    signed_ms: signed.map_or(0, |signed| signed.0),
                    until_ms: until.map_or(0, |until| until.0),
                    document: digest.map_or_else(Vec::new, |digest| digest.to_vec()),
                };
                let tenant = answer(client.agreement(request)).await?;
                let text = facts([
                    ("tenant", tenant.name.clone()),
                    ("agreement", agreed(tenant.agreement.as_ref())),
                ]);
                Ok(Answer::new(text, view(&tenant)))
            }
            Self::Usage { tenant, month, csv } => usage(global, tenant, month.to_string(), csv).await,
            Self::Offboard { tenant, confirm, why } => {
                let asked = OffboardTenant { tenant, name: confirm, why };
                let tenant = answer(client.offboard(asked)).await?;
                let text = facts([("tenant", tenant.name.clone()), ("left", when(tenant.closed_ms))]);
                Ok(Answer::new(text, view(&tenant)))
            }
            Self::Recipients { tenant, add, remove } => {
                let tenant = answer(client.recipients(TenantRecipients { tenant, add, remove })).await?;
                Ok(told(&tenant, "recipients", &tenant.recipients, "none: packets are sent to nobody"))
            }
        }
    }
}

/// The contract in a line.
fn agreed(agreement: Option<&AgreementView>) -> String {
    let Some(agreement) = agreement else { return "none recorded".to_owned() };
    let until = match agreement.until_ms {
        0 => String::new(),
        until => format!(" until {}", day(Millis(until))),
    };
    let digest = hex::encode(&agreement.document);
    format!("signed {}{until}, document SHA-256 {digest}", day(Millis(agreement.signed_ms)))
}

fn view(tenant: &pb::Tenant) -> Value {
    let agreement = tenant.agreement.as_ref().map(|agreement| {
        json!({
            "signed": time(agreement.signed_ms),
            "until": time(agreement.until_ms),
            "document_sha256": hex::encode(&agreement.document),
            "recorded": time(agreement.recorded_ms),
        })
    });
    json!({
        "agreement": agreement,
        "recipients": tenant.recipients,
        "id": tenant.id,
        "name": tenant.name,
        "created": time(tenant.created_ms),
        "log_origin": tenant.log_origin,
        "log_size": tenant.log_size,
        "log_halted": optional(&tenant.log_halted),
        "clinic_hours": tenant.clinic_hours,
        "windows": tenant.windows,
        "left": (tenant.closed_ms != 0).then(|| time(tenant.closed_ms)),
        "shadow_until": (tenant.shadow_until_ms != 0).then(|| time(tenant.shadow_until_ms)),
    })
}
