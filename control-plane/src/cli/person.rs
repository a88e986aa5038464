//! `control-plane operator invite`, `people`, `end`, `sign-out`: who signs in.

use clap::Subcommand;
use proto::pb::{
    EndPerson, EndPersonSession, InvitePerson, ListPeople, PersonView, Scope, people_client::PeopleClient,
};
use serde_json::{Value, json};

use super::{
    Global,
    connection::{answer, connect},
    operator::grant,
    output::{Answer, facts, table, time, when},
};
use crate::access::Role;

#[derive(Debug, Subcommand)]
pub(super) enum Person {
    /// Invite somebody to sign in: prints a link that works once, to make a passkey behind
    #[command(after_help = INVITE)]
    Invite {
        /// What acts will call them; a token cannot have the same name
        #[arg(long)]
        name: String,
        /// Where mail reaches them
        #[arg(long, value_name = "ADDRESS", default_value = "")]
        email: String,
        /// What they may do: owner, operator, technician or auditor
        #[arg(long)]
        role: Role,
        /// Where: in this clinic only, by name or ID [default: everywhere]
        #[arg(long)]
        tenant: Option<String>,
        /// Where: at this site of the clinic only
        #[arg(long, requires = "tenant")]
        site: Option<String>,
        /// How long the link holds: 1 to 720
        #[arg(long, value_name = "HOURS", default_value_t = 72)]
        hours: u32,
    },
    /// Show who signs in, and their sessions
    People,
    /// Shut somebody out for good: their passkeys, sessions, recovery codes and links
    End {
        /// Who
        name: String,
    },
    /// End somebody's sessions; they may sign in again
    SignOut {
        /// Who
        name: String,
        /// This session only, as `operator people` shows it
        #[arg(long, value_name = "SESSION", default_value = "")]
        session: String,
    },
}

const INVITE: &str = "\
Whoever opens the link makes a passkey, and has it from then on. To invite somebody known again gives another link, and this
role and scope from now on: for who has lost every passkey and recovery code, or does other work.

Examples:
  control-plane operator invite --name alice --role owner
  control-plane operator invite --name bob --role technician --tenant \"Elm Street Clinic\" --hours 24";

impl Person {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = PeopleClient::new(connect(global).await?);
        match self {
            Self::Invite { name, email, role, tenant, site, hours } => {
                let scope = Scope { tenant: tenant.unwrap_or_default(), site: site.unwrap_or_default() };
                let asked = InvitePerson {
                    name,
                    email,
                    role: role.to_string(),
                    scope: Some(scope),
                    valid_hours: hours,
                };
                let made = answer(client.invite(asked)).await?;
                let person = made.person.as_ref().map_or(Value::Null, view);
                let json = json!({ "link": made.link, "expires": time(made.expires_ms), "person": person });
                Ok(Answer::new(made.link, json))
            }
            Self::People => {
                let people = answer(client.list(ListPeople {})).await?.people;
                let rows = people.iter().map(|p| {
                    let (passkeys, sessions) = (p.passkeys.len().to_string(), p.sessions.len().to_string());
                    let may = grant(&p.role, p.scope.as_ref());
                    [p.name.clone(), may, p.state.clone(), passkeys, sessions, when(p.used_ms)]
                });
                let json = json!({ "people": people.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(table(["NAME", "MAY", "STATE", "PASSKEYS", "SESSIONS", "USED"], rows), json))
            }
            Self::End { name } => Ok(about(&answer(client.end(EndPerson { name })).await?)),
            Self::SignOut { name, session } => {
                Ok(about(&answer(client.end_session(EndPersonSession { name, session })).await?))
            }
        }
    }
}

fn about(person: &PersonView) -> Answer {
    let text = facts([
        ("name", person.name.clone()),
        ("state", person.state.clone()),
        ("sessions", person.sessions.len().to_string()),
    ]);
    Answer::new(text, view(person))
}

fn view(person: &PersonView) -> Value {
    let scope = person.scope.clone().unwrap_or_default();
    let named = |id: String| Some(id).filter(|id| !id.is_empty());
    json!({
        "name": person.name,
        "email": named(person.email.clone()),
        "state": person.state,
        "role": person.role,
        "tenant": named(scope.tenant),
        "site": named(scope.site),
        "created": time(person.created_ms),
        "used": time(person.used_ms),
        "provider": person.provider,
        "recovery_codes": person.codes,
        "passkeys": person.passkeys.iter().map(|key| {
            json!({ "label": key.label, "created": time(key.created_ms), "used": time(key.used_ms) })
        }).collect::<Vec<_>>(),
        "sessions": person.sessions.iter().map(|session| json!({
            "id": session.id,
            "kind": session.kind,
            "began": time(session.created_ms),
            "used": time(session.used_ms),
            "from": session.address,
        })).collect::<Vec<_>>(),
    })
}
