//! The one error type, which crosses a pipe as the C struct.

use std::error::Error as StdError;
use std::ffi::{c_char, CStr};
use std::fmt;
use std::io;
use std::mem::size_of;

use rootfs_sys as sys;

/// A call of the library failed. The variant says the kind; every kind has the same [`Details`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The configuration or an argument is wrong; `pointer` names the field.
    Invalid(Details),
    /// A system call failed; `errno` and `operation` say which.
    System(Details),
    /// Refused, because what the image or the kernel shows there is not what it must be.
    Unsafe(Details),
    /// This kernel, or this build of the library, cannot do what was asked.
    Unsupported(Details),
    /// The host's `on_mounts_ready` returned an error, which is this one's [`source`](StdError::source).
    Callback(Details),
    /// A hook or command failed or ran out of time.
    Hook(Details),
    /// Called in the wrong order, or twice.
    State(Details),
    /// The engine is missing, is not of this build, or cannot be started here.
    Engine(Details),
    /// This process was forked during a call, or after its parent had called [`prepare`](crate::Request::prepare), which is
    /// for the parent's root.
    Forked(Details),
    /// A defect of the library; the tail of `message` has the stack.
    Internal(Details),
    /// A kind that a newer library has and this crate does not know, by its number.
    Other(i32, Details),
}

/// What every error says, whatever its kind.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Details {
    /// errno of the system call, or of the callback's error; 0 where there is none.
    pub errno: i32,
    /// The operation that failed: `move_mount`, `mknodat`, `parse`.
    pub operation: String,
    /// RFC 6901 pointer of the field: `/mounts/3/source`, `options#/bundle` for host options; or empty.
    pub pointer: String,
    /// All of it as one sentence, which is also what `Display` writes.
    pub message: String,
    pub(crate) cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// How many bytes [`to_bytes`](Self::to_bytes) gives: fewer than PIPE_BUF, so that one `write` of them is atomic.
    pub const SIZE: usize = size_of::<sys::rootfs_error>();

    /// What the error says, whatever its kind.
    pub fn details(&self) -> &Details {
        match self {
            Self::Invalid(d) | Self::System(d) | Self::Unsafe(d) | Self::Unsupported(d) | Self::Callback(d) => d,
            Self::Hook(d) | Self::State(d) | Self::Engine(d) | Self::Forked(d) => d,
            Self::Internal(d) | Self::Other(_, d) => d,
        }
    }

    /// The number of the kind in C: `ROOTFS_ERR_*`.
    pub fn code(&self) -> i32 {
        match self {
            Self::Invalid(_) => sys::ROOTFS_ERR_INVALID,
            Self::System(_) => sys::ROOTFS_ERR_SYSTEM,
            Self::Unsafe(_) => sys::ROOTFS_ERR_UNSAFE,
            Self::Unsupported(_) => sys::ROOTFS_ERR_UNSUPPORTED,
            Self::Callback(_) => sys::ROOTFS_ERR_CALLBACK,
            Self::Hook(_) => sys::ROOTFS_ERR_HOOK,
            Self::State(_) => sys::ROOTFS_ERR_STATE,
            Self::Engine(_) => sys::ROOTFS_ERR_ENGINE,
            Self::Forked(_) => sys::ROOTFS_ERR_FORKED,
            Self::Internal(_) => sys::ROOTFS_ERR_INTERNAL,
            Self::Other(code, _) => *code,
        }
    }

    /// The error as a `struct rootfs_error`: the bytes for a parent that reads a pipe, in whatever language. Text that the
    /// struct has no room for is cut; the callback's own error stays behind.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let (d, mut c) = (self.details(), sys::rootfs_error::INIT);
        c.code = self.code();
        c.errnum = d.errno;
        fill(&mut c.operation, &d.operation);
        fill(&mut c.pointer, &d.pointer);
        fill(&mut c.message, &d.message);
        // SAFETY: both are plain bytes of the same size, and the struct has no padding: its four words are followed by
        // arrays of bytes whose lengths are multiples of four.
        unsafe { std::mem::transmute::<sys::rootfs_error, [u8; Self::SIZE]>(c) }
    }

    /// The error whose bytes a child wrote. `None` where they are too few or hold no error.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::SIZE] = bytes.get(..Self::SIZE)?.try_into().ok()?;
        // SAFETY: as in to_bytes; any bytes are a valid struct.
        let c = unsafe { std::mem::transmute::<[u8; Self::SIZE], sys::rootfs_error>(bytes) };
        (c.code != 0).then(|| Self::from_c(c.code, &c))
    }

    pub(crate) fn from_c(code: i32, c: &sys::rootfs_error) -> Self {
        let details = Details {
            errno: c.errnum,
            operation: text(&c.operation),
            pointer: text(&c.pointer),
            message: text(&c.message),
            cause: None,
        };
        Self::new(code, details)
    }

    pub(crate) fn new(code: i32, details: Details) -> Self {
        match code {
            sys::ROOTFS_ERR_INVALID => Self::Invalid(details),
            sys::ROOTFS_ERR_SYSTEM => Self::System(details),
            sys::ROOTFS_ERR_UNSAFE => Self::Unsafe(details),
            sys::ROOTFS_ERR_UNSUPPORTED => Self::Unsupported(details),
            sys::ROOTFS_ERR_CALLBACK => Self::Callback(details),
            sys::ROOTFS_ERR_HOOK => Self::Hook(details),
            sys::ROOTFS_ERR_STATE => Self::State(details),
            sys::ROOTFS_ERR_ENGINE => Self::Engine(details),
            sys::ROOTFS_ERR_FORKED => Self::Forked(details),
            sys::ROOTFS_ERR_INTERNAL => Self::Internal(details),
            other => Self::Other(other, details),
        }
    }

    /// A callback's error, with what the library said when it was told of it.
    pub(crate) fn with_cause(self, cause: Box<dyn StdError + Send + Sync>) -> Self {
        match self {
            Self::Callback(details) => Self::Callback(Details { cause: Some(cause), ..details }),
            other => other,
        }
    }
}

/// Copies as much of `text` as fits with a NUL, not cutting through a character.
fn fill(room: &mut [c_char], text: &str) {
    let mut end = text.len().min(room.len() - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (to, from) in room.iter_mut().zip(&text.as_bytes()[..end]) {
        *to = *from as c_char;
    }
}

fn text(room: &[c_char]) -> String {
    let bytes: Vec<u8> = room.iter().map(|&c| c as u8).collect();
    match CStr::from_bytes_until_nul(&bytes) {
        Ok(found) => found.to_string_lossy().into_owned(),
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.details().message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.details().cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// The error as one of `std::io`: of the kind of its errno, and with the whole error inside.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.details().errno, &error) {
            (0, Error::Invalid(_)) => io::ErrorKind::InvalidInput,
            (0, Error::Unsupported(_)) => io::ErrorKind::Unsupported,
            (0, _) => io::ErrorKind::Other,
            (errno, _) => Self::from_raw_os_error(errno).kind(),
        };
        Self::new(kind, error)
    }
}
