//! The library's documents.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The steps of [`Request::prepare`](crate::Request::prepare) and [`Prepared::finalize`](crate::Prepared::finalize).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// The steps of prepare, in order.
    pub prepare: Vec<Step>,
    /// The steps of finalize, in order.
    pub finalize: Vec<Step>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// Its kind: `mount`, `device`, `mask-path`.
    pub op: String,
    /// The path inside the container that it is about, or empty.
    #[serde(default)]
    pub target: String,
    /// The field of the config that asked for it, or empty.
    #[serde(default)]
    pub pointer: String,
    /// What else the document says of it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What the kernel reports, compared with what the config promised.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// How many promises were looked at.
    pub checked: u64,
    /// Those that do not hold; empty where all is as promised.
    pub deviations: Vec<Deviation>,
}

/// One promise of the config that the kernel does not confirm.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Deviation {
    /// The field of the config that made the promise, or empty.
    pub pointer: String,
    /// The path inside the container.
    pub target: String,
    /// What is different: `type`, `flags`, `propagation`, `mode`, `mask`.
    pub aspect: String,
    /// What was promised.
    pub want: String,
    /// What the kernel reports.
    pub got: String,
}
