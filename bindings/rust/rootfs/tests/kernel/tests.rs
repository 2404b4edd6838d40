//! The tests.

use std::error::Error as _;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rootfs::{Error, Terminal};
use serde_json::json;

use crate::child::{forked, init_child, panic_of};
use crate::root::{mount_options, write_error, Bundle};

macro_rules! all {
    ($($name:ident),* $(,)?) => { pub const ALL: &[(&str, fn())] = &[$((stringify!($name), $name)),*]; };
}

all![
    a_config_becomes_a_root,
    callbacks_are_called_in_order,
    an_error_of_mounts_ready_comes_out,
    a_panic_of_mounts_ready_goes_on,
    a_panic_of_progress_ends_prepare,
    a_panic_of_progress_goes_on_after_finalize,
    a_failure_names_its_field_across_the_pipe,
    the_terminal_is_the_containers_console,
    a_source_may_be_a_descriptor,
    a_parent_opens_what_the_child_cannot,
    descriptors_are_as_they_were,
    prepare_twice_is_refused,
    a_fork_after_the_engine_is_refused,
    a_pending_pid_namespace_is_refused,
    a_parent_full_of_threads_may_fork,
    a_parent_may_ask_and_then_fork,
    another_process_can_be_verified,
];

fn a_config_becomes_a_root() {
    let bundle = Bundle::new();
    init_child(|| {
        let finalized = bundle.request().prepare().unwrap().finalize().unwrap();
        assert_eq!(fs::read_to_string("/etc/hostname").unwrap(), "container\n");
        assert!(!bundle.path.exists(), "the host is still there");
        assert_eq!(std::env::current_dir().unwrap(), Path::new("/tmp"));
        assert!(mount_options("/").contains(&"ro".to_string()));
        assert_eq!(write_error("/etc/new"), Some(libc::EROFS));
        assert_eq!(write_error("/tmp/new"), None);
        assert_eq!(fs::metadata("/tmp/new").unwrap().mode() & 0o777, 0o640, "umask 027");
        let null = fs::metadata("/dev/null").unwrap();
        assert!(null.file_type().is_char_device() && null.rdev() == libc::makedev(1, 3));
        assert!(mount_options("/proc/sys").contains(&"ro".to_string()));
        assert_eq!(fs::read("/proc/keys").unwrap(), b"", "masked");
        let report = finalized.verify().unwrap();
        assert!(report.deviations.is_empty(), "{:?}", report.deviations);
        String::new()
    });
}

fn callbacks_are_called_in_order() {
    let bundle = Bundle::new();
    let plan = bundle.request().plan().unwrap();
    let (first, second) = (plan.prepare.len() as u32, plan.finalize.len() as u32);
    init_child(|| {
        let seen = std::sync::Mutex::new(Vec::new());
        let inside = bundle.path.join("rootfs/dev/null");
        let request = bundle.request().on_progress(|step| {
            let mut seen = seen.lock().unwrap();
            let place = (seen.len() as u32, first);
            let place = if place.0 < first { place } else { (place.0 - first, second) };
            assert_eq!((step.index, step.count), place);
            seen.push((step.operation.to_str().unwrap().to_string(), step.target.to_str().unwrap().to_string()));
        });
        let request = request.on_mounts_ready(|| {
            assert!(inside.exists(), "/dev is made, and the root is still the host's");
            assert_eq!(seen.lock().unwrap().last().unwrap().0, "mounts-ready");
            Ok::<(), Error>(())
        });
        let prepared = request.prepare().unwrap();
        assert_eq!(seen.lock().unwrap().len() as u32, first);
        prepared.finalize().unwrap();
        let seen = seen.into_inner().unwrap();
        assert_eq!(seen.len() as u32, first + second);
        assert!(seen.contains(&("mask-path".into(), "/proc/keys".into())), "{seen:?}");
        assert!(seen.contains(&("mount".into(), "/dev/pts".into())), "{seen:?}");
        String::new()
    });
}

