# SPDX-License-Identifier: Apache-2.0
"""containerd with its runc shim, told to call minictr, driven by ctr."""

import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

import image
from harness import install, make_rootfs, own_capabilities, until

CONFIG = """version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{0}/grpc.sock"
[ttrpc]
  address = "{0}/ttrpc.sock"
"""


class Containerd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for tool in ("containerd", "ctr", "containerd-shim-runc-v2"):
            if shutil.which(tool) is None:
                raise unittest.SkipTest(f"{tool} is not installed")
        cls.scratch = Path(tempfile.mkdtemp(prefix="engines-"))
        cls.scratch.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        cls.minictr = install(cls.scratch / "installed")
        rootfs = make_rootfs(cls.scratch / "rootfs")
        (rootfs / "work").mkdir()
        cls.volume = cls.scratch / "volume"
        cls.volume.mkdir()
        (cls.volume / "file").write_text("shared\n")
        config = cls.scratch / "config.toml"
        config.write_text(CONFIG.format(cls.scratch))
        with open(cls.scratch / "log", "w") as log:
            cls.daemon = subprocess.Popen(["containerd", "--config", config], stdout=log, stderr=log)
        cls.addClassCleanup(cls.stop)
        until(lambda: cls.ctr("version").returncode == 0, 30)
        image.write(rootfs, cls.scratch / "image.tar")
        done = cls.ctr("images", "import", "--snapshotter", "native", str(cls.scratch / "image.tar"))
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    @classmethod
    def stop(cls):
        cls.daemon.send_signal(signal.SIGTERM)
        cls.daemon.wait(30)

    @classmethod
    def ctr(cls, *args, **options):
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 60, **options}
        return subprocess.run(["ctr", "--address", f"{cls.scratch}/grpc.sock", *args], check=False, **options)

    def setUp(self):
        self.name = self._testMethodName.replace("_", "-")

    def flags(self):
        return ["--runtime", "io.containerd.runc.v2", "--runc-binary", str(self.minictr), "--snapshotter", "native"]

    def ok(self, *args, **options):
        done = self.ctr(*args, **options)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stdout} {done.stderr}")
        return done.stdout

    def run_(self, *args, status=0, **options):
        flags, command = list(args[:args.index("--")]), list(args[args.index("--") + 1:])
        done = self.ctr("run", "--rm", *self.flags(), *flags, image.NAME, self.name, *command, **options)
        self.assertEqual(done.returncode, status, f"{args}: {done.stdout} {done.stderr}")
        return done.stdout

    def test_run(self):
        self.assertEqual(self.run_("--", "echo", "hello"), "hello\n")
        self.run_("--", "sh", "-c", "exit 4", status=4)

    def test_missing(self):
        done = self.ctr("run", "--rm", *self.flags(), image.NAME, self.name, "nosuch")
        self.assertEqual(done.returncode, 1)
        self.assertIn("executable file not found in $PATH", done.stderr)

    def test_options(self):
        out = self.run_("--cwd=/work", "--env=A=b", "--", "sh", "-c", "pwd; echo $A; readlink /proc/self/ns/net; cat /proc/self/cgroup")
        self.assertEqual(out.split()[:2], ["/work", "b"])
        self.assertNotEqual(out.split()[2], os.readlink("/proc/self/ns/net"))
        self.assertTrue(out.strip().endswith(f"/default/{self.name}"))

    def test_mounts(self):
        out = self.run_("--mount", f"type=bind,src={self.volume},dst=/v,options=rbind:ro", "--mount",
                        "type=tmpfs,src=tmpfs,dst=/t,options=size=1m", "--", "sh", "-c", "cat /v/file; touch /v/x 2>&1; grep ' /t ' /proc/mounts")
        self.assertIn("shared", out)
        self.assertIn("Read-only", out)
        self.assertIn("size=1024k", out)

    def test_readonly(self):
        self.run_("--read-only", "--", "touch", "/x", status=1)

    def test_device(self):
        self.assertIn("1,   5", self.run_("--device=/dev/zero", "--", "ls", "-l", "/dev/zero"))

    def test_privileged(self):
        self.assertIn(own_capabilities(), self.run_("--privileged", "--", "cat", "/proc/self/status"))

    def test_seccomp(self):
        self.assertRegex(self.run_("--seccomp", "--", "cat", "/proc/self/status"), r"Seccomp:\t2")

    def test_userns(self):
        out = self.run_("--uidmap=0:100000:65536", "--gidmap=0:100000:65536", "--", "sh", "-c", "id -u; cat /proc/self/uid_map")
        self.assertEqual(out.split(), ["0", "0", "100000", "65536"])

    def test_rootfs(self):
        done = self.ctr("run", "--rm", *self.flags(), "--rootfs", self.scratch / "rootfs", self.name, "id", "-u")
        self.assertEqual((done.returncode, done.stdout), (0, "0\n"), done.stderr)

    def test_terminal(self):
        """ctr wants a terminal of its own for that: script(1) gives it one."""
        command = " ".join(["ctr", "--address", f"{self.scratch}/grpc.sock", "run", "--rm", "-t", *self.flags(), image.NAME, self.name, "tty"])
        done = subprocess.run(["script", "-qec", command, "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertIn("/dev/pts/0", done.stdout)

    def status(self):
        for line in self.ok("task", "ls").splitlines()[1:]:
            name, _, status = line.split()
            if name == self.name:
                return status
        return None

    def test_lifecycle(self):
        self.ok("run", "--detach", "--memory-limit=67108864", *self.flags(), image.NAME, self.name, "sleep", "1000")
        self.assertEqual(self.status(), "RUNNING")
        done = self.ctr("task", "exec", "--exec-id=one", self.name, "sh", "-c", "cat /proc/1/cmdline; exit 6")
        self.assertEqual(done.returncode, 6)
        self.assertIn("sleep", done.stdout)
        done = self.ctr("task", "exec", "--exec-id=two", self.name, "nosuch")
        self.assertIn("executable file not found in $PATH", done.stderr)
        self.assertIn("67108864", self.ok("task", "metrics", self.name))
        self.assertEqual(len(self.ok("task", "ps", self.name).splitlines()), 2)
        self.ok("task", "pause", self.name)
        self.assertEqual(self.status(), "PAUSED")
        self.ok("task", "resume", self.name)
        self.assertEqual(self.status(), "RUNNING")
        self.ok("task", "kill", "--signal=KILL", self.name)
        until(lambda: self.status() == "STOPPED")
        self.ctr("task", "delete", self.name)
        self.ok("container", "rm", self.name)
        self.assertIsNone(self.status())

    def test_many(self):
        names = [f"many{i}" for i in range(6)]
        runs = [subprocess.Popen(["ctr", "--address", f"{self.scratch}/grpc.sock", "run", "--rm", *self.flags(), image.NAME, name,
                                  "echo", name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for name in names]
        self.assertEqual([run.communicate(timeout=60)[0].strip() for run in runs], names)
