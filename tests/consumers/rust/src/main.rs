//! A host in Rust that knows only the crate and the installed library. Prints the mount points that its child sees.

use std::{env, error::Error, fs, process};

use rootfs::{Config, Request};

fn request(root: &str) -> Request<'static> {
    let config = format!(
        r#"{{"ociVersion": "1.0.2", "root": {{"path": "{root}"}},
            "mounts": [{{"destination": "/proc", "type": "proc", "source": "proc"}}],
            "linux": {{"namespaces": [{{"type": "mount"}}, {{"type": "pid"}}]}}}}"#
    );
    Request::new(Config::from_json(config))
}

fn child(root: &str) -> Result<(), Box<dyn Error>> {
    request(root).prepare()?.finalize()?;
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        println!("{}", line.split(' ').nth(4).unwrap_or("?"));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = env::args().nth(1).ok_or("usage: consumer ROOT")?;
    request(&root).validate()?;
    // SAFETY: unshare and fork in a process of one thread; the child ends by exit.
    let status = unsafe {
        if libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID) != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        let pid = libc::fork();
        if pid == 0 {
            process::exit(match child(&root) {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("{error}");
                    1
                }
            });
        }
        let mut status = 1;
        libc::waitpid(pid, &mut status, 0);
        status
    };
    process::exit(i32::from(status != 0))
}
