//! One clinic's people never see a byte of another's: every call there is, asked by everybody about everybody else's things.
//!
//! Requests are generated from the description of the services, so that a call which is added tomorrow is asked too.

mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use control_plane::{
    access::{
        Grant, Principal, Role, Scope,
        table::{Reach, TABLE, reach_of},
    },
    core::{Core, tickets::ticket_name},
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value, prost::Message as _,
};
use proto::{
    ids::{SiteId, TenantId},
    pb::RecordAgreement,
    sync::Phase,
};
use tonic::Code;

use self::server::{Answer, Server};
use crate::{
    appliance::Appliance,
    world::{DAY, DISK, World},
};

const CLINICS: [&str; 3] = ["Riverside Dental", "Hill Clinic", "Elm Street Practice"];
const NOWHERE: &str = "0190a0c0-0000-7000-8000-0000000000ff";

/// What is one clinic's: words by which it would be recognised wherever they turned up.
struct Clinic {
    id: TenantId,
    site: SiteId,
    name: &'static str,
    recipient: String,
    appliance: Appliance,
    incident: String,
    digest: String,
    /// An order that people are asked about.
    asked: String,
    /// Why its site is held.
    hold: String,
    /// The key of a letter about it.
    letter: String,
    /// What its open ticket is called.
    ticket: String,
}

impl Clinic {
    fn needles(&self) -> Vec<String> {
        let ids = [self.id.to_string(), self.site.to_string(), self.appliance.id().to_string()];
        let words =
            [self.name.to_owned(), self.recipient.clone(), self.incident.clone(), self.digest.clone()];
        let more = [self.asked.clone(), self.hold.clone(), self.letter.clone(), self.ticket.clone()];
        let words = words.into_iter().chain(more);
        ids.into_iter().chain(words).collect()
    }

