//! `control-plane operator`: API tokens for people and programs.

use std::path::PathBuf;

use clap::Subcommand;
use proto::pb::{
    IssueOperatorToken, ListOperatorTokens, OperatorTokenView, RevokeOperatorToken,
    operators_client::OperatorsClient,
};
use serde_json::{Value, json};

use super::{
    Global,
    connection::{answer, connect},
    output::{Answer, facts, table, time, when},
};
use crate::files::{self, Access};

#[derive(Debug, Subcommand)]
pub(super) enum Operator {
    /// Make an API token; the server keeps only its hash
    #[command(after_help = "Example:\n  control-plane operator token --name alice --out alice.token\n  \
        control-plane --address https://control.msp.example:8444 --ca ca.pem --token-file alice.token tenant list")]
    Token {
        /// Whose it is
        #[arg(long)]
        name: String,
        /// How long it holds
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        days: u32,
        /// Where to write it, mode 0600 [default: print it]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show all tokens, without the secrets
    List,
    /// Take a token back
    Revoke {
        /// Whose it is
        name: String,
    },
}

impl Operator {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Answer> {
        let mut client = OperatorsClient::new(connect(global).await?);
        match self {
            Self::Token { name, days, out } => {
                let made = answer(client.issue_token(IssueOperatorToken { name, valid_days: days })).await?;
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
                let rows = tokens
                    .iter()
                    .map(|t| [t.name.clone(), state(t).to_owned(), when(t.expires_ms), when(t.used_ms)]);
                let json = json!({ "tokens": tokens.iter().map(view).collect::<Vec<_>>() });
                Ok(Answer::new(table(["NAME", "STATE", "EXPIRES", "USED"], rows), json))
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

fn view(token: &OperatorTokenView) -> Value {
    json!({
        "name": token.name,
        "created": time(token.created_ms),
        "expires": time(token.expires_ms),
        "used": time(token.used_ms),
        "revoked": token.revoked,
    })
}
