//! Owners' calls about who signs in.

use std::time::Duration;

use proto::{
    field::BadField,
    pb::{
        EndPerson, EndPersonSession, Invitation, InvitePerson, ListPeople, PasskeyView, PersonList,
        PersonView, SessionView, people_server,
    },
    time::Millis,
};
use tonic::{Request, Response, Status};

use crate::{
    access::Grant,
    core::{Core, CoreError, people::Invitee, sessions::session_name},
    serve::{operators::Operators, views},
    store::OperatorRow,
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl people_server::People for Operators {
    async fn invite(&self, request: Request<InvitePerson>) -> Answer<Invitation> {
        let about = self.about.clone();
        self.act(request, move |core, asked, now| {
            let scope = asked.scope.unwrap_or_default();
            let grant =
                Grant { role: asked.role.parse()?, scope: core.scope_called(&scope.tenant, &scope.site)? };
            if asked.valid_hours == 0 {
                return Err(BadField::new("valid_hours", "must be 1 to 720").into());
            }
            let valid = Duration::from_secs(u64::from(asked.valid_hours) * 3600);
            let invitee = Invitee { name: asked.name, email: asked.email, grant };
            let (row, link) = core.invite(invitee, valid, now)?;
            Ok(Invitation {
                link: format!("{}/invite/{}", about.people, link.secret),
                expires_ms: link.expires.0,
                person: Some(view(core, row, now)?),
            })
        })
        .await
    }

    async fn list(&self, request: Request<ListPeople>) -> Answer<PersonList> {
        self.act(request, |core, _, now| {
            let rows = core.people()?.into_iter();
            Ok(PersonList { people: rows.map(|row| view(core, row, now)).collect::<Result<_, _>>()? })
        })
        .await
    }

    async fn end(&self, request: Request<EndPerson>) -> Answer<PersonView> {
        self.act(request, |core, asked, now| {
            let row = core.end_person(&asked.name, now)?;
            view(core, row, now)
        })
        .await
    }

    async fn end_session(&self, request: Request<EndPersonSession>) -> Answer<PersonView> {
        self.act(request, |core, asked, now| {
            let row = core.end_sessions_of(&asked.name, &asked.session)?;
            view(core, row, now)
        })
        .await
    }
}

fn view(core: &Core, row: OperatorRow, now: Millis) -> Result<PersonView, CoreError> {
    let passkeys = core.passkeys_of(row.id)?.into_iter().map(|key| PasskeyView {
        label: key.label,
        created_ms: key.created.0,
        used_ms: key.used.0,
    });
    let sessions = core.sessions_of(row.id, now)?.into_iter().map(|session| SessionView {
        id: session_name(&session),
        kind: session.kind.to_string(),
        created_ms: session.created.0,
        used_ms: session.used.0,
        address: session.address,
    });
    Ok(PersonView {
        passkeys: passkeys.collect(),
        sessions: sessions.collect(),
        codes: core.codes_left(row.id)?,
        role: row.grant.role.to_string(),
        scope: Some(views::scope(&row.grant.scope)),
        state: row.state.to_string(),
        created_ms: row.created.0,
        used_ms: row.used.0,
        provider: row.subject.is_some(),
        name: row.name,
        email: row.email,
    })
}
