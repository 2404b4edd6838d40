# SPDX-License-Identifier: Apache-2.0
"""What the tests of minictr share: bundles made from busybox, minictr itself, and a runner that counts."""

import contextlib
import copy
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", TOP / "build")).resolve()
BUSYBOX = shutil.which("busybox")
APPLETS = """awk cat chmod chown cp cut date dd echo env false grep head hostname id ip kill ls mkdir mknod mount od ps pwd readlink
rm sed seq setsid sh sleep sort stat stty tail tee test touch tr true tty umount uname unshare wc""".split()

INSIDE = "MINICTR_TESTS_INSIDE"


def main(folder):
    """Runs the test_*.py of a folder in a mount namespace of its own; the last line is what tests/run counts."""
    if os.geteuid() != 0:
        print("skip: containers are made here, which needs root")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])
    # Whatever an engine leaves behind becomes our child, and so can be waited for and ended by its pid.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(names) if names else loader.discover(str(folder))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    print(f"{max(0, result.testsRun - bad - skipped)} passed, {bad} failed, {skipped} skipped")
    return 1 if bad else 0


def install(where):
    """minictr (MINICTR: another build of it) and its libraries where an ordinary user can reach them too, laid out as `make install` does."""
    for folder in ("bin", "lib"):
        shutil.copytree(BUILD / folder, where / folder, symlinks=True)
    shutil.copy(os.environ.get("MINICTR", BUILD / "bin/minictr"), where / "bin/minictr")
    subprocess.run(["chmod", "-R", "go+rX", where], check=True)
    return where / "bin/minictr"


def make_rootfs(where):
    (where / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, where / "bin/busybox")
    for name in APPLETS:
        os.symlink("busybox", where / "bin" / name)
    for name in ("proc", "sys", "dev", "etc", "tmp", "run", "home"):
        (where / name).mkdir()
    (where / "tmp").chmod(0o1777)
    (where / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")
    (where / "etc/group").write_text("root:x:0:\nuser:x:1000:\nmore:x:50:\n")
    return where


def alive(pid):
    """A zombie is not: whose child it is reaps it in its own time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def own_capabilities():
    """The line of /proc/self/status: what --privileged gives at most."""
    return next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("CapEff"))


def until(what, seconds=30.0):
    """Waits for a condition; returns its value."""
    end = time.monotonic() + seconds
    while not (value := what()):
        if time.monotonic() > end:
            raise AssertionError("waited too long")
        time.sleep(0.01)
    return value


class ContainerCase(unittest.TestCase):
    """One scratch directory, --root and rootfs for a class; a bundle for each test; nothing left over at the end."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = Path(tempfile.mkdtemp(prefix="minictr-"))
        cls.scratch.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        cls.minictr = install(cls.scratch / "installed")
        cls.rootfs = make_rootfs(cls.scratch / "rootfs")
        cls.root = cls.scratch / "state"
        spec = cls.scratch / "spec"
        spec.mkdir()
        subprocess.run([cls.minictr, "spec", "--bundle", spec], check=True)
        cls.default = json.loads((spec / "config.json").read_text())
        cls.default["process"]["terminal"] = False
        cls.default["root"] = {"path": str(cls.rootfs), "readonly": True}
        # A network namespace costs more than all the rest; the tests that want one add it.
        cls.default["linux"]["namespaces"] = [n for n in cls.default["linux"]["namespaces"] if n["type"] != "network"]

    def setUp(self):
        self.config = copy.deepcopy(self.default)
        self.bundle = Path(tempfile.mkdtemp(prefix="bundle-", dir=self.scratch))
        self.bundle.chmod(0o755)
        self.id = self.bundle.name
        self.before = self.containers()  # what a failed test before left is its own affair
        self.addCleanup(self.check_clean)

    def containers(self):
        return {c.name for c in self.root.iterdir()} if self.root.exists() else set()

    def check_clean(self):
        left = sorted(self.containers() - self.before)
        why = [self.ctr("delete", "--force", name).stderr for name in left]
        self.assertEqual(left, [], f"containers left over {why}")
        cgroups = list(Path("/sys/fs/cgroup").glob(f"*/minictr/{self.id}*"))
        self.assertEqual(cgroups, [], "cgroups left over")

    # -- a container --------------------------------------------------------------------------------------------

    def args(self, *args):
        self.config["process"]["args"] = list(args)

    def sh(self, script):
        self.args("sh", "-c", script)

    def write(self):
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def ctr(self, *args, **options):
        """minictr with these arguments; its result, whatever the exit status."""
        before = options.pop("options", [])
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 60, **options}
        return subprocess.run([self.minictr, "--root", self.root, *before, *args], check=False, **options)

    def ok(self, *args, **options):
        done = self.ctr(*args, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def fails(self, *args, says, status=1, **options):
        """The command fails with this status, and its error has these words."""
        done = self.ctr(*args, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(says, done.stderr)
        return done.stderr

    def run_ctr(self, script=None, status=0, **options):
        """The standard output of the config's process (or of a shell script) under `run`."""
        if script is not None:
            self.sh(script)
        self.write()
        done = self.ctr("run", "--bundle", self.bundle, self.id, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def refused(self, says, command="create", **options):
        """The bundle is refused, and nothing of it stays."""
        self.write()
        error = self.fails(command, "--bundle", self.bundle, self.id, says=says, **options)
        self.assertFalse((self.root / self.id).exists())
        return error

    @contextlib.contextmanager
    def created(self, script=None, *options, before=()):
        if script is not None:
            self.sh(script)
        self.write()
        # Not captured: the container inherits its output, and a pipe would be waited for until the container ends.
        with open(self.bundle / "output", "w") as out:
            done = subprocess.run([self.minictr, "--root", self.root, *before, "create", "--bundle", self.bundle, *options,
                                   self.id], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, self.output())
        try:
            yield self.state()
        finally:
            self.ctr("delete", "--force", self.id)

    @contextlib.contextmanager
    def running(self, script="sleep 100", *options, before=()):
        with self.created(script, *options, before=before):
            self.ok("start", self.id)
            yield self.state()

    def output(self):
        return (self.bundle / "output").read_text()

    def state(self):
        return json.loads(self.ok("state", self.id))

    def status(self):
        return self.state()["status"]

    def stop(self):
        self.ok("kill", self.id, "KILL")
        until(lambda: self.status() == "stopped")

    def warnings(self, script="true"):
        """What a run warns of."""
        self.sh(script)
        self.write()
        done = self.ctr("run", "--bundle", self.bundle, self.id)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def join(self, kind, path=None):
        """Makes this namespace a new one, or one to be joined."""
        spaces = [n for n in self.config["linux"]["namespaces"] if n["type"] != kind]
        self.config["linux"]["namespaces"] = [*spaces, {"type": kind, **({"path": path} if path else {})}]

    @contextlib.contextmanager
    def holder(self, *flags):
        """A process in namespaces of its own, for others to join: its pid."""
        child = subprocess.Popen(["unshare", *flags, "--fork", "--kill-child", "sleep", "100"])
        try:
            path = Path(f"/proc/{child.pid}/task/{child.pid}/children")
            pid = int(until(lambda: path.read_text().split())[0])
            until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
            yield pid
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
