//! The OCI config.json.

use std::io;
use std::path::Path;

/// An OCI config.json, kept as the text that the library reads; it is checked there, so that every error has a pointer.
#[derive(Clone, Debug)]
pub struct Config {
    json: Vec<u8>,
}

impl Config {
    /// From JSON text. Bytes that are not UTF-8 are the library's to refuse.
    pub fn from_json(json: impl Into<Vec<u8>>) -> Self {
        Self { json: json.into() }
    }

    /// From a file. To have its directory as the bundle too, use [`Request::from_bundle`](crate::Request::from_bundle).
    pub fn from_file(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { json: std::fs::read(path)? })
    }

    /// From the types of the `oci-spec` crate. The error is serde_json's.
    ///
    /// ```
    /// use oci_spec::runtime::Spec;
    /// use rootfs::Config;
    ///
    /// let config = Config::from_spec(&Spec::default())?;
    /// assert!(config.json().starts_with(b"{"));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[cfg(feature = "oci-spec")]
    pub fn from_spec(spec: &oci_spec::runtime::Spec) -> serde_json::Result<Self> {
        serde_json::to_vec(spec).map(Self::from_json)
    }

    /// The JSON text.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// How many mounts it has; 0 for one that is wrong, which is the library's to refuse.
    pub(crate) fn mounts(&self) -> usize {
        let value: Option<serde_json::Value> = serde_json::from_slice(&self.json).ok();
        value.as_ref().and_then(|v| v["mounts"].as_array()).map_or(0, Vec::len)
    }
}

impl From<&str> for Config {
    fn from(json: &str) -> Self {
        Self::from_json(json)
    }
}

impl From<String> for Config {
    fn from(json: String) -> Self {
        Self::from_json(json)
    }
}

impl From<&serde_json::Value> for Config {
    fn from(value: &serde_json::Value) -> Self {
        Self::from_json(value.to_string())
    }
}

impl From<serde_json::Value> for Config {
    fn from(value: serde_json::Value) -> Self {
        Self::from(&value)
    }
}
