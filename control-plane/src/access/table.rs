//! Which role may call what, and how far its scope must reach. What does not stand here cannot be called.

use tonic::Status;

use super::{Means, Principal, Role, SIGN_IN_AGAIN, Scope};

/// How far somebody's scope must reach for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// One site will do: the answer is of what stands there.
    Site,
    /// It is about a clinic as a whole: its log, its policy, its packets.
    Tenant,
    /// It is about the organization.
    Organization,
}

/// Who may make a call.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// `Service/Method`, of the package `orderly.v1`.
    pub call: &'static str,
    /// Which roles.
    pub roles: &'static [Role],
    /// How far their scope must reach.
    pub reach: Reach,
    /// Whether a token is not enough: who could make tokens with a token could never be shut out.
    pub in_person: bool,
    /// Whether it gives somebody a way in: then a session counts only while its sign-in is fresh, or whoever finds one open
    /// makes themselves at home.
    pub gives_access: bool,
}

const ALL: &[Role] = &[Role::Owner, Role::Operator, Role::Technician, Role::Auditor];
const RUNS: &[Role] = &[Role::Owner, Role::Operator];
const TENDS: &[Role] = &[Role::Owner, Role::Operator, Role::Technician];
const READS: &[Role] = &[Role::Owner, Role::Operator, Role::Auditor];
const OWNS: &[Role] = &[Role::Owner];
const OVERSEES: &[Role] = &[Role::Owner, Role::Auditor];

const fn rule(call: &'static str, roles: &'static [Role], reach: Reach) -> Rule {
    Rule { call, roles, reach, in_person: false, gives_access: false }
}

const fn in_person(call: &'static str, roles: &'static [Role], reach: Reach) -> Rule {
    Rule { call, roles, reach, in_person: true, gives_access: false }
}

const fn gives_access(call: &'static str) -> Rule {
    Rule { call, roles: OWNS, reach: Reach::Organization, in_person: true, gives_access: true }
}

/// Every call there is.
pub const TABLE: &[Rule] = &[
    rule("Tenants/Create", RUNS, Reach::Organization),
    rule("Tenants/List", ALL, Reach::Site),
    rule("Tenants/Shadow", RUNS, Reach::Tenant),
    rule("Tenants/Hours", RUNS, Reach::Tenant),
    rule("Tenants/Windows", RUNS, Reach::Tenant),
    rule("Tenants/Agreement", RUNS, Reach::Tenant),
    rule("Tenants/Recipients", RUNS, Reach::Tenant),
    rule("Tenants/DraftSuccession", OWNS, Reach::Tenant),
    rule("Tenants/Succeed", OWNS, Reach::Tenant),
    rule("Tenants/Offboard", OWNS, Reach::Organization),
    rule("Sites/Create", RUNS, Reach::Tenant),
    rule("Sites/List", ALL, Reach::Site),
    rule("Appliances/IssueToken", TENDS, Reach::Site),
    rule("Appliances/ListTickets", TENDS, Reach::Site),
    rule("Appliances/RevokeTicket", TENDS, Reach::Site),
    rule("Appliances/List", ALL, Reach::Site),
    rule("Appliances/Revoke", RUNS, Reach::Site),
    rule("Appliances/Readmit", RUNS, Reach::Site),
    rule("Appliances/Lines", TENDS, Reach::Site),
    rule("Incidents/List", ALL, Reach::Site),
    rule("Incidents/Show", ALL, Reach::Site),
    rule("Notifications/Acknowledge", TENDS, Reach::Site),
    rule("Notifications/List", ALL, Reach::Site),
    rule("Notifications/Retry", RUNS, Reach::Site),
    rule("Usage/Month", READS, Reach::Tenant),
    rule("Orders/List", ALL, Reach::Site),
    rule("Plans/Foresee", ALL, Reach::Site),
    rule("Policies/Show", READS, Reach::Tenant),
    rule("Policies/Change", RUNS, Reach::Tenant),
    rule("Policies/Budgets", READS, Reach::Tenant),
    rule("Policies/PutTemplate", RUNS, Reach::Organization),
    rule("Policies/ListTemplates", READS, Reach::Organization),
    rule("Policies/RemoveTemplate", RUNS, Reach::Organization),
    rule("Policies/ApplyTemplate", RUNS, Reach::Organization),
    rule("Approvals/List", ALL, Reach::Site),
    rule("Approvals/Show", ALL, Reach::Site),
    rule("Approvals/Approve", TENDS, Reach::Site),
    rule("Approvals/Reject", RUNS, Reach::Site),
    rule("Holds/Set", TENDS, Reach::Site),
    rule("Holds/Release", RUNS, Reach::Site),
    rule("Holds/List", ALL, Reach::Site),
    rule("Evidence/List", READS, Reach::Tenant),
    rule("Evidence/Export", READS, Reach::Tenant),
    rule("Evidence/Witnesses", READS, Reach::Tenant),
    rule("Packets/Build", READS, Reach::Tenant),
    rule("Packets/List", READS, Reach::Tenant),
    rule("Packets/Send", RUNS, Reach::Tenant),
    rule("Packets/Review", RUNS, Reach::Tenant),
    rule("Catalogue/Show", ALL, Reach::Site),
    rule("Catalogue/Publish", OWNS, Reach::Organization),
    rule("Charter/Show", ALL, Reach::Site),
    rule("Charter/Publish", OWNS, Reach::Organization),
    rule("Compliance/Posture", ALL, Reach::Site),
    rule("Compliance/Propose", RUNS, Reach::Site),
    rule("Planner/Calls", READS, Reach::Organization),
    rule("Documents/Draft", RUNS, Reach::Tenant),
    rule("Documents/Publish", RUNS, Reach::Tenant),
    rule("Documents/List", READS, Reach::Tenant),
    rule("Documents/Withdraw", RUNS, Reach::Tenant),
    rule("Documents/SealingKey", TENDS, Reach::Site),
    gives_access("Operators/IssueToken"),
    in_person("Operators/ListTokens", OWNS, Reach::Organization),
    in_person("Operators/RevokeToken", OWNS, Reach::Organization),
    in_person("Operators/Review", OWNS, Reach::Organization),
    rule("Operators/Audit", OVERSEES, Reach::Tenant),
    gives_access("People/Invite"),
    in_person("People/List", OWNS, Reach::Organization),
    in_person("People/End", OWNS, Reach::Organization),
    in_person("People/EndSession", OWNS, Reach::Organization),
];

