//! What both examples need of a bundle and of the kernel.

use std::io;
use std::path::Path;

use serde_json::Value;

/// `process` of a bundle's config.json.
pub struct Process {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
}

impl Process {
    /// Reads it; a config.json without `process.args` is an error.
    pub fn of_bundle(bundle: &Path) -> io::Result<Self> {
        let config: Value = serde_json::from_slice(&std::fs::read(bundle.join("config.json"))?)?;
        let strings = |list: &Value| -> Vec<String> {
            list.as_array()
                .into_iter()
                .flatten()
                .filter_map(|s| s.as_str().map(String::from))
                .collect()
        };
        let args = strings(&config["process"]["args"]);
        if args.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "config.json has no process.args",
            ));
        }
        let env = strings(&config["process"]["env"]);
        let env = env
            .iter()
            .filter_map(|e| e.split_once('='))
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        Ok(Self { args, env })
    }
}

/// unshare(2)
pub fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: flags are all it takes.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
