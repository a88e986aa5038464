//! What exports in NIST's format say of deeds: restores that were tried out, updates, incidents.

use control_plane::bundle::verify::Status;
use proto::{
    act::{Deed, End},
    digest::Digest,
    evidence::{Body, Verdict},
    ids::IncidentId,
};

use super::{
    check,
    clocks::update,
    oscal::{CLAIM, list, prop, result, titled},
    status_of,
    tenant::{Deed as Done, HOUR, RESTORED, Tenant},
};

/// Beside how controls stood: restores that were tried out, updates, incidents; each with its record, none with a verdict.
#[test]
fn deeds_stand_beside_the_paragraphs_that_they_bear_on() {
    let mut tenant = Tenant::genuine(1);
    tenant.execute(1, &Done { verdict: Verdict::Failed, output: None, ..RESTORED });
    tenant.log(0, Body::Update(update()));
    let appliance = tenant.boxes[0].id;
    let incident = Deed::Incident {
        id: IncidentId::new(tenant.now, [9; 10]),
        appliance,
        fault: "service.unreachable".into(),
        watch: None,
        opened: tenant.now.minus(HOUR),
        end: End::Escalated,
    };
    tenant.log_act(None, incident);
    for n in [0, 1] {
        tenant.scan(n, &[], None);
    }
    tenant.wait(HOUR / 60);
    let bundle = tenant.bundle();
    assert_eq!(status_of(&check(&tenant, &bundle), CLAIM), Status::Proven);
    assert_eq!(tenant.bundle(), bundle, "the same to the byte");
    let made = result(&bundle);
    let (observations, findings) = (list(&made, "observations"), list(&made, "findings"));
    let proven = titled(observations, "Restore drill of records on Server closet: proven");
    let not = titled(observations, "Restore drill of records on Server closet: not-proven");
    let updated = titled(observations, "Update of Front desk");
    let incident = titled(observations, "Incident on Front desk: escalated");
    for (one, index, citation) in [
        (proven, 20, "164.308(a)(7)(ii)(D)"),
        (not, 30, "164.308(a)(7)(ii)(D)"),
        (updated, 31, "164.308(a)(5)(ii)(B)"),
        (incident, 32, "164.308(a)(6)(ii)"),
    ] {
        let [evidence] = list(one, "relevant-evidence") else { panic!("{one}") };
        let digest = Digest::of(&tenant.evidence[index]);
        assert_eq!(prop(evidence, "log-index"), index.to_string());
        assert_eq!(prop(evidence, "sha256"), digest.to_string());
        assert!(prop(evidence, "log-origin").contains("msp.example"));
        let path = evidence["href"].as_str().unwrap().strip_prefix("../").unwrap();
        assert_eq!(Digest::of(&bundle.files()[path]), digest);
        let cited: Vec<_> = list(one, "props").iter().filter(|prop| prop["name"] == "citation").collect();
        assert!(cited.iter().any(|prop| prop["value"] == citation), "{one}");
        let finding = titled(findings, &format!("{citation} "));
        let related = list(finding, "related-observations");
        assert!(related.iter().any(|related| related["observation-uuid"] == one["uuid"]), "{finding}");
        // What was done makes nothing satisfied, and what failed nothing worse: looks at controls decide.
        assert_eq!(finding["target"]["status"]["state"], "satisfied");
    }
}
