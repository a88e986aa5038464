//! Mounts, by `/proc/1/mountinfo`.

use baseline::{
    Blind, Reading, ReadingValue, Word,
    probe::{FILE_SYSTEMS, MOUNT_OPTIONS, Path},
};

use super::{Look, read, reading};

/// One line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// `major:minor`.
    pub(super) device: String,
    /// Where.
    pub(super) point: String,
    options: Vec<String>,
    fstype: String,
    /// What it is of: `/dev/mapper/data`.
    pub(super) source: String,
}

/// All mounts that process 1 has, in order.
pub(super) fn all(look: &Look<'_>) -> Result<Vec<Mount>, Blind> {
    let text = read::file(&look.root.join("proc/1/mountinfo"))?;
    let mounts: Vec<Mount> = text.lines().filter_map(line).collect();
    if mounts.is_empty() { Err(Blind::Unreadable) } else { Ok(mounts) }
}

fn line(line: &str) -> Option<Mount> {
    let (own, of) = line.split_once(" - ")?;
    let own: Vec<&str> = own.split(' ').collect();
    let of: Vec<&str> = of.split(' ').collect();
    let ([_, _, device, _, point, options, ..], [fstype, source, more @ ..]) = (&own[..], &of[..]) else {
        return None;
    };
    let options = options.split(',').chain(more.iter().flat_map(|more| more.split(',')));
    Some(Mount {
        device: (*device).to_owned(),
        point: (*point).to_owned(),
        options: options.map(str::to_owned).collect(),
        fstype: (*fstype).to_owned(),
        source: (*source).to_owned(),
    })
}

/// The last mount at exactly this path: it covers those before.
pub(super) fn read(look: &Look<'_>, path: &Path) -> Result<Reading, Blind> {
    let mounts = all(look)?;
    let Some(mount) = mounts.iter().rev().find(|mount| mount.point == path.as_str()) else {
        return Ok(reading([("mounted", false.into())]));
    };
    let known = mount.options.iter().filter(|option| MOUNT_OPTIONS.contains(&option.as_str()));
    let options: ReadingValue = known.map(|option| Word::of(option, MOUNT_OPTIONS)).collect();
    Ok(reading([
        ("fstype", Word::of(&mount.fstype, FILE_SYSTEMS).into()),
        ("mounted", true.into()),
        ("options", options),
    ]))
}

/// The mount that holds a path.
pub(super) fn holding<'m>(mounts: &'m [Mount], path: &str) -> Option<&'m Mount> {
    let holds = |mount: &&Mount| {
        let below = path.strip_prefix(mount.point.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // Of several at one point, the last covers the others.
    mounts.iter().filter(holds).max_by_key(|mount| mount.point.len())
}
