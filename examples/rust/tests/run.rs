//! Runs both examples on a bundle with a static busybox. What cannot be run here is reported as ignored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{json, Value};

const EXAMPLES: [(&str, &str); 2] = [
    ("pre_exec", env!("CARGO_BIN_EXE_pre_exec")),
    ("fork", env!("CARGO_BIN_EXE_fork")),
];

type Test = fn(&Run) -> Result<(), Failed>;

fn main() {
    // SAFETY: takes nothing, cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    if !is_root || busybox.is_none() {
        eprintln!("not root, or no busybox: the examples are not run");
    }
    let trials = EXAMPLES.into_iter().flat_map(|(name, program)| {
        let tests: [(&str, Test); 3] = [
            ("runs", runs),
            ("status", gives_the_status),
            ("error", says_what_failed),
        ];
        tests.map(|(test, function)| {
            let run = move || Run {
                name,
                program,
                busybox: busybox.unwrap_or_default(),
            };
            Trial::test(format!("{name}_{test}"), move || function(&run()))
                .with_ignored_flag(!is_root || busybox.is_none())
        })
    });
    let trials = trials.collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

struct Run {
    name: &'static str,
    program: &'static str,
    busybox: &'static str,
}

impl Run {
    /// Runs the example on a bundle whose process is a shell with this script.
    fn script(&self, test: &str, script: &str, extra: Option<Value>) -> Output {
        let bundle =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{test}", self.name));
        let _ = fs::remove_dir_all(&bundle);
        for name in ["bin", "dev", "proc"] {
            fs::create_dir_all(bundle.join("rootfs").join(name)).unwrap();
        }
        fs::copy(self.busybox, bundle.join("rootfs/bin/sh")).unwrap();
        let mut config = json!({
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs", "readonly": true},
            "process": {"cwd": "/", "args": ["sh", "-c", script], "env": ["PATH=/bin", "NAME=value"]},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}
            ],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}]}
        });
        config["mounts"].as_array_mut().unwrap().extend(extra);
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        Command::new(self.program).arg(&bundle).output().unwrap()
    }
}

fn check(holds: bool, output: &Output) -> Result<(), Failed> {
    if holds {
        return Ok(());
    }
    Err(format!("{output:?}").into())
}

fn runs(run: &Run) -> Result<(), Failed> {
    let script = "echo $$ $NAME; read line < /proc/self/mountinfo && echo ${#line}; echo x 2>/dev/null >/new || echo readonly";
    let output = run.script("runs", script, None);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    check(
        output.status.success() && text.starts_with("1 value\n") && text.ends_with("\nreadonly\n"),
        &output,
    )
}

fn gives_the_status(run: &Run) -> Result<(), Failed> {
    let output = run.script("status", "exit 7", None);
    check(output.status.code() == Some(7), &output)?;
    let output = run.script(
        "signal",
        "kill -KILL $$; (exec sh -c 'kill -TERM $PPID'); exit 3",
        None,
    );
    check(output.status.code() == Some(3), &output) // pid 1 of a pid namespace is not killed from inside
}

fn says_what_failed(run: &Run) -> Result<(), Failed> {
    let missing = json!({"destination": "/mnt", "type": "bind", "source": "/nonexistent", "options": ["bind"]});
    let output = run.script("error", "true", Some(missing));
    let text = String::from_utf8_lossy(&output.stderr);
    check(
        output.status.code() == Some(1)
            && text.contains("/mounts/2")
            && text.contains("/nonexistent"),
        &output,
    )
}
