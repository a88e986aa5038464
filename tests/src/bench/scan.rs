//! What a scan of the baseline costs: `appliance scan` on a machine of its own that is as the baseline wants it, beside
//! `oscap` with Debian's content on this one.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;

use super::{
    Effort,
    report::{Row, quantile},
};
use crate::rig::{
    Machine, Tree, binary, machine,
    process::run as finished,
    rsyslog::{libraries, unpacked},
    staged::staged,
};

/// Goal in milliseconds of processor time.
const GOAL: f64 = 50.0;
const CONTENT: &str = "usr/share/xml/scap/ssg/content/ssg-debian11-ds.xml";
const PROFILE: &str = "xccdf_org.ssgproject.content_profile_anssi_np_nt28_average";

pub(super) fn run(work: &Path, effort: &Effort) -> Result<Vec<Row>> {
    if let Some(why) = machine::unavailable()? {
        println!("left out: {why}");
        return Ok(Vec::new());
    }
    let machine = machine(&work.join("machine"))?;
    let oscap = Oscap::new(work)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut looked_at, mut rules) = (String::new(), 0);
    for _ in 0..effort.scans {
        let mut findings = String::new();
        ours.push(spent(|| {
            findings = machine.run("appliance", &["scan", "--json"])?;
            Ok(())
        })?);
        looked_at = seen(&serde_json::from_str(&findings)?)?;
        if let Some(oscap) = &oscap {
            theirs.push(spent(|| {
                rules = oscap.scan()?;
                Ok(())
            })?);
        }
    }
    let what = format!(
        "processor time of one scan of the baseline with all that it starts, its own program included ({looked_at})"
    );
    let figure = quantile(&mut ours, 0.5);
    let mut rows = vec![Row::of_times(what.clone(), "ms", "the goal", (figure, GOAL), 1.0)];
    if oscap.is_some() {
        let against = format!(
            "oscap with Debian's content (ssg-debian, {rules} rules of ANSSI NT28 average, told that this is the system it is for)"
        );
        rows.push(Row::of_times(what, "ms", &against, (figure, quantile(&mut theirs, 0.5)), 1.0));
    } else {
        println!("there is no oscap here to hold it against; `.ci/setup bench` brings it");
    }
    Ok(rows)
}

/// A machine on which nearly every control can be told.
fn machine(folder: &Path) -> Result<Machine> {
    let tree = staged(Tree::new()?)?
        .program("usr/bin/appliance", &binary("appliance")?)?
        .file("etc/orderly/appliance.toml", "[control_plane]\naddress = \"https://127.0.0.1:1\"\n")?;
    Machine::boot(folder, tree, &[])
}

/// How many controls were looked at, and of how many that could be told.
fn seen(findings: &Value) -> Result<String> {
    let findings = findings.as_array().context("a list of findings")?;
    let blind = findings.iter().filter(|finding| finding["verdict"] == "not-evaluable").count();
    Ok(format!("{} controls, {blind} of them not evaluable here", findings.len()))
}

/// Processor time of the children that `work` starts and waits for, in milliseconds.
fn spent(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = children()?;
    work()?;
    Ok((children()? - before).as_secs_f64() * 1000.0)
}

fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |time: nix::sys::time::TimeVal| {
        Ok::<_, anyhow::Error>(
            Duration::from_secs(u64::try_from(time.tv_sec())?)
                + Duration::from_micros(u64::try_from(time.tv_usec())?),
        )
    };
    Ok(time(usage.user_time())? + time(usage.system_time())?)
}

/// `oscap`, unpacked.
struct Oscap {
    content: std::path::PathBuf,
    program: std::path::PathBuf,
}

impl Oscap {
    /// `None`: there is none here.
    fn new(work: &Path) -> Result<Option<Self>> {
        let (Some(program), Some(content)) = (unpacked("usr/bin/oscap"), unpacked(CONTENT)) else {
            return Ok(None);
        };
        // Its rules are for another release and for no container; without that condition each of them is looked at.
        let text = fs::read_to_string(content)?;
        let mut applies = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find("<xccdf-1.2:platform idref=\"") {
            let (before, from) = rest.split_at(at);
            let end = from.find("/>").context("an element ends")? + 2;
            applies.push_str(before);
            let named = &from[..end];
            if !["cpe:/o:debian", "#machine", "cpe:/a:machine"].iter().any(|name| named.contains(name)) {
                applies.push_str(named);
            }
            rest = &from[end..];
        }
        applies.push_str(rest);
        let content = work.join("content.xml");
        fs::write(&content, applies)?;
        Ok(Some(Self { content, program }))
    }

    /// Gives how many rules it could tell of.
    fn scan(&self) -> Result<usize> {
        let mut command = Command::new(&self.program);
        command.args(["xccdf", "eval", "--profile", PROFILE]).arg(&self.content);
        command.env("LD_LIBRARY_PATH", libraries());
        for (name, folder) in
            [("OSCAP_SCHEMA_PATH", "schemas"), ("OSCAP_XSLT_PATH", "xsl"), ("OSCAP_CPE_PATH", "cpe")]
        {
            command.env(name, unpacked(&format!("usr/share/openscap/{folder}")).unwrap_or_default());
        }
        let output = finished(&mut command, &[0, 2])?; // 2: a rule failed
        let text = String::from_utf8_lossy(&output.stdout);
        let told = text
            .lines()
            .filter(|line| line.starts_with("Result") && !line.ends_with("notapplicable"))
            .count();
        ensure!(told > 0, "oscap looked at nothing");
        Ok(told)
    }
}
