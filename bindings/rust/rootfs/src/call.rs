//! From a C call to a `Result`.

use std::ffi::{c_char, c_int, CStr};
use std::ptr;

use rootfs_sys as sys;
use serde::de::DeserializeOwned;

use crate::error::Details;
use crate::{Error, Result};

/// Makes a call that fills a `struct rootfs_error`.
pub(crate) fn call(function: impl FnOnce(*mut sys::rootfs_error) -> c_int) -> Result<()> {
    let mut error = sys::rootfs_error::INIT;
    match function(&mut error) {
        0 => Ok(()),
        code => Err(Error::from_c(code, &error)),
    }
}

/// Makes a call that gives out a JSON document, frees it, and gives what it holds.
pub(crate) fn document<T: DeserializeOwned>(
    function: impl FnOnce(*mut *mut c_char, *mut sys::rootfs_error) -> c_int,
) -> Result<T> {
    let mut text = Text(ptr::null_mut());
    call(|error| function(&mut text.0, error))?;
    // SAFETY: a call that returned 0 has set a NUL-terminated string, which lives until rootfs_free.
    let json = unsafe { CStr::from_ptr(text.0) };
    serde_json::from_slice(json.to_bytes()).map_err(|cause| {
        let message = format!("the library's document is not what this crate knows: {cause}");
        Error::new(
            sys::ROOTFS_ERR_INTERNAL,
            Details { operation: "parse".into(), message, cause: Some(Box::new(cause)), ..Details::default() },
        )
    })
}

/// A string that the library gave out.
struct Text(*mut c_char);

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: null, or a string of the library's that nothing points to any more.
        unsafe { sys::rootfs_free(self.0) }
    }
}
