//! The states of the process after [`Request::prepare`](crate::Request::prepare).

use std::ffi::c_int;
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use rootfs_sys as sys;

use crate::call::{call, document};
use crate::request::Kept;
use crate::{Report, Result};

/// A process whose root is the container's, still writable. It has to be finalized before anything of the container runs.
///
/// Not `Send`: what was set up belongs to the process, but its working directory may be the calling thread's alone.
#[must_use = "a root that is not finalized has none of its read-only and masked parts"]
pub struct Prepared<'a> {
    /// Also what makes it neither Send nor Sync.
    pub(crate) callbacks: Kept<'a>,
}

/// A terminal: size in characters, owner as seen in the container. The default leaves the size as the kernel makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
    /// Owner of the terminal's device.
    pub uid: u32,
    /// Group of the terminal's device.
    pub gid: u32,
}

impl fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared")
    }
}

impl Prepared<'_> {
    /// Opens a terminal of the container's own devpts, binds it over /dev/console and gives its master (O_CLOEXEC).
    pub fn console(&self, terminal: Terminal) -> Result<OwnedFd> {
        let Terminal { rows, columns, uid, gid } = terminal;
        let terminal = sys::rootfs_terminal { rows, columns, uid, gid, ..sys::rootfs_terminal::INIT };
        let mut master: c_int = -1;
        // SAFETY: the three pointers are valid for the call.
        call(|error| unsafe { sys::rootfs_console(&terminal, &mut master, error) })?;
        // SAFETY: the library has given us this descriptor, and nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(master) })
    }

    /// Read-only mounts and root, umask, sysctls, read-only and masked paths. Sets the process's umask to the container's.
    ///
    /// After an error the process is to exit.
    ///
    /// # Panics
    ///
    /// With what `on_progress` panicked with, after the last step.
    pub fn finalize(mut self) -> Result<Finalized> {
        // SAFETY: the pointer is valid for the call, and the callbacks that C knows from prepare are here.
        let result = call(|error| unsafe { sys::rootfs_finalize(error) });
        self.callbacks.outcome(result)?;
        Ok(Finalized { _not_send: PhantomData })
    }
}

/// A process whose root is as the config promised: ready for what is the host's, and then for execve(2).
#[derive(Debug)]
pub struct Finalized {
    _not_send: PhantomData<*mut ()>,
}

impl Finalized {
    /// Compares what the kernel reports with what the config promised.
    pub fn verify(&self) -> Result<Report> {
        // SAFETY: a null request is "what this process has set up"; the other pointers are valid for the call.
        document(|report, error| unsafe { sys::rootfs_verify(ptr::null(), report, error) })
    }
}