fn an_error_of_mounts_ready_comes_out() {
    let bundle = Bundle::new();
    init_child(|| {
        let request = bundle.request().on_mounts_ready(|| Err(std::io::Error::from_raw_os_error(libc::ENOTCONN)));
        let error = request.prepare().unwrap_err();
        assert!(matches!(error, Error::Callback(_)), "{error:?}");
        assert_eq!(error.details().errno, libc::ENOTCONN);
        let cause = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.raw_os_error(), Some(libc::ENOTCONN));
        assert!(bundle.path.exists(), "the root was switched nevertheless");
        String::new()
    });
}

fn a_panic_of_mounts_ready_goes_on() {
    let bundle = Bundle::new();
    init_child(|| {
        let request = bundle.request().on_mounts_ready(|| -> Result<(), Error> { panic!("ready went wrong") });
        let payload = panic_of(|| request.prepare());
        assert_eq!(payload, "ready went wrong");
        assert!(bundle.path.exists(), "the root was switched nevertheless");
        String::new()
    });
}

fn a_panic_of_progress_ends_prepare() {
    let bundle = Bundle::new();
    init_child(|| {
        let mut calls = 0;
        let request = bundle.request().on_progress(|step| {
            calls += 1;
            assert!(step.index != 1, "progress went wrong");
        });
        let payload = panic_of(|| request.prepare());
        assert_eq!(payload, "progress went wrong");
        assert_eq!(calls, 2, "called again after its panic");
        assert!(bundle.path.exists(), "the root was switched nevertheless");
        String::new()
    });
}

fn a_panic_of_progress_goes_on_after_finalize() {
    let bundle = Bundle::new();
    init_child(|| {
        let request = bundle.request().on_progress(|step| assert!(step.operation != c"umask", "umask went wrong"));
        let prepared = request.prepare().unwrap();
        let payload = panic_of(|| prepared.finalize());
        assert_eq!(payload, "umask went wrong");
        assert_eq!(fs::read("/proc/keys").unwrap(), b"", "the steps after it were done");
        String::new()
    });
}

fn a_failure_names_its_field_across_the_pipe() {
    let mut bundle = Bundle::new();
    let index = bundle.mount(json!({"destination": "/mnt", "type": "bind", "source": "/nonexistent", "options": ["bind"]}));
    let hex = init_child(|| {
        let error = bundle.request().prepare().unwrap_err();
        error.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    });
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    let error = Error::from_bytes(&bytes).unwrap();
    assert!(matches!(error, Error::System(_)), "{error:?}");
    assert_eq!(error.details().errno, libc::ENOENT);
    assert!(error.details().pointer.starts_with(&format!("/mounts/{index}")), "{error:?}");
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}

