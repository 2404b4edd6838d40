//! An init child: forked, in namespaces of its own, whose answer comes back through a pipe.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// The namespaces of an init child.
pub const NAMESPACES: libc::c_int = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// Runs `body` in an init child (pid 1 of a pid namespace, with a mount, uts and ipc namespace of its own) and gives its answer,
/// or its panic as this test's.
pub fn init_child(body: impl FnOnce() -> String) -> String {
    forked(|| {
        enter(NAMESPACES);
        forked(body)
    })
}

/// Gives this process new namespaces, the pid namespace to its next child.
pub fn enter(flags: libc::c_int) {
    check(unsafe { libc::unshare(flags) });
    // Whatever the test does wrong stays in here.
    let none = std::ptr::null();
    check(unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()) });
}

/// Runs `body` in a forked child.
pub fn forked(body: impl FnOnce() -> String) -> String {
    let (mut reader, mut writer) = pipe();
    // SAFETY: the child runs only `body` and ends by _exit.
    let pid = check(unsafe { libc::fork() });
    if pid == 0 {
        drop(reader);
        let answer = catch_unwind(AssertUnwindSafe(body));
        let (mark, text) = match answer {
            Ok(text) => (b"+", text),
            Err(payload) => (b"-", message(&*payload)),
        };
        let _ = writer.write_all(mark).and_then(|()| writer.write_all(text.as_bytes()));
        unsafe { libc::_exit(0) }
    }
    drop(writer);
    let mut answer = String::new();
    reader.read_to_string(&mut answer).unwrap();
    let mut status = 0;
    check(unsafe { libc::waitpid(pid, &mut status, 0) });
    match answer.split_at_checked(1) {
        Some(("+", text)) => text.to_string(),
        Some((_, text)) => panic!("in the child: {text}"),
        None => panic!("the child died with wait status {status:#x}"),
    }
}

/// The text with which `function` panics, which is not reported. For a child of its own: what reports panics is the process's.
pub fn panic_of<T>(function: impl FnOnce() -> T) -> String {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let outcome = catch_unwind(AssertUnwindSafe(function));
    std::panic::set_hook(report);
    match outcome {
        Ok(_) => panic!("there was no panic"),
        Err(payload) => message(&*payload),
    }
}

/// The text of a panic.
fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".into())
}

fn pipe() -> (File, File) {
    let mut fds = [-1; 2];
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) });
    // SAFETY: the kernel has just given us both.
    let [reader, writer] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (reader.into(), writer.into())
}

pub fn check(result: libc::c_int) -> libc::c_int {
    assert!(result != -1, "{}", io::Error::last_os_error());
    result
}
