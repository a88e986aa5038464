//! `control-plane operator`: people who sign in, and API tokens for programs.

use std::path::PathBuf;

use clap::Subcommand;
use proto::{
    digest::Digest,
    pb::{
        IssueOperatorToken, ListAudit, ListOperatorTokens, OperatorTokenView, ReviewAccess,
        RevokeOperatorToken, Scope, operators_client::OperatorsClient,
    },
};
use serde_json::{Value, json};

use super::{
    Global,
    connection::{answer, connect},
    output::{Answer, facts, table, time, when},
    person::Person,
};
use crate::{
    access::Role,
    files::{self, Access},
};

#[derive(Debug, Subcommand)]
pub(super) enum Operator {
    #[command(flatten)]
    Person(Person),
    /// Make an API token; the server keeps only its hash
    #[command(
        after_help = "Examples:\n  control-plane operator token --name alice --role operator --out alice.token\n  \
        control-plane operator token --name elm-audit --role auditor --tenant \"Elm Street Clinic\" --days 14\n  \
        control-plane --address https://control.msp.example:8444 --ca ca.pem --token-file alice.token tenant list"
    )]
    Token {
        /// Whose it is
        #[arg(long)]
        name: String,
        /// What its holder may do: owner, operator, technician or auditor
        #[arg(long)]
        role: Role,
        /// Where: in this clinic only, by name or ID [default: everywhere]
        #[arg(long)]
        tenant: Option<String>,
        /// Where: at this site of the clinic only
        #[arg(long, requires = "tenant")]
        site: Option<String>,
        /// How long it holds
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        days: u32,
        /// Where to write it, mode 0600 [default: print it]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show all tokens, without the secrets
    List,
    /// Go through who has access, as 45 CFR 164.308(a)(4)(ii)(C) asks for; without --confirm, show them
    #[command(after_help = REVIEW)]
    Review {
        /// It was gone through now: everybody below is decided on
        #[arg(long)]
        confirm: bool,
        /// Whose access goes on; may be given again
        #[arg(long, value_name = "NAME", requires = "confirm")]
        keep: Vec<String>,
        /// Whose access ends now; may be given again
        #[arg(long, value_name = "NAME", requires = "confirm")]
        end: Vec<String>,
    },
    /// What was changed: by whom, from where, what was before and after; newest first
    #[command(
        after_help = "What an act in a clinic's log calls its record is the SHA-256 of the record here."
    )]
    Audit {
        /// Of this clinic only
        #[arg(long)]
        tenant: Option<String>,
        /// Those before the record with this SHA-256
        #[arg(long, value_name = "SHA256")]
        before: Option<Digest>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Take a token back
    Revoke {
        /// Whose it is
        name: String,
    },
}

const REVIEW: &str = "\
Once a quarter. A review must name everybody who has access, so that nobody is kept unseen; it is signed into the log of every
clinic, and their packets say when it was and who was kept. What somebody who left the company had, ends here
(164.308(a)(3)(ii)(C)).

Examples:
  control-plane operator review
  control-plane operator review --confirm --keep alice --keep bob --end carol";

