//! pre_exec BUNDLE: runs an OCI bundle's process with `std::process::Command`, whose `pre_exec` is the init child. As root.

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{exit, Command};

use rootfs::Request;
use rootfs_examples::{unshare, Process};

fn run(bundle: &Path) -> Result<i32, Box<dyn Error>> {
    let process = Process::of_bundle(bundle)?;
    let mut request = Some(Request::from_bundle(bundle)?);
    request.as_ref().map_or(Ok(()), Request::validate)?;

    // A Command's child can carry no more than an errno to its parent. This pipe carries the whole error.
    let (mut reader, mut writer) = io::pipe()?;
    let set_up = move || -> io::Result<()> {
        unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET)?;
        let request = request.take().ok_or(io::ErrorKind::Other)?;
        let done = request.prepare().and_then(|prepared| prepared.finalize());
        done.map(drop).map_err(|error| {
            let errno = error.details().errno;
            let _ = writer.write_all(&error.to_bytes());
            io::Error::from_raw_os_error(if errno == 0 { libc::EINVAL } else { errno })
        })
        // A real runtime now sets user, capabilities, limits and seccomp.
    };

    let mut command = Command::new(&process.args[0]);
    command
        .args(&process.args[1..])
        .env_clear()
        .envs(process.env);
    // SAFETY: set_up runs in the forked child. It allocates, which glibc allows there, and touches no lock of this program's.
    unsafe { command.pre_exec(set_up) };
    // The pid namespace is that of the next child, who is its pid 1: it cannot be made in pre_exec, which is that child already.
    unshare(libc::CLONE_NEWPID)?;
    let spawned = command.spawn();
    drop(command); // and with it this process's end of the pipe

    match spawned {
        Ok(mut child) => {
            let status = child.wait()?;
            Ok(status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
        }
        Err(error) => {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            Err(rootfs::Error::from_bytes(&bytes).map_or_else(|| error.into(), Into::into))
        }
    }
}

fn main() {
    let bundle = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    exit(run(Path::new(&bundle)).unwrap_or_else(|error| {
        eprintln!("pre_exec: {error}");
        1
    }));
}