    /// What a field of that name could hold, if it were about this clinic.
    fn candidates(&self, field: &str) -> Vec<String> {
        match field {
            "tenant" => vec![self.id.to_string(), self.name.to_owned()],
            "site" => vec![self.site.to_string(), "Main St".into()],
            "appliance" => vec![self.appliance.id().to_string(), String::new()],
            "id" => vec![self.appliance.id().to_string(), self.incident.clone(), self.ticket.clone()],
            "incident" => vec![self.incident.clone()],
            "order" => vec![self.asked.clone()],
            "key" => vec![self.letter.clone()],
            "fault" => vec![DISK.into()],
            "watch" => vec!["uploads".into()],
            "settings" => vec![r#"{"per_tenant_hour":5}"#.into()],
            "kind" => vec!["exception".into(), "watch-list".into()],
            "month" => vec!["2026-11".into()],
            "name" => vec![self.name.to_owned()],
            "cause" => vec!["halted".into()],
            "role" => vec!["auditor".into()],
            _ => vec!["a few words".into(), String::new()],
        }
    }
}

/// A world under whose charter somebody may approve.
fn approving() -> World {
    World::with(|safe| safe.charter.approvers = vec![crate::approvals::approver("ann")])
}

fn clinic(world: &mut World, name: &'static str) -> Clinic {
    let id = if name == CLINICS[0] { world.tenant.clone() } else { world.tenant_named(name) };
    let (mut appliance, now) = (world.appliance_at(&id), world.now);
    let event = appliance.event(now, DISK, "uploads", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let recipient = format!("owner-{}@clinic.example", id);
    world
        .core
        .run(now, |core| {
            core.change_recipients(&id, std::slice::from_ref(&recipient), &[], now)?;
            let (signed_ms, document) = (now.0 - 1, vec![7; 32]);
            let agreement =
                RecordAgreement { tenant: id.clone(), change: true, signed_ms, until_ms: 0, document };
            core.record_agreement(&agreement, now)
        })
        .unwrap();
    let level = world.core.level(&id, "", "").unwrap();
    let settings = runbooks::Patch::parse(r#"{"runbook_modes":{"RB-DISK-002":"approval"}}"#).unwrap();
    world.core.run(now, |core| core.patch_policy(level, &settings, now)).unwrap();
    appliance.policy_serial = 2;
    let event = appliance.event(now, DISK, "scans", Phase::Raised);
    world.send(&mut appliance, vec![event]);
    let asked = world.core.all_asked(&id, false, 0).unwrap().remove(0).order.to_string();
    let (place, hold) = (world.core.level(&id, "Main St", "").unwrap(), format!("held, {id}"));
    world.core.run(now, |core| core.hold(place, &hold, None, now)).unwrap();
    let letter = world.core.notifications(&id, "", 1).unwrap().remove(0).key;
    let row = world.core.tenant(&id).unwrap();
    let incident = world.core.incidents(&id, "", 0).unwrap().remove(0).id.to_string();
    let digest = world.core.evidence(&id, 0, 1).unwrap().0[0].sha256.to_string();
    let site = world.core.sites(&id).unwrap()[0].id;
    world.core.run(now, |core| core.issue_enrolment_token(&id, "Main St", DAY, now)).unwrap();
    let ticket = ticket_name(&world.core.tickets(&id, now).unwrap()[0].0);
    Clinic { id: row.id, site, name, recipient, appliance, incident, digest, asked, hold, letter, ticket }
}

/// Every call of operators there is, by the contract.
fn calls() -> BTreeMap<String, MethodDescriptor> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = fs::read_dir(root.join("orderly/v1")).unwrap().map(|entry| entry.unwrap().path());
    let pool = DescriptorPool::from_file_descriptor_set(protox::compile(files, [&root]).unwrap()).unwrap();
    let mut calls = BTreeMap::new();
    for service in pool.services().filter(|service| !["Link", "Enrollment"].contains(&service.name())) {
        for method in service.methods() {
            calls.insert(format!("{}/{}", service.name(), method.name()), method);
        }
    }
    calls
}

/// Requests of a call about a clinic: a few for every field that could name something of it.
fn requests(of: &MessageDescriptor, clinic: &Clinic) -> Vec<Vec<u8>> {
    let mut all = vec![DynamicMessage::new(of.clone())];
    for field in of.fields() {
        let values: Vec<Value> = match field.kind() {
            Kind::String if field.is_list() => vec![Value::List(Vec::new())],
            Kind::String => clinic.candidates(field.name()).into_iter().map(Value::String).collect(),
            Kind::Bool => vec![Value::Bool(false), Value::Bool(true)],
            Kind::Message(inner) if !field.is_list() => {
                let inner = requests(&inner, clinic);
                let Kind::Message(of) = field.kind() else { unreachable!() };
                let read = |bytes: Vec<u8>| DynamicMessage::decode(of.clone(), bytes.as_slice()).unwrap();
                inner.into_iter().take(2).map(|bytes| Value::Message(read(bytes))).collect()
            }
            _ => continue,
        };
        all = all
            .into_iter()
            .flat_map(|message| {
                let field = field.clone();
                values.clone().into_iter().map(move |value| {
                    let mut message = message.clone();
                    message.set_field(&field, value);
                    message
                })
            })
            .collect();
        all.truncate(64);
    }
    all.into_iter().map(|message| message.encode_to_vec()).collect()
}

/// A token of every role in every clinic and at every site, and an owner's of everything.
fn tokens(world: &mut World, clinics: &[Clinic]) -> (String, Vec<(String, Grant, usize)>) {
    let now = world.now;
    let mut issue = |name: String, grant: Grant| {
        world.core.run(now, |core| core.issue_operator_token(&name, grant, DAY, now)).unwrap().secret
    };
    let owner = issue("owner".into(), Grant::everything());
    let mut all = Vec::new();
    for (at, clinic) in clinics.iter().enumerate() {
        for role in Role::ALL {
            for scope in [Scope::Tenant(clinic.id), Scope::Site(clinic.id, clinic.site)] {
                let grant = Grant { role: *role, scope };
                // Names say nothing of the clinic: acts and trails hold them.
                let name = format!("{role} {} {at}", if scope.site().is_some() { "here" } else { "all" });
                all.push((issue(name, grant), grant, at));
            }
        }
    }
    (owner, all)
}

#[test]
fn every_call_stands_in_the_table_once() {
    let table: Vec<&str> = TABLE.iter().map(|rule| rule.call).collect();
    let known: BTreeSet<&str> = table.iter().copied().collect();
    assert_eq!(known.len(), table.len(), "twice");
    let calls = calls();
    assert_eq!(calls.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
}

#[tokio::test]
async fn a_call_is_let_in_by_role_and_reach_alone() {
    let mut world = approving();
    let clinics = [clinic(&mut world, CLINICS[0])];
    let (_, tokens) = tokens(&mut world, &clinics);
    let server = Server::new(world);
    for rule in TABLE {
        for (token, grant, _) in &tokens {
            let answer = server.ask(token, rule.call, &[]).await;
            let let_in =
                rule.roles.contains(&grant.role) && reach_of(&grant.scope) >= rule.reach && !rule.in_person;
            assert_eq!(answer.code != Code::PermissionDenied, let_in, "{} {grant:?}: {answer:?}", rule.call);
        }
        let stranger = server.ask("guessed", rule.call, &[]).await;
        assert_eq!(stranger.code, Code::PermissionDenied, "{}", rule.call);
    }
    assert!(TABLE.iter().any(|rule| rule.reach == Reach::Site));
}

#[tokio::test]
async fn nothing_of_another_clinic_is_returned_counted_or_hinted() {
    let mut world = approving();
    let clinics = CLINICS.map(|name| clinic(&mut world, name));
    let (owner, tokens) = tokens(&mut world, &clinics);
    let tables = tables(&world);
    let look = world.db.share();
    let server = Server::new(world);
    let (mut asked, mut pairs, mut told) = (0_u32, 0_u32, BTreeSet::new());
    for (call, method) in calls() {
        let rule = TABLE.iter().find(|rule| rule.call == call).unwrap();
        for (of, theirs) in clinics.iter().enumerate() {
            let requests = requests(&method.input(), theirs);
            let held = rows_of(&look, &tables, theirs);
            for (token, grant, at) in tokens.iter().filter(|(.., at)| *at != of) {
                let lets_in = rule.roles.contains(&grant.role) && reach_of(&grant.scope) >= rule.reach;
                for request in requests.iter().take(if lets_in { 64 } else { 1 }) {
                    let answer = server.ask(token, &call, request).await;
                    asked += 1;
                    for needle in theirs.needles() {
                        // What was asked for may be said back: in those words it is said of what does not exist, too.
                        let echoed = contains(request, &needle) && answer.code != Code::Ok;
                        assert!(
                            echoed || !answer.speaks_of(&needle),
                            "{call} {grant:?} {needle}: {answer:?}"
                        );
                    }
                    if lets_in {
                        let nobody = server.ask(token, &call, &renamed(request, theirs)).await;
                        assert_eq!(
                            anonymous(&answer, theirs),
                            anonymous(&nobody, theirs),
                            "{call} {grant:?}: it exists, {}",
                            clinics[*at].name
                        );
                    }
                }
            }
            pairs += 2;
            assert_eq!(rows_of(&look, &tables, theirs), held, "{call} changed something of {}", theirs.name);
            // The same requests do get answers, from who may see it all.
            if rule.roles.contains(&Role::Owner) && !rule.in_person && reads(&call) {
                for request in &requests {
                    let answer = server.ask(&owner, &call, request).await;
                    if theirs
                        .needles()
                        .iter()
                        .any(|needle| answer.code == Code::Ok && answer.speaks_of(needle))
                    {
                        told.insert(call.clone());
                    }
                }
            }
        }
    }
    println!(
        "{} calls, {pairs} asked-about pairs of clinics, {asked} requests; {} calls tell something",
        calls().len(),
        told.len()
    );
    for call in [
        "Tenants/List",
        "Sites/List",
        "Appliances/List",
        "Appliances/ListTickets",
        "Incidents/List",
        "Incidents/Show",
        "Notifications/List",
        "Usage/Month",
        "Evidence/List",
    ] {
        assert!(
            told.contains(call),
            "{call} told nobody anything, so that this test says nothing about it: {told:?}"
        );
    }
}

/// Within a clinic, too, and between a clinic and the organization above it.
#[tokio::test]
async fn one_site_sees_no_contract_and_no_clinic_why_the_organization_holds() {
    let mut world = approving();
    let clinics = [clinic(&mut world, CLINICS[0])];
    let (now, level) = (world.now, world.core.level("", "", "").unwrap());
    world.core.run(now, |core| core.hold(level, "we owe our supplier", None, now)).unwrap();
    let (owner, tokens) = tokens(&mut world, &clinics);
    let server = Server::new(world);
    let (recipient, agreement) = (&clinics[0].recipient, "\u{7}".repeat(32));
    for (token, grant, _) in &tokens {
        let list = server.ask(token, "Tenants/List", &[]).await;
        assert!(list.speaks_of(CLINICS[0]), "{grant:?}: {list:?}");
        for needle in [recipient, &agreement] {
            assert_eq!(list.speaks_of(needle), grant.scope.site().is_none(), "{grant:?} {needle}: {list:?}");
        }
        let holds = server.ask(token, "Holds/List", &[]).await;
        assert!(holds.speaks_of("the organization holds"), "{grant:?}: {holds:?}");
        for call in calls().into_keys().filter(|call| reads(call)) {
            let answer = server.ask(token, &call, &[]).await;
            assert!(!answer.speaks_of("supplier"), "{call} {grant:?}: {answer:?}");
        }
    }
    assert!(server.ask(&owner, "Holds/List", &[]).await.speaks_of("we owe our supplier"));
}

/// Calls that change nothing, whatever is asked: what the owner may repeat.
fn reads(call: &str) -> bool {
    let verb = call.split('/').nth(1).unwrap_or_default();
    ["List", "ListTickets", "Show", "Month", "Lines", "Witnesses", "Audit", "SealingKey"].contains(&verb)
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|part| part == needle.as_bytes())
}

/// The same request about what does not exist: IDs of the same length, names with as many letters.
fn renamed(request: &[u8], clinic: &Clinic) -> Vec<u8> {
    let mut bytes = request.to_vec();
    for needle in clinic.needles() {
        let other: String =
            if needle.len() == NOWHERE.len() { NOWHERE.into() } else { "x".repeat(needle.len()) };
        while let Some(at) = bytes.windows(needle.len()).position(|part| part == needle.as_bytes()) {
            bytes[at..at + needle.len()].copy_from_slice(other.as_bytes());
        }
    }
    bytes
}

/// An answer without the name of what was asked for.
fn anonymous(answer: &Answer, clinic: &Clinic) -> Answer {
    let mut answer = answer.clone();
    for needle in clinic.needles() {
        let other: String =
            if needle.len() == NOWHERE.len() { NOWHERE.into() } else { "x".repeat(needle.len()) };
        answer.message = answer.message.replace(&needle, &other);
    }
    answer
}

/// Tables with a column that says whose a row is.
fn tables(world: &World) -> Vec<String> {
    let list = world.text(
        "SELECT group_concat(DISTINCT m.name) FROM sqlite_master m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND c.name = 'tenant' AND m.name != 'operator_token'",
    );
    list.split(',').map(str::to_owned).collect()
}

/// All that is kept of a clinic.
fn rows_of(db: &rusqlite::Connection, tables: &[String], clinic: &Clinic) -> Vec<String> {
    let mut rows = Vec::new();
    for table in tables {
        let mut statement = db.prepare(&format!("SELECT * FROM \"{table}\" WHERE tenant = ?1")).unwrap();
        let columns = statement.column_count();
        let found = statement
            .query_map([clinic.id.to_string()], |row| {
                (0..columns)
                    .map(|at| Ok(format!("{:?}", row.get_ref(at)?)))
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .unwrap();
        rows.extend(found.map(|row| format!("{table}: {}", row.unwrap().join(", "))));
    }
    assert!(rows.len() > 5, "{rows:?}");
    rows
}

/// What is another's does not even change what is counted: whatever happens there, the same is answered here.
#[tokio::test]
async fn an_answer_is_the_same_however_much_happens_at_another_clinic() {
    let mut world = approving();
    let mut clinics = CLINICS.map(|name| clinic(&mut world, name));
    let (_, tokens) = tokens(&mut world, &clinics);
    let (busy, now) = (clinics[1].id.to_string(), world.now);
    let appliance = &mut clinics[1].appliance;
    let events = (0..5).map(|n| appliance.event(now, DISK, &format!("more-{n}"), Phase::Raised)).collect();
    let batch = appliance.freeze(events);
    let (spki, exchange) = (appliance.spki(), appliance.ask(Some(batch)));
    let server = Server::new(world);
    let answers = async || {
        let mut all = BTreeMap::new();
        for (call, method) in calls().into_iter().filter(|(call, _)| reads(call)) {
            for (token, grant, at) in tokens.iter().filter(|(.., at)| *at != 1) {
                for (n, request) in requests(&method.input(), &clinics[*at]).into_iter().enumerate() {
                    all.insert(
                        (call.clone(), format!("{grant:?}"), n),
                        server.ask(token, &call, &request).await,
                    );
                }
            }
        }
        all
    };
    let quiet = answers().await;
    let happens = move |core: &mut Core, now| {
        let answer = core.sync(spki, &exchange, now)?;
        let by = Principal::console(0);
        core.acting_as(by, "Sites/Create", now, |core| core.create_site(&busy, "Annex", now))?;
        Ok(answer.response.ack.is_some())
    };
    assert!(server.writer.run(happens).await.unwrap());
    let after = answers().await;
    assert!(quiet.values().filter(|answer| answer.code == Code::Ok).count() > 100);
    for (key, answer) in &quiet {
        assert_eq!(Some(answer), after.get(key), "{key:?}");
    }
}
