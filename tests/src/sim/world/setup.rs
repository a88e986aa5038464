//! The beginning: two clinics, three boxes, all enrolled, all running.

use std::time::Duration;

use proto::{
    digest::Digest,
    identity::CertificateFacts,
    local::{self, request::Call, response::Answer},
    pb,
};

use super::{Counts, Event, World, forecast};
use crate::sim::{
    chance::Chance, clock::Time, machine::Machine, network::Network, oracle::Oracle, organization::BOXES,
    queue::Queue, server::Server, trace::Trace,
};

/// The clinic of each box.
const CLINICS: [&str; BOXES] = ["Elm Street", "Elm Street", "Harbour"];

impl World {
    /// The world of a seed.
    pub(in crate::sim) fn new(seed: u64) -> anyhow::Result<Self> {
        let time = Time::default();
        let mut server = Server::new(seed, &time)?;
        let mut machines =
            (0..BOXES).map(|number| Machine::new(number, seed, &time)).collect::<anyhow::Result<Vec<_>>>()?;
        enrol(&mut server, &mut machines)?;
        let mut world = Self {
            queue: Queue::new(),
            limbo: Vec::new(),
            chance: Chance::new(seed, "world"),
            network: Network::new(BOXES, Chance::new(seed, "network")),
            oracle: Oracle::new(&machines),
            trace: Trace::new(),
            calls: 0,
            charter: 1,
            charter_envelope: Vec::new(),
            events: 0,
            counts: Counts::new(),
            time,
            server,
            machines,
        };
        for machine in 0..BOXES {
            world.oracle.after_executor(&world.machines[machine])?;
            world.begin_agent(machine);
            world.begin_executor(machine);
        }
        world.begin_server();
        for (at, weather) in forecast::forecast(&mut Chance::new(seed, "weather")) {
            world.queue.put(at, Event::Weather(weather));
        }
        Ok(world)
    }
}

fn enrol(server: &mut Server, machines: &mut [Machine]) -> anyhow::Result<()> {
    let now = server.now();
    let Some((core, _)) = &mut server.process else { anyhow::bail!("there is no control plane") };
    for machine in machines {
        let clinic = CLINICS[machine.number];
        if core.tenant(clinic).is_err() {
            core.run(now, |core| core.create_tenant(clinic, now))?;
        }
        let site = format!("site {}", machine.number);
        core.run(now, |core| core.create_site(clinic, &site, now))?;
        let valid = Duration::from_secs(3600);
        let token = core.run(now, |core| core.issue_enrolment_token(clinic, &site, valid, now))?.secret;
        let challenge = Digest::of(token.as_bytes()).to_vec();
        let Answer::KeyProof(proof) =
            ask(machine, Call::ProveKeys(local::ProveKeys { tls_spki: machine.spki.to_vec(), challenge }))?
        else {
            anyhow::bail!("the executor proves no keys")
        };
        let request = pb::EnrollRequest {
            token,
            csr: machine.csr.clone(),
            key_proof: proof.envelope,
            hardware: String::new(),
        };
        let welcome = core.run(now, |core| core.enroll(&request.try_into()?, now))?;
        let name = CertificateFacts::read(&welcome.certificate)?.spiffe;
        machine.identity = Some((name.tenant, name.appliance));
        let adopt = local::Adopt {
            charter: welcome.charter,
            certificate: welcome.certificate,
            catalogue: welcome.catalogue,
            policy: welcome.policy,
        };
        let Answer::Adopted(_) = ask(machine, Call::Adopt(adopt))? else {
            anyhow::bail!("the executor adopts nothing")
        };
    }
    Ok(())
}

fn ask(machine: &Machine, call: Call) -> anyhow::Result<Answer> {
    let request = local::Request { call: Some(call) };
    let response = machine.executor.with(|core, _| core.handle(request)).and_then(|response| response.answer);
    match response {
        Some(Answer::Failure(failure)) => anyhow::bail!("{} {}", failure.field, failure.problem),
        Some(answer) => Ok(answer),
        None => anyhow::bail!("there is no executor"),
    }
}
