//! The tests.

use std::error::Error as _;
use std::ffi::CString;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rootfs::{Error, Terminal};
use serde_json::json;

use crate::child::{check, enter, forked, init_child, panic_of, NAMESPACES};
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
    the_root_may_be_a_descriptor,
    a_parent_opens_what_the_child_cannot,
    descriptors_are_as_they_were,
    prepare_twice_is_refused,
    a_parent_may_start_the_engine_for_its_children,
    a_process_with_the_engine_may_enter_namespaces,
    a_call_waits_for_a_start_on_another_thread,
    a_fork_from_a_callback_or_after_prepare_is_refused,
    a_pending_pid_namespace_gets_no_helper_for_its_init,
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

fn the_root_may_be_a_descriptor() {
    let mut bundle = Bundle::new();
    let path = bundle.path.join("rootfs");
    bundle.config["root"]["path"] = json!("place");
    fs::create_dir(bundle.path.join("place")).unwrap();
    init_child(|| {
        let root = fs::File::open(&path).unwrap();
        bundle.request().root(root.as_fd()).prepare().unwrap().finalize().unwrap();
        assert_eq!(fs::read_to_string("/etc/hostname").unwrap(), "container\n");
        assert_eq!(root.metadata().unwrap().mode() & libc::S_IFMT, libc::S_IFDIR, "still open");
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

/// A whole set-up, looked at from inside.
fn set_up(bundle: &Bundle) -> String {
    let finalized = bundle.request().prepare().unwrap().finalize().unwrap();
    assert!(!bundle.path.exists(), "the host is still there");
    let processes = fs::read_dir("/proc").unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().parse::<u32>().is_ok()
    });
    assert_eq!(processes.count(), 1, "processes in /proc");
    let report = finalized.verify().unwrap();
    assert!(report.deviations.is_empty(), "{:?}", report.deviations);
    fs::read_to_string("/etc/hostname").unwrap()
}

fn a_parent_may_start_the_engine_for_its_children() {
    let bundle = Bundle::new();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let library =
        maps.lines().find_map(|line| line.find('/').map(|at| &line[at..]).filter(|path| path.contains("/librootfs.so")));
    let engine = Path::new(library.unwrap()).with_file_name("librootfs");
    let engine = CString::new(engine.as_os_str().as_bytes()).unwrap();
    let hide_engine = || {
        let tmpfs = c"tmpfs".as_ptr();
        check(unsafe { libc::mount(tmpfs, engine.as_ptr(), tmpfs, 0, std::ptr::null()) });
    };
    forked(|| {
        init_child(|| {
            hide_engine();
            let error = bundle.request().prepare().unwrap_err();
            assert!(matches!(error, Error::Engine(_)), "{error:?}");
            String::new()
        });
        rootfs::start().unwrap();
        assert_eq!(fs::read_dir("/proc/self/task").unwrap().count(), 1, "the engine has threads");
        for _ in 0..3 {
            // With the engine's file out of reach, a set-up works by what the parent has loaded.
            let answer = init_child(|| {
                hide_engine();
                set_up(&bundle)
            });
            assert_eq!(answer, "container\n");
        }
        String::new()
    });
}

fn a_process_with_the_engine_may_enter_namespaces() {
    let bundle = Bundle::new();
    let answer = forked(|| {
        rootfs::start().unwrap();
        enter(NAMESPACES | libc::CLONE_NEWUSER);
        for (file, line) in [("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")] {
            fs::write(Path::new("/proc/self").join(file), line).unwrap();
        }
        forked(|| set_up(&bundle))
    });
    assert_eq!(answer, "container\n");
}

fn a_call_waits_for_a_start_on_another_thread() {
    let bundle = Bundle::new();
    for _ in 0..20 {
        let answer = init_child(|| {
            let starts = std::thread::spawn(rootfs::start);
            let prepared = bundle.request().prepare().unwrap();
            starts.join().unwrap().unwrap();
            prepared.finalize().unwrap();
            fs::read_to_string("/etc/hostname").unwrap()
        });
        assert_eq!(answer, "container\n");
    }
}

fn a_fork_from_a_callback_or_after_prepare_is_refused() {
    let bundle = Bundle::new();
    let refused = |why: &str| {
        forked(|| {
            let errors =
                [rootfs::start().unwrap_err(), bundle.request().prepare().unwrap_err(), bundle.request().verify().unwrap_err()];
            for error in errors {
                assert!(matches!(error, Error::Forked(_)) && error.to_string().contains(why), "{error:?}");
            }
            String::new()
        })
    };
    init_child(|| {
        rootfs::start().unwrap();
        let mut called = false;
        let request = bundle.request().on_mounts_ready(|| {
            refused("callback");
            called = true;
            Ok::<(), Error>(())
        });
        let prepared = request.prepare().unwrap();
        refused("rootfs_prepare");
        let finalized = prepared.finalize().unwrap();
        refused("rootfs_prepare");
        // Which is no matter to the one that was there before.
        assert!(finalized.verify().unwrap().deviations.is_empty());
        assert!(called);
        String::new()
    });
}

fn a_pending_pid_namespace_gets_no_helper_for_its_init() {
    let bundle = Bundle::new();
    let answer = forked(|| {
        enter(NAMESPACES);
        let errors = [
            bundle.request().validate().unwrap_err(),
            bundle.request().plan().unwrap_err(),
            bundle.request().open_sources(None).unwrap_err(),
            rootfs::features().unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::State(_)) && error.to_string().contains("pid namespace"), "{error:?}");
        }
        rootfs::start().unwrap();
        forked(|| set_up(&bundle))
    });
    assert_eq!(answer, "container\n");
}

fn a_parent_full_of_threads_may_fork() {
    let bundle = Bundle::new();
    for started in [false, true] {
        forked(|| {
            if started {
                rootfs::start().unwrap();
            }
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
                let children = catch_unwind(|| {
                    for _ in 0..30 {
                        assert_eq!(init_child(|| set_up(&bundle)), "container\n");
                    }
                });
                // Also where one failed: the scope waits for its threads.
                stop.store(true, Ordering::Relaxed);
                children.unwrap_or_else(|payload| resume_unwind(payload));
            });
            String::new()
        });
    }
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
