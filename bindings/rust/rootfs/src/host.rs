//! Calls that need no request.

use std::ffi::CStr;

use rootfs_sys as sys;

use crate::call::{call, document};
use crate::Result;

/// The version of the library that is loaded, `"0.1.0"`. Starts nothing; any process, any thread.
///
/// ```
/// assert!(rootfs::version().starts_with("0."));
/// ```
pub fn version() -> &'static str {
    // SAFETY: takes nothing, gives a static string, never fails.
    unsafe { CStr::from_ptr(sys::rootfs_version()) }.to_str().unwrap_or_default()
}

/// The OCI features document for this kernel and this build. Any process, any thread.
///
/// ```
/// let features = rootfs::features()?;
/// assert!(features["mountOptions"].as_array().unwrap().iter().any(|option| option == "rbind"));
/// # Ok::<(), rootfs::Error>(())
/// ```
pub fn features() -> Result<serde_json::Value> {
    // SAFETY: both pointers are valid for the call.
    document(|json, error| unsafe { sys::rootfs_features(json, error) })
}

/// Loads and starts the engine in this process, and makes it read a config of its own, so that the next is faster: about 1 ms.
///
/// The calls that need the engine load and start it where this was not called. In a parent, it is done for all children that
/// are forked afterwards. To have other work overlap with it, call it on a thread of your own: a call that comes meanwhile
/// waits for it. A child whose parent did not call it, and that has nothing else to wait for, is faster without.
pub fn start() -> Result<()> {
    // SAFETY: the pointer is valid for the call.
    call(|error| unsafe { sys::rootfs_start(error) })
}