/// What else the people's door leads to, by its whole path. Metrics are numbers of the whole organization.
pub const BESIDE: &[Rule] = &[
    rule("/metrics", ALL, Reach::Organization),
    rule("/grpc.health.v1.Health/Check", ALL, Reach::Site),
    rule("/grpc.health.v1.Health/Watch", ALL, Reach::Site),
    rule("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ALL, Reach::Site),
];

/// What a path calls: `/orderly.v1.Tenants/List` is `Tenants/List`.
#[must_use]
pub fn call_of(path: &str) -> Option<&str> {
    path.strip_prefix("/orderly.v1.")
}

/// Lets a call in, or says what it would need.
pub fn authorize(principal: &Principal, path: &str) -> Result<(), Status> {
    let rule = match call_of(path) {
        Some(call) => TABLE.iter().find(|rule| rule.call == call),
        None => BESIDE.iter().find(|rule| rule.call == path),
    };
    let rule = rule.ok_or_else(|| Status::unimplemented("there is no such call"))?;
    let grant = &principal.grant;
    if !rule.roles.contains(&grant.role) {
        let roles: Vec<_> = rule.roles.iter().map(|role| role.as_str()).collect();
        let why = format!("{} needs the role {}; yours is {}", rule.call, roles.join(" or "), grant.role);
        return Err(Status::permission_denied(why));
    }
    if reach_of(&grant.scope) < rule.reach {
        let why = match rule.reach {
            Reach::Organization => "is about the whole organization",
            Reach::Tenant | Reach::Site => "is about a whole clinic",
        };
        let why = format!("{} {why}; your access is to {}", rule.call, grant.scope);
        return Err(Status::permission_denied(why));
    }
    if rule.in_person && principal.means == Means::Token {
        let why = "access is given and taken back by people, not with an API token; sign in, or use the server's console";
        return Err(Status::permission_denied(why));
    }
    if rule.gives_access && principal.means == (Means::Person { fresh: false }) {
        return Err(Status::failed_precondition(SIGN_IN_AGAIN));
    }
    Ok(())
}

/// Which roles may make a call.
#[must_use]
pub fn roles_of(call: &str) -> &'static [Role] {
    TABLE.iter().find(|rule| rule.call == call).map_or(&[], |rule| rule.roles)
}

/// How far a scope reaches.
#[must_use]
pub fn reach_of(scope: &Scope) -> Reach {
    match scope {
        Scope::Organization => Reach::Organization,
        Scope::Tenant(_) => Reach::Tenant,
        Scope::Site(..) => Reach::Site,
    }
}