fn the_terminal_is_the_containers_console() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["terminal"] = json!(true);
    init_child(|| {
        let prepared = bundle.request().prepare().unwrap();
        let master = prepared.console(Terminal { rows: 33, columns: 99, uid: 0, gid: 5 }).unwrap();
        prepared.finalize().unwrap();
        let flags = unsafe { libc::fcntl(master.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        let mut size: libc::winsize = unsafe { std::mem::zeroed() };
        let mut console = fs::OpenOptions::new().read(true).write(true).open("/dev/console").unwrap();
        assert_eq!(unsafe { libc::ioctl(console.as_raw_fd(), libc::TIOCGWINSZ, &mut size) }, 0);
        assert_eq!((size.ws_row, size.ws_col), (33, 99));
        assert_eq!(console.metadata().unwrap().gid(), 5);
        console.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        fs::File::from(master).read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        String::new()
    });
}

fn a_source_may_be_a_descriptor() {
    let mut bundle = Bundle::new();
    let index =
        bundle.mount(json!({"destination": "/mnt", "type": "bind", "source": "/nonexistent", "options": ["bind", "ro"]}));
    let path = bundle.volume();
    init_child(|| {
        // Opened here: the kernel clones only mounts of the caller's own mount namespace, and detached ones.
        let volume = fs::File::open(&path).unwrap();
        bundle.request().source(index, volume.as_fd()).prepare().unwrap().finalize().unwrap();
        assert_eq!(fs::read_to_string("/mnt/data").unwrap(), "of the host\n");
        assert_eq!(write_error("/mnt/new"), Some(libc::EROFS));
        assert_eq!(volume.metadata().unwrap().mode() & libc::S_IFMT, libc::S_IFDIR, "still open");
        String::new()
    });
}

fn a_parent_opens_what_the_child_cannot() {
    let mut bundle = Bundle::new();
    let volume = bundle.volume();
    let maps = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let index = bundle.mount(json!({
        "destination": "/mnt", "type": "bind", "source": volume, "options": ["bind", "idmap"],
        "uidMappings": maps, "gidMappings": maps
    }));
    let sources = bundle.request().open_sources(None).unwrap();
    assert_eq!(sources.iter().map(|s| s.mount).collect::<Vec<_>>(), [index]);
    init_child(|| {
        bundle.request().sources(&sources).prepare().unwrap().finalize().unwrap();
        assert_eq!(fs::metadata("/mnt/data").unwrap().uid(), 100_000);
        String::new()
    });
}

fn descriptors_are_as_they_were() {
    let bundle = Bundle::new();
    init_child(|| {
        let before = open_descriptors();
        let finalized = bundle.request().prepare().unwrap().finalize().unwrap();
        assert_eq!(open_descriptors(), before);
        finalized.verify().unwrap();
        assert_eq!(open_descriptors(), before);
        String::new()
    });
}

/// Without /proc, which is not this child's own before prepare.
fn open_descriptors() -> Vec<i32> {
    (0..4096).filter(|&fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1).collect()
}

fn prepare_twice_is_refused() {
    let bundle = Bundle::new();
    init_child(|| {
        let _prepared = bundle.request().prepare().unwrap();
        let error = bundle.request().prepare().unwrap_err();
        assert!(matches!(error, Error::State(_)), "{error:?}");
        String::new()
    });
}

fn a_fork_after_the_engine_is_refused() {
    let bundle = Bundle::new();
    init_child(|| {
        rootfs::start().unwrap();
        forked(|| {
            let error = bundle.request().prepare().unwrap_err();
            assert!(matches!(error, Error::Forked(_)), "{error:?}");
            String::new()
        })
    });
}

fn a_pending_pid_namespace_is_refused() {
    let bundle = Bundle::new();
    forked(|| {
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID) }, 0);
        let error = bundle.request().prepare().unwrap_err();
        assert!(matches!(error, Error::Threads(_)), "{error:?}");
        String::new()
    });
}

fn a_parent_full_of_threads_may_fork() {
    let bundle = Bundle::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for n in 0..8usize {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box(vec![0u8; 1 + n * 4096]);
                    std::thread::sleep(std::time::Duration::from_micros(50));
                }
            });
        }
        for _ in 0..30 {
            let answer = init_child(|| {
                bundle.request().prepare().unwrap().finalize().unwrap();
                fs::read_to_string("/etc/hostname").unwrap()
            });
            assert_eq!(answer, "container\n");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn a_parent_may_ask_and_then_fork() {
    let bundle = Bundle::new();
    forked(|| {
        bundle.request().validate().unwrap();
        bundle.request().plan().unwrap();
        rootfs::features().unwrap();
        let threads = fs::read_dir("/proc/self/task").unwrap().count();
        assert_eq!(threads, 1, "asking has started threads");
        init_child(|| {
            bundle.request().prepare().unwrap().finalize().unwrap();
            String::new()
        })
    });
}

fn another_process_can_be_verified() {
    let bundle = Bundle::new();
    init_child(|| {
        let finalized = bundle.request().prepare().unwrap().finalize().unwrap();
        assert!(finalized.verify().unwrap().deviations.is_empty());
        // The same question with the config named, after something was changed behind the library's back.
        assert_eq!(unsafe { libc::umount2(c"/tmp".as_ptr(), libc::MNT_DETACH) }, 0);
        let report = bundle.request().verify().unwrap();
        assert!(format!("{:?}", report.deviations).contains("/tmp"), "{report:?}");
        String::new()
    });
}