impl Operator {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let operator = match self {
            Self::Person(person) => return person.run(global).await,
            operator => operator,
        };
        let mut client = OperatorsClient::new(connect(global).await?);
        match operator {
            Self::Person(person) => person.run(global).await,
            Self::Token { name, role, tenant, site, days, out } => {
                let scope = Scope { tenant: tenant.unwrap_or_default(), site: site.unwrap_or_default() };
                let asked =
                    IssueOperatorToken { name, valid_days: days, role: role.to_string(), scope: Some(scope) };
                let made = answer(client.issue_token(asked)).await?;
                let about = made.view.as_ref().map_or(Value::Null, view);
                let Some(path) = out else {
                    return Ok(Answer::new(
                        made.token.clone(),
                        json!({ "token": made.token, "about": about }),
                    ));
                };
                files::create(&path, format!("{}\n", made.token).as_bytes(), Access::Secret)?;
                let text = format!("{} holds the token; it is shown nowhere else", path.display());
                Ok(Answer::new(text, json!({ "file": path, "about": about })))
            }
            Self::List => {
                let tokens = answer(client.list_tokens(ListOperatorTokens {})).await?.tokens;
                let rows = tokens.iter().map(|t| {
                    [
                        t.name.clone(),
                        grant(&t.role, t.scope.as_ref()),
                        state(t).to_owned(),
                        when(t.expires_ms),
                        when(t.used_ms),
                    ]
                });
                let json = json!({ "tokens": tokens.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(table(["NAME", "MAY", "STATE", "EXPIRES", "USED"], rows), json))
            }
            Self::Review { confirm, keep, end } => {
                let review = answer(client.review(ReviewAccess { confirm, keep, end })).await?;
                let people = review.people.iter().map(|p| {
                    let may = grant(&p.role, p.scope.as_ref());
                    [p.name.clone(), may, when(p.created_ms), "signs in".to_owned(), when(p.used_ms)]
                });
                let tokens = review.tokens.iter().map(|t| {
                    let may = grant(&t.role, t.scope.as_ref());
                    [t.name.clone(), may, when(t.created_ms), when(t.expires_ms), when(t.used_ms)]
                });
                let rows = people.chain(tokens);
                let due = if review.due_ms == 0 { "no".to_owned() } else { when(review.due_ms) };
                let about = facts([("reviewed", when(review.reviewed_ms)), ("due", due)]);
                let json = json!({
                    "people": review.people.iter().map(|p| {
                        json!({ "name": p.name, "role": p.role, "state": p.state, "used": time(p.used_ms) })
                    }).collect::<Vec<_>>(),
                    "tokens": review.tokens.iter().map(view).collect::<Vec<_>>(),
                    "reviewed": time(review.reviewed_ms),
                    "due": time(review.due_ms),
                });
                let text = format!("{}\n{about}", table(["NAME", "MAY", "SINCE", "EXPIRES", "USED"], rows));
                Ok(Answer::new(text, json))
            }
            Self::Audit { tenant, before, limit } => {
                let before = before.map_or_else(Vec::new, |digest| digest.to_vec());
                let asked = ListAudit { tenant: tenant.unwrap_or_default(), before, limit };
                let records = answer(client.audit(asked)).await?.records;
                let read = records.iter().map(|row| serde_json::from_str(&row.record));
                let read = read.collect::<Result<Vec<Value>, _>>()?;
                let of = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
                let rows = records.iter().zip(&read).map(|(row, record)| {
                    let what =
                        record["changes"].as_array().into_iter().flatten().map(|change| of(change, "what"));
                    let what = what.collect::<Vec<_>>().join(", ");
                    let by = of(record, "by");
                    [when(row.at_ms), by, of(record, "from"), of(record, "call"), what]
                });
                let json = records
                    .iter()
                    .zip(&read)
                    .map(|(row, record)| json!({ "sha256": hex::encode(&row.sha256), "record": record }));
                let json = json!({ "records": json.collect::<Vec<_>>() });
                Ok(Answer::new(table(["AT", "BY", "FROM", "CALL", "CHANGED"], rows), json))
            }
            Self::Revoke { name } => {
                let token = answer(client.revoke_token(RevokeOperatorToken { name })).await?;
                let text = facts([("token", token.name.clone()), ("state", state(&token).to_owned())]);
                Ok(Answer::new(text, view(&token)))
            }
        }
    }
}

fn state(token: &OperatorTokenView) -> &'static str {
    if token.revoked { "revoked" } else { "issued" }
}

/// `operator in a clinic`, in few words.
pub(super) fn grant(role: &str, scope: Option<&Scope>) -> String {
    match scope.map(|scope| (scope.tenant.as_str(), scope.site.as_str())) {
        None | Some(("", _)) => role.to_owned(),
        Some((tenant, "")) => format!("{role} in {tenant}"),
        Some((_, site)) => format!("{role} at {site}"),
    }
}

fn view(token: &OperatorTokenView) -> Value {
    json!({
        "name": token.name,
        "created": time(token.created_ms),
        "expires": time(token.expires_ms),
        "used": time(token.used_ms),
        "revoked": token.revoked,
        "role": token.role,
        "tenant": token.scope.as_ref().map(|scope| &scope.tenant).filter(|id| !id.is_empty()),
        "site": token.scope.as_ref().map(|scope| &scope.site).filter(|id| !id.is_empty()),
    })
}
