//! `control-plane planner`: how well runbooks are chosen, by rules and by the model that the settings name.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use proto::{
    pb::{ListModelCalls, ModelCall, ModelCallList, planner_client::PlannerClient},
    time::Millis,
};
use runbooks::{Catalogue, Runbook};
use serde_json::{Value, json};

use super::{
    Global, Of, World,
    connection::{answer as answered, connect},
    output::{Answer, optional, printable, table, time, when},
};
use crate::{
    config::Config,
    core::planner::ANSWER_WITHIN,
    files,
    offline::misuse,
    planner::{
        Allowed, Decision, answer,
        evaluate::{self, Choice, Labelled, SOLVED_AT_LEAST, Score, Share},
        prompt::Prompt,
    },
    serve::model::Endpoint,
};

const SET_MAX: u64 = 16 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Planner {
    /// Say how well runbooks are chosen for a labelled set of incidents (exit 1: not well enough)
    #[command(
        after_help = "A set has an incident a line, as JSON: id, group, fault, entry, label (a runbook or \"escalate\"), why; and where there \
        are any: readings, note, others, tried, allow.\nA model is asked as the server asks it, where several runbooks are allowed; \
        the clinics' budgets are left alone.\nWell enough: 85 % of what a runbook solves gets it, and nothing of high risk is chosen wrongly.\n\n\
        Example:\n  control-plane planner evaluate --runbooks our-runbooks/ incidents.jsonl"
    )]
    Evaluate(Evaluate),
    /// Show what a model was asked about incidents, what came of it, and whether it is asked now
    Calls {
        #[command(flatten)]
        of: Of,
        /// Only about this incident; shows the prompt too, whose digest order and evidence name
        #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
        incident: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// The set
    set: PathBuf,
    /// Folder of runbooks (YAML) that are in the catalogue beside those that ship
    #[arg(long, value_name = "DIR")]
    runbooks: Option<PathBuf>,
    /// Ask no model, whatever the settings say
    #[arg(long)]
    rules_only: bool,
}

impl Planner {
    pub(super) async fn run(self, global: &Global, world: World) -> anyhow::Result<Answer> {
        match self {
            Self::Evaluate(evaluate) => evaluate.run(global, (world.now)()).await,
            Self::Calls { of: Of { tenant, limit }, incident } => {
                let mut client = PlannerClient::new(connect(global).await?);
                Ok(listed(&answered(client.calls(ListModelCalls { tenant, incident, limit })).await?))
            }
        }
    }
}

fn listed(list: &ModelCallList) -> Answer {
    let head = match (list.model.as_str(), list.held_until_ms) {
        ("", _) => "no model is asked: the settings name none".to_owned(),
        (model, 0) => format!("{model} is asked, at most {} times a day for a clinic", list.calls_per_day),
        (model, until) => {
            format!("{model} misbehaved too often in a row and is not asked before {}", when(until))
        }
    };
    let outcome =
        |call: &ModelCall| if call.ended_ms == 0 { "under way".to_owned() } else { call.outcome.clone() };
    let rows = list.calls.iter().map(|call| {
        let failed = if call.failed { "yes" } else { "" };
        [when(call.asked_ms), call.incident.clone(), failed.to_owned(), outcome(call)]
    });
    let mut text = format!("{head}\n{}", table(["ASKED", "INCIDENT", "IN VAIN", "OUTCOME"], rows));
    for call in list.calls.iter().filter(|call| !call.prompt.is_empty()) {
        text.push_str(&format!("\nprompt sha256:{}\n{}\n", call.prompt_sha256, printable(&call.prompt)));
    }
    let calls: Vec<Value> = list
        .calls
        .iter()
        .map(|call| {
            json!({
                "incident": call.incident,
                "tenant": call.tenant,
                "model": call.model,
                "asked": time(call.asked_ms),
                "ended": time(call.ended_ms),
                "failed": call.failed,
                "outcome": optional(&call.outcome),
                "prompt_sha256": call.prompt_sha256,
                "prompt": optional(&call.prompt),
            })
        })
        .collect();
    let json = json!({
        "model": optional(&list.model),
        "calls_per_day": list.calls_per_day,
        "held_until": time(list.held_until_ms),
        "calls": calls,
    });
    Answer::new(text, json)
}

impl Evaluate {
    async fn run(self, global: &Global, now: Millis) -> anyhow::Result<Answer> {
        let catalogue = catalogue(self.runbooks.as_deref(), now)?;
        let text = files::read_text(&self.set, SET_MAX)?;
        let set = evaluate::read(&text, &catalogue, now)
            .map_err(|bad| misuse(format!("{}: {bad}", self.set.display())))?;
        let mut rules = Score::default();
        for incident in &set {
            rules.count(incident, evaluate::by_rules(incident, &catalogue), &catalogue);
        }
        let config = global.directory().config();
        let configured = match !self.rules_only && config.exists() {
            true => Config::load(&config)?.planner,
            false => None,
        };
        let mut enough = rules.is_enough();
        let mut text = shown("rules", &rules);
        let mut json = json!({ "incidents": set.len(), "rules": view(&rules), "model": null });
        match &configured {
            None => {
                text.push_str("\nno model was asked: the settings name none, or --rules-only was given\n")
            }
            Some(planner) => {
                let asked = ask(&set, &catalogue, planner, now).await?;
                enough = enough && asked.score.is_enough();
                text.push_str(&format!("\n{}", shown(&planner.model, &asked.score)));
                text.push_str(&format!(
                    "asked {} times, of which {} came to nothing and fell back to the rules\n",
                    asked.asked,
                    asked.failed()
                ));
                let misbehaved = asked.misbehaved.iter().map(|(why, times)| [why.clone(), times.to_string()]);
                text.push_str(&table(["MISBEHAVED", "TIMES"], misbehaved));
                json["model"] = view(&asked.score);
                json["model"]["name"] = json!(planner.model);
                json["model"]["asked"] = json!(asked.asked);
                json["model"]["misbehaved"] = json!(asked.misbehaved);
            }
        }
        Ok(Answer::new(text, json).with_code(u8::from(!enough)))
    }
}

