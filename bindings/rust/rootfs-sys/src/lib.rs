//! `include/rootfs.h` as Rust sees it: the raw calls, structs and numbers. The safe crate is `rootfs`.
//!
//! What each call does, in which process and thread it may be made, and who owns what, is said in the header; names are the
//! header's. `tests/layout.rs` compares sizes, offsets and numbers with those of a C compiler.

#![no_std]
#![allow(non_camel_case_types)]

use core::ffi::{c_char, c_int, c_void};
use core::mem::size_of;

/// The configuration or an argument is wrong: `pointer` names the field.
pub const ROOTFS_ERR_INVALID: c_int = 1;
/// A system call failed: `errnum` and `operation` say which.
pub const ROOTFS_ERR_SYSTEM: c_int = 2;
/// Refused because what the image or the kernel shows there is not what it must be.
pub const ROOTFS_ERR_UNSAFE: c_int = 3;
/// This kernel, or this build, cannot do what was asked.
pub const ROOTFS_ERR_UNSUPPORTED: c_int = 4;
/// A callback of the host returned an error: `errnum` is what it returned.
pub const ROOTFS_ERR_CALLBACK: c_int = 5;
/// A hook or command failed or ran out of time.
pub const ROOTFS_ERR_HOOK: c_int = 6;
/// Called in the wrong order, or twice.
pub const ROOTFS_ERR_STATE: c_int = 7;
/// The engine is missing, is not of this build, or cannot be started here.
pub const ROOTFS_ERR_ENGINE: c_int = 8;
/// This process was forked during a call, or after `rootfs_prepare`.
pub const ROOTFS_ERR_FORKED: c_int = 9;
/// A defect of the library: the tail of `message` has the stack.
pub const ROOTFS_ERR_INTERNAL: c_int = 10;

/// `struct rootfs_error`: plain bytes, smaller than PIPE_BUF.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct rootfs_error {
    pub size: u32,
    pub code: i32,
    pub errnum: i32,
    pub reserved: u32,
    pub operation: [c_char; 64],
    pub pointer: [c_char; 512],
    pub message: [c_char; 3072],
}

impl rootfs_error {
    /// `ROOTFS_ERROR_INIT`
    pub const INIT: Self = Self {
        size: size_of::<Self>() as u32,
        code: 0,
        errnum: 0,
        reserved: 0,
        operation: [0; 64],
        pointer: [0; 512],
        message: [0; 3072],
    };
}

/// `struct rootfs_progress`: its strings live until the callback returns.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct rootfs_progress {
    pub size: u32,
    pub index: u32,
    pub count: u32,
    pub reserved: u32,
    pub operation: *const c_char,
    pub target: *const c_char,
    pub pointer: *const c_char,
}

/// In place of the index of a mount: the root itself.
pub const ROOTFS_SOURCE_ROOT: u32 = 0xffff_ffff;

/// `struct rootfs_source`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct rootfs_source {
    pub mount: u32,
    pub fd: i32,
}

/// `struct rootfs_request`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct rootfs_request {
    pub size: u32,
    pub reserved: u32,
    pub config: *const c_char,
    pub config_len: usize,
    pub options: *const c_char,
    pub options_len: usize,
    pub on_mounts_ready: Option<unsafe extern "C" fn(user: *mut c_void) -> c_int>,
    pub on_progress: Option<unsafe extern "C" fn(user: *mut c_void, progress: *const rootfs_progress)>,
    pub user: *mut c_void,
    pub sources: *const rootfs_source,
    pub sources_len: usize,
}

impl rootfs_request {
    /// `ROOTFS_REQUEST_INIT`
    pub const INIT: Self = Self {
        size: size_of::<Self>() as u32,
        reserved: 0,
        config: core::ptr::null(),
        config_len: 0,
        options: core::ptr::null(),
        options_len: 0,
        on_mounts_ready: None,
        on_progress: None,
        user: core::ptr::null_mut(),
        sources: core::ptr::null(),
        sources_len: 0,
    };
}

/// `struct rootfs_terminal`
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct rootfs_terminal {
    pub size: u32,
    pub rows: u16,
    pub columns: u16,
    pub uid: u32,
    pub gid: u32,
}

impl rootfs_terminal {
    /// `ROOTFS_TERMINAL_INIT`
    pub const INIT: Self = Self { size: size_of::<Self>() as u32, rows: 0, columns: 0, uid: 0, gid: 0 };
}

#[allow(missing_docs)]
extern "C" {
    pub fn rootfs_version() -> *const c_char;
    pub fn rootfs_start(err: *mut rootfs_error) -> c_int;
    pub fn rootfs_prepare(request: *const rootfs_request, err: *mut rootfs_error) -> c_int;
    pub fn rootfs_console(terminal: *const rootfs_terminal, master: *mut c_int, err: *mut rootfs_error) -> c_int;
    pub fn rootfs_finalize(err: *mut rootfs_error) -> c_int;
    pub fn rootfs_verify(request: *const rootfs_request, report: *mut *mut c_char, err: *mut rootfs_error) -> c_int;
    pub fn rootfs_validate(request: *const rootfs_request, err: *mut rootfs_error) -> c_int;
    pub fn rootfs_plan(request: *const rootfs_request, json: *mut *mut c_char, err: *mut rootfs_error) -> c_int;
    pub fn rootfs_features(json: *mut *mut c_char, err: *mut rootfs_error) -> c_int;
    pub fn rootfs_open_sources(
        request: *const rootfs_request,
        userns: c_int,
        sources: *mut rootfs_source,
        count: *mut usize,
        err: *mut rootfs_error,
    ) -> c_int;
    pub fn rootfs_free(string: *mut c_char);
}
