//! The kinds of faults of a data set. Each can be in any service.

use crate::case::Case;

/// A kind of fault.
pub(crate) struct Kind {
    /// Its name, as RCAEval has it where it has the kind.
    pub(crate) name: &'static str,
    /// The members of the fault beside its service.
    members: &'static str,
    /// The metric of the service that shows it first.
    indicator: &'static str,
}

/// RCAEval's kinds that a process can bring about by itself, and two of its own: answers that are errors, and answers that
/// never come. There is no disk to fill and no socket to exhaust: services write no files.
pub(crate) const KINDS: [Kind; 6] = [
    Kind { name: "cpu", members: "busy_threads: 1", indicator: "cpu" },
    Kind { name: "mem", members: "memory: 1Mi", indicator: "mem" },
    Kind { name: "delay", members: "delay: 200ms", indicator: "latency-90" },
    Kind { name: "loss", members: "percentage: 40, seed: 1, drop: request", indicator: "error" },
    Kind {
        name: "error",
        members: "percentage: 40, seed: 1, status: INTERNAL",
        indicator: "error",
    },
    Kind { name: "hang", members: "percentage: 40, seed: 1, hang: true", indicator: "latency-90" },
];

impl Kind {
    /// Returns the case of this kind in a service.
    pub(crate) fn case(&self, service: &str) -> Case {
        let Self { name, members, indicator } = self;
        Case {
            service: service.to_owned(),
            fault: (*name).to_owned(),
            faults: format!("faults: [{{name: {name}, service: {service}, {members}}}]\n"),
            indicator: Some(format!("{service}_{indicator}")),
        }
    }
}
