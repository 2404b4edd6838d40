//! The host options: what OCI does not carry (`schema/options.json`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// Host options. What is left as `Default` has it is not in the document.
///
/// ```
/// let options = rootfs::Options { rootless: true, ..rootfs::Options::bundle("/run/bundle") };
/// assert_eq!(options.bundle.unwrap().to_str(), Some("/run/bundle"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// Absolute path of the bundle; relative paths of the config are relative to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<PathBuf>,
    /// What hooks get to know of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The root is switched by moving the mount and chroot(2), for a root on ramfs.
    #[serde(skip_serializing_if = "is_false")]
    pub no_pivot_root: bool,
    /// Failures that an ordinary user cannot help are worked around.
    #[serde(skip_serializing_if = "is_false")]
    pub rootless: bool,
    /// The container's own cgroup, below the host's cgroup2 mount.
    #[serde(rename = "cgroup2Path", skip_serializing_if = "Option::is_none")]
    pub cgroup2_path: Option<PathBuf>,
    /// Commands around mounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mount_commands: Vec<MountCommands>,
}

/// The part of the OCI state that the library does not know by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// The container's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The init child's pid as the runtime sees it; `None` for the calling process's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Annotations, in place of the config's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Commands before and after one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MountCommands {
    /// Index in the config's `mounts`.
    pub mount: u32,
    /// Run before the mount, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Command>,
    /// Run after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Command>,
}

/// A command of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The file to execute, an absolute path.
    pub path: PathBuf,
    /// Its arguments, without argv\[0\].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment, `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Its working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

impl Options {
    /// The options that name the bundle and nothing else.
    pub fn bundle(path: impl Into<PathBuf>) -> Self {
        Self { bundle: Some(path.into()), ..Self::default() }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
