//! Numbers that the machine measures of itself, by sysinfo.

use std::path::Path;

use runbooks::Fault;
use sysinfo::{DiskRefreshKind, Disks, System};

use super::{Observation, Produced};
use crate::config::{Metric, MetricName};

/// The source, for all metrics of the watch list.
#[derive(Debug)]
pub struct Metrics {
    watched: Vec<Metric>,
    system: Option<System>,
    /// A share of processor time needs two readings.
    processor_read: bool,
}

impl Metrics {
    /// Measures what `watched` names.
    #[must_use]
    pub fn new(watched: Vec<Metric>) -> Self {
        Self { watched, system: None, processor_read: false }
    }

    /// Measures now. What cannot be measured, or not yet, is left out.
    pub fn poll(&mut self) -> Produced {
        let observations =
            self.watched.clone().iter().filter_map(|metric| self.observe(metric)).collect::<Vec<_>>();
        self.processor_read = self.system.is_some();
        Produced { observations, ..Produced::default() }
    }

    fn observe(&mut self, metric: &Metric) -> Option<Observation> {
        let value = self.percent(metric.metric)?;
        Some(Observation {
            watch: metric.id.clone(),
            fault: Fault::MetricOverLimit,
            readings: [("value".to_owned(), value), ("limit".to_owned(), metric.above)].into(),
            note: String::new(),
        })
    }

    fn percent(&mut self, name: MetricName) -> Option<i64> {
        if name == MetricName::DiskUsedPercent {
            return disk();
        }
        if self.system.is_none() {
            self.system = System::new().ok();
        }
        let system = self.system.as_mut()?;
        match name {
            MetricName::MemoryUsedPercent => {
                system.refresh_memory();
                // Available, not free: what the kernel would give up at once is not in use.
                share(system.total_memory().checked_sub(system.available_memory())?, system.total_memory())
            }
            MetricName::SwapUsedPercent => {
                system.refresh_memory();
                share(system.used_swap(), system.total_swap())
            }
            MetricName::CpuUsedPercent => {
                system.refresh_cpu_usage();
                #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
                self.processor_read.then(|| system.global_cpu_usage().round() as i64)
            }
            MetricName::DiskUsedPercent => None,
        }
    }
}

fn disk() -> Option<i64> {
    let only_space = DiskRefreshKind::nothing().with_storage();
    let disks = Disks::new_with_refreshed_list_specifics(only_space).ok()?;
    let root = disks.iter().find(|disk| disk.mount_point() == Path::new("/"))?;
    share(root.total_space().checked_sub(root.available_space())?, root.total_space())
}

/// Whole percent; `None` of nothing: a machine without swap uses none of it.
fn share(used: u64, of: u64) -> Option<i64> {
    i64::try_from(u128::from(used) * 100 / u128::from(of).max(1)).ok().filter(|_| of > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_percent() {
        assert_eq!(share(1, 3), Some(33));
        assert_eq!(share(u64::MAX, u64::MAX), Some(100));
        assert_eq!(share(0, 0), None);
    }

    #[test]
    fn this_machine_can_be_measured() {
        let names = [MetricName::MemoryUsedPercent, MetricName::CpuUsedPercent];
        let watched = names
            .iter()
            .zip(["memory", "processor"])
            .map(|(metric, id)| Metric { id: id.parse().unwrap(), metric: *metric, above: 100 })
            .collect();
        let mut metrics = Metrics::new(watched);
        assert_eq!(metrics.poll().observations.len(), 1, "a share of processor time needs two readings");
        let seen = metrics.poll().observations;
        assert_eq!(seen.len(), 2);
        for observation in seen {
            assert!((0..=100).contains(&observation.readings["value"]), "{observation:?}");
            assert_eq!(observation.fault.holds(&observation.readings), Some(false));
        }
    }

    #[test]
    fn the_disk_is_measured_at_the_first_look() {
        let metric = MetricName::DiskUsedPercent;
        let mut metrics = Metrics::new(vec![Metric { id: "disk".parse().unwrap(), metric, above: 100 }]);
        let seen = metrics.poll().observations;
        assert_eq!(seen.len(), 1);
        assert!((1..=100).contains(&seen[0].readings["value"]), "{seen:?}");
    }
}
