//! fork BUNDLE: runs an OCI bundle's process in an init child that is forked by hand. As root.

use std::error::Error;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::exit;
use std::ptr;

use rootfs::Request;
use rootfs_examples::{unshare, Process};

fn run(bundle: &Path) -> Result<i32, Box<dyn Error>> {
    let process = Process::of_bundle(bundle)?;
    let request = Request::from_bundle(bundle)?.on_mounts_ready(|| {
        eprintln!("fork: mounts are ready"); // the time for createRuntime hooks
        Ok::<(), io::Error>(())
    });
    request.validate()?;

    let (mut reader, mut writer) = io::pipe()?;
    unshare(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET,
    )?;
    // SAFETY: the child ends by execve or _exit.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(io::Error::last_os_error().into()),
        0 => {
            let message = match request.prepare().and_then(|prepared| prepared.finalize()) {
                // A real runtime now sets user, capabilities, limits and seccomp.
                Ok(_) => execute(process).to_string().into_bytes(),
                Err(error) => error.to_bytes().to_vec(),
            };
            let _ = writer.write_all(&message); // of fewer bytes than PIPE_BUF, so whole
                                                // SAFETY: nothing of the parent's is to run here.
            unsafe { libc::_exit(1) }
        }
        _ => drop(writer),
    }

    let mut message = Vec::new();
    reader.read_to_end(&mut message)?; // ends when the exec has closed the pipe
    let mut status = 0;
    // SAFETY: child is this process's own.
    unsafe { libc::waitpid(child, &mut status, 0) };
    match rootfs::Error::from_bytes(&message) {
        Some(error) => Err(error.into()),
        None if !message.is_empty() => Err(String::from_utf8_lossy(&message).into()),
        None if libc::WIFSIGNALED(status) => Ok(128 + libc::WTERMSIG(status)),
        None => Ok(libc::WEXITSTATUS(status)),
    }
}

/// execvpe(3); comes back only with its error.
fn execute(process: Process) -> io::Error {
    let strings = |list: Vec<String>| -> Result<Vec<CString>, _> {
        list.into_iter().map(CString::new).collect()
    };
    let env = process
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let (args, env) = match (strings(process.args), strings(env)) {
        (Ok(args), Ok(env)) => (args, env),
        (Err(error), _) | (_, Err(error)) => return error.into(),
    };
    let pointers = |list: &[CString]| {
        list.iter()
            .map(|s| s.as_ptr())
            .chain([ptr::null()])
            .collect::<Vec<_>>()
    };
    // SAFETY: both lists end with a null, and their strings live until the call returns.
    unsafe {
        libc::execvpe(
            args[0].as_ptr(),
            pointers(&args).as_ptr(),
            pointers(&env).as_ptr(),
        )
    };
    io::Error::last_os_error()
}

fn main() {
    let bundle = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    exit(run(Path::new(&bundle)).unwrap_or_else(|error| {
        eprintln!("fork: {error}");
        1
    }));
}
