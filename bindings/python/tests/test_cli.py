"""python -m rootfs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import needs_root

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONIOENCODING": "utf-8"}
COMMAND = [sys.executable, "-m", "rootfs"]


def rootfs(*arguments, **more):
    """Runs the command line."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False, **more
    )


def on_a_terminal(*arguments, environment=None, typed=b""):
    """Runs the command line on a terminal; gives its status and what the terminal shows."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*COMMAND, *map(str, arguments)], {**ENVIRONMENT, "TERM": "xterm", **(environment or {})})
    os.write(master, typed)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: it has ended
        while select.select([master], [], [], 30)[0]:
            shown += os.read(master, 65536)
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_plan_is_a_table(bundle):
    done = rootfs("plan", bundle.write())
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    dev = next(line for line in lines if re.search(r"mount +/dev ", line))
    assert "tmpfs" in dev
    assert "mode=755" in dev
    assert re.search(r"device +/dev/tty +c major=5 minor=0 mode=0666", done.stdout)
    assert dev.endswith("/mounts/1")
    columns = [line.index("/mounts/") for line in lines if "/mounts/" in line]
    assert len(set(columns)) == 1, "the columns are aligned"


def test_plan_as_json_is_the_librarys(bundle):
    import rootfs as package

    done = rootfs("plan", "--json", bundle.write())
    assert json.loads(done.stdout) == package.plan(bundle.path)


def test_control_characters_are_shown_and_not_sent(bundle):
    bundle.mount(destination="/a\x1b[31m\nb", type="tmpfs", source="tmpfs")
    done = rootfs("plan", bundle.write())
    assert r"/a\x1b[31m\nb" in done.stdout


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals(bundle, environment, coloured):
    status, shown = on_a_terminal("plan", bundle.write(), environment=environment)
    assert status == 0
    assert ("\x1b[" in shown) == coloured


def test_features_is_a_tree():
    done = rootfs("features")
    assert done.returncode == 0
    assert re.search(r"^├─ mountOptions: .*\brbind\b", done.stdout.replace("\n│", ""), re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 110
    assert "rbind" in json.loads(rootfs("features", "--json").stdout)["mountOptions"]


def test_features_without_unicode():
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "features"], env=environment, capture_output=True, check=True, timeout=60)
    assert b"|- mountOptions: " in done.stdout


def test_validate_says_so_or_names_the_field(bundle):
    assert rootfs("validate", bundle.write()).stdout == f"valid: {bundle.path}\n"
    assert json.loads(rootfs("validate", "--json", bundle.path).stdout) == {"valid": True}
    bundle.config["mounts"][0]["destination"] = 5
    done = rootfs("validate", bundle.write())
    assert done.returncode == 1
    assert done.stderr.startswith("rootfs: /mounts/0/destination: ")
    error = json.loads(rootfs("validate", "--json", bundle.path).stderr)["error"]
    assert error["code"] == "invalid"
    assert error["pointer"] == "/mounts/0/destination"


def test_options_come_as_json_or_from_a_file(bundle, tmp_path):
    bundle.write()
    (tmp_path / "options.json").write_text('{"bundel": 1}')
    for text in ('{"bundel": 1}', f"@{tmp_path}/options.json"):
        done = rootfs("validate", bundle.path, "--options", text)
        assert "options#/bundel" in done.stderr
    assert rootfs("validate", bundle.path, "--options", "[]").returncode == 2
    assert rootfs("validate", bundle.path, "--options", "{").returncode == 2
    assert rootfs("validate", bundle.path, "--options", "@/nonexistent").returncode == 2


def test_a_missing_bundle_is_an_error_and_no_traceback(tmp_path):
    for command in ("plan", "validate", "run"):
        done = rootfs(command, tmp_path / "none")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "none" in done.stderr


def run(bundle, script, *arguments, **more):
    bundle.config["process"]["args"][2] = script
    return rootfs("run", *arguments, bundle.write(), **more)


@needs_root
def test_run_gives_output_and_status(shell_bundle):
    done = run(shell_bundle, "echo pid $$ $NAME; echo x 2>/dev/null >/new || echo readonly; exit 7")
    assert (done.stdout, done.returncode) == ("pid 1 value\nreadonly\n", 7)
    assert done.stderr == ""


@needs_root
def test_run_applies_user_and_capabilities(shell_bundle):
    process = shell_bundle.config["process"]
    kept = ["CAP_KILL"]
    process["capabilities"] = {"bounding": kept, "effective": kept, "permitted": kept, "inheritable": kept, "ambient": kept}
    process["user"].update(uid=1000, gid=1001, additionalGids=[7, 8])
    process["noNewPrivileges"] = True
    process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]
    done = run(shell_bundle, "cat /proc/self/status /proc/self/limits")
    status = dict(re.findall(r"^(\w+):\t(.*?) *$", done.stdout, re.MULTILINE))
    assert status["Uid"] == "1000\t1000\t1000\t1000"
    assert status["Gid"] == "1001\t1001\t1001\t1001"
    assert status["Groups"] == "7 8"
    assert {status[f"Cap{s}"] for s in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {f"{1 << 5:016x}"}
    assert status["NoNewPrivs"] == "1"
    assert status["Umask"] == "0027"
    ignored = int(status["SigIgn"], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1), "what Python ignores is not handed on"
    assert re.search(r"^Max open files +77 +88 ", done.stdout, re.MULTILINE)


@needs_root
def test_run_leaves_no_descriptor_to_the_container(shell_bundle):
    done = run(shell_bundle, "for fd in /proc/self/fd/*; do echo ${fd##*/}; done")
    # 3 is the directory that the shell reads.
    assert set(done.stdout.split()) <= {"0", "1", "2", "3"}, done.stdout


@needs_root
def test_run_names_what_it_leaves_out(shell_bundle):
    shell_bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    assert "linux.seccomp" in run(shell_bundle, "true").stderr
    assert json.loads(run(shell_bundle, "true", "--json").stderr) == {"notApplied": ["linux.seccomp"]}


@needs_root
def test_run_shows_progress(shell_bundle):
    done = run(shell_bundle, "echo out", "--progress", "--json")
    steps = [json.loads(line)["progress"] for line in done.stderr.splitlines()]
    assert steps[0]["operation"] == "root"
    assert {"mount", "device", "switch-root", "readonly-root"} <= {step["operation"] for step in steps}
    assert done.stdout == "out\n"
    assert re.search(r"^\[2/\d+\] mount /proc$", run(shell_bundle, "true", "--progress").stderr, re.MULTILINE)


@needs_root
def test_run_reports_what_failed_in_the_child(shell_bundle):
    index = shell_bundle.mount(destination="/mnt", type="bind", source="/nonexistent", options=["bind"])
    done = run(shell_bundle, "true", "--json")
    assert done.returncode == 1
    error = json.loads(done.stderr)["error"]
    assert (error["code"], error["errno"], error["pointer"].split("/")[2]) == ("system", 2, str(index))
    shell_bundle.config["mounts"].pop()
    shell_bundle.config["process"]["args"] = ["nothing", "-c", "x"]
    assert "process.args: nothing: No such file or directory" in run(shell_bundle, "true").stderr
    del shell_bundle.config["process"]["args"]
    assert "no process.args" in rootfs("run", shell_bundle.write()).stderr


@needs_root
def test_run_refuses_what_would_leave_traces(shell_bundle):
    shell_bundle.config["linux"]["namespaces"] = [{"type": "pid"}]
    assert "mount namespace" in run(shell_bundle, "true").stderr
    shell_bundle.config["linux"]["namespaces"] = [{"type": "mnt"}]
    assert json.loads(run(shell_bundle, "true", "--json").stderr)["error"]["pointer"] == "/linux/namespaces/0/type"


@needs_root
def test_run_sets_the_names_of_the_host(shell_bundle):
    shell_bundle.config.update(hostname="box", domainname="inside")
    names = "/proc/sys/kernel/hostname /proc/sys/kernel/domainname"
    assert run(shell_bundle, f"cat {names}").stdout == "box\ninside\n"


@needs_root
def test_run_in_a_user_namespace(shell_bundle):
    shell_bundle.config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        shell_bundle.config["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    done = run(shell_bundle, "id -u; cat /proc/self/uid_map")
    assert done.stdout.split() == ["0", "0", "100000", "65536"], done.stderr


@needs_root
def test_run_has_a_terminal(shell_bundle):
    process = shell_bundle.config["process"]
    process["terminal"] = True
    process["consoleSize"] = {"height": 31, "width": 101}
    done = run(shell_bundle, "stty size; read line; echo got $line", input="typed\n")
    assert done.returncode == 0
    assert "31 101" in done.stdout
    assert "got typed" in done.stdout
    process["args"][2] = "test -t 0 && read line && echo got $line && exit 9"
    status, shown = on_a_terminal("run", shell_bundle.write(), typed=b"typed\n")
    assert status == 9
    assert "got typed" in shown


@needs_root
def test_run_forwards_signals(shell_bundle):
    shell_bundle.config["process"]["args"][2] = "trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    child = subprocess.Popen([*COMMAND, "run", shell_bundle.write()], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.communicate(timeout=30)[0] == "term\n"
    assert child.returncode == 3


@contextlib.contextmanager
def running(bundle):
    """A container that sleeps; gives the pid of its init. Ended afterwards."""
    bundle.config["process"]["args"][2] = "echo ready; exec sleep 60"
    child = subprocess.Popen([*COMMAND, "run", bundle.write()], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        init = 0
        deadline = time.monotonic() + 10
        while not init and time.monotonic() < deadline:
            children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
            # Two, while the stage that forked it is not gone.
            init = int(children[0]) if len(children) == 1 else 0
        assert init
        yield init
    finally:
        if init:
            os.kill(init, signal.SIGKILL)
        child.communicate(timeout=30)


@needs_root
@pytest.mark.parametrize("user_namespace", [False, True])
def test_verify_looks_from_inside(shell_bundle, user_namespace):
    if user_namespace:
        shell_bundle.config["linux"]["namespaces"].append({"type": "user"})
        for kind in ("uidMappings", "gidMappings"):
            shell_bundle.config["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    with running(shell_bundle) as init:
        done = rootfs("verify", "--pid", init, shell_bundle.path)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"as promised: \d+ promises checked\n", done.stdout)
        assert json.loads(rootfs("verify", "--json", "--pid", init, shell_bundle.path).stdout)["deviations"] == []
        # A config that promises more than there is.
        shell_bundle.mount(destination="/opt", type="tmpfs", source="tmpfs", options=["ro"])
        shell_bundle.config["linux"]["maskedPaths"].append("/proc/uptime")
        done = rootfs("verify", "--pid", init, shell_bundle.write())
        assert done.returncode == 1
        assert re.search(r"^/proc/uptime .*/linux/maskedPaths/2$", done.stdout, re.MULTILINE), done.stdout
        found = json.loads(rootfs("verify", "--json", "--pid", init, shell_bundle.path).stdout)["deviations"]
        assert {deviation["target"] for deviation in found} == {"/opt", "/proc/uptime"}
        assert done.stdout.endswith(f"{len(found)} deviations, {done.stdout.split()[-3]} promises checked\n")


@needs_root
def test_verify_of_no_process_is_an_error(bundle):
    done = rootfs("verify", "--pid", 2**22 + 1, bundle.write())
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@needs_root
def test_the_example_runs(shell_bundle):
    example = HERE.parents[2] / "examples/python/init.py"
    assert len(example.read_text().splitlines()) <= 40
    shell_bundle.config["process"]["args"][2] = "echo pid $$; exit 7"
    done = subprocess.run(
        [sys.executable, example, shell_bundle.write()],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("pid 1\n", "mounts are ready\n", 7)
    shell_bundle.mount(destination="/mnt", type="bind", source="/nonexistent", options=["bind"])
    done = subprocess.run(
        [sys.executable, example, shell_bundle.write()],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "/nonexistent" in done.stderr.splitlines()[-1]