/// The runbooks that ship, and those of the folder.
fn catalogue(folder: Option<&Path>, now: Millis) -> anyhow::Result<Catalogue> {
    let shipped = runbooks::sources().iter().map(|(name, text)| runbooks::from_yaml(text, name));
    let mut all: Vec<Runbook> = shipped.collect::<Result<_, _>>()?;
    if let Some(folder) = folder {
        all.extend(runbooks::read_folder(folder)?);
    }
    let payload = Catalogue::build(1, now, now.plus(ANSWER_WITHIN), all)
        .context("the catalogue of all these runbooks")?;
    Ok(Catalogue::parse(&payload)?)
}

/// What a model made of a set.
#[derive(Default)]
struct Asked {
    score: Score,
    asked: usize,
    misbehaved: BTreeMap<String, usize>,
}

impl Asked {
    fn failed(&self) -> usize {
        self.misbehaved.values().sum()
    }
}

async fn ask(
    set: &[Labelled],
    catalogue: &Catalogue,
    planner: &crate::config::Planner,
    now: Millis,
) -> anyhow::Result<Asked> {
    let endpoint = Endpoint::new(planner)?;
    let mut all = Asked::default();
    for incident in set {
        let allowed = Allowed::of(&incident.case.kind, evaluate::site(), catalogue, &incident.policy);
        let chosen = match allowed.ok().filter(Allowed::is_ambiguous) {
            // The server does not ask either.
            None => evaluate::by_rules(incident, catalogue),
            Some(allowed) => {
                let prompt = Prompt::of(&planner.model, &allowed, &incident.case, now);
                all.asked += 1;
                let came = endpoint.ask(prompt.body, ANSWER_WITHIN).await;
                match came.and_then(|body| answer::read(&body, &allowed)) {
                    Ok(Decision::Run(pick, _)) => Choice::Run(pick.into_runbook()),
                    Ok(Decision::Escalate(_)) => Choice::Escalate,
                    Err(misbehaviour) => {
                        *all.misbehaved.entry(misbehaviour.to_string()).or_default() += 1;
                        evaluate::by_rules(incident, catalogue)
                    }
                }
            }
        };
        all.score.count(incident, chosen, catalogue);
    }
    Ok(all)
}

fn shown(who: &str, score: &Score) -> String {
    let share = |name: &str, share: Share| {
        [name.to_owned(), share.right.to_string(), share.of.to_string(), format!("{:.1} %", share.percent())]
    };
    let rows =
        [share("all", score.all), share("solvable", score.solvable), share("a person's", score.persons)];
    let groups = score.groups.iter().map(|(name, group)| share(&format!("  {name}"), *group));
    let head = table(["INCIDENTS", "RIGHT", "OF", "SHARE"], rows.into_iter().chain(groups));
    let cells = score.confusion.iter().map(|((label, chosen), times)| {
        let mark = if label == chosen { "" } else { "wrong" };
        [label.name().to_owned(), chosen.name().to_owned(), times.to_string(), mark.to_owned()]
    });
    let confusion = table(["RIGHT IS", "CHOSEN", "TIMES", ""], cells);
    let verdict = if score.is_enough() { "well enough" } else { "NOT well enough" };
    format!(
        "{who}: {verdict} (at least {SOLVED_AT_LEAST} % of the solvable, nothing of high risk wrongly)\n{head}wrong choices of high risk: {}\n\n{confusion}",
        score.wrong_high_risk
    )
}

fn view(score: &Score) -> Value {
    let share = |share: &Share| json!({ "right": share.right, "of": share.of, "percent": share.percent() });
    let groups: BTreeMap<&String, Value> =
        score.groups.iter().map(|(name, group)| (name, share(group))).collect();
    let confusion: Vec<Value> = score
        .confusion
        .iter()
        .map(|((label, chosen), times)| json!({ "right": label.name(), "chosen": chosen.name(), "times": times }))
        .collect();
    let wrong: Vec<Value> = score
        .wrong
        .iter()
        .map(|(id, label, chosen)| json!({ "id": id, "right": label.name(), "chosen": chosen.name() }))
        .collect();
    json!({
        "enough": score.is_enough(),
        "all": share(&score.all),
        "solvable": share(&score.solvable),
        "persons": share(&score.persons),
        "wrong_high_risk": score.wrong_high_risk,
        "groups": groups,
        "confusion": confusion,
        "wrong": wrong,
    })
}
