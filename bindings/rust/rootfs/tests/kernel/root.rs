//! A root file system of a test's own, and the config for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{json, Value};

/// A bundle directory that goes away with its test.
pub struct Bundle {
    pub path: PathBuf,
    pub config: Value,
}

impl Bundle {
    /// A bundle whose root has the directories of a distribution and one file, and whose config is that of `runc spec` without
    /// what has nothing to do with the root.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("rootfs-rust-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(path.join("rootfs").join(name)).unwrap();
        }
        // The child is someone else in a user namespace.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("rootfs/etc/hostname"), "container\n").unwrap();
        let config = json!({
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs", "readonly": true},
            "process": {"cwd": "/tmp", "args": ["true"], "user": {"umask": 0o27}},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]}
            ],
            "linux": {
                "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}],
                "maskedPaths": ["/proc/keys", "/proc/scsi"],
                "readonlyPaths": ["/proc/sys"]
            }
        });
        Self { path, config }
    }

    /// Adds a mount and gives its index.
    pub fn mount(&mut self, mount: Value) -> u32 {
        let mounts = self.config["mounts"].as_array_mut().unwrap();
        mounts.push(mount);
        mounts.len() as u32 - 1
    }

    /// The request for this bundle.
    pub fn request<'a>(&self) -> rootfs::Request<'a> {
        rootfs::Request::new(&self.config).options(rootfs::Options::bundle(&self.path))
    }

    /// A directory beside the root, with one file in it.
    pub fn volume(&self) -> PathBuf {
        let volume = self.path.join("volume");
        fs::create_dir_all(&volume).unwrap();
        fs::write(volume.join("data"), "of the host\n").unwrap();
        volume
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The options of the mount that is visible at `target`, from this process's own mountinfo.
pub fn mount_options(target: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(target));
    let line = line.unwrap_or_else(|| panic!("nothing is mounted at {target}:\n{table}"));
    line.split(' ').nth(5).unwrap().split(',').map(String::from).collect()
}

/// What writing a new file says.
pub fn write_error(path: impl AsRef<Path>) -> Option<i32> {
    fs::write(path, "x").err().and_then(|error| error.raw_os_error())
}
