# SPDX-License-Identifier: Apache-2.0
"""podman as an ordinary user, who exists only in the mount namespace of the test."""

import os
import shutil
import subprocess
import unittest
from pathlib import Path

from engine import Engine
from harness import until

USER, IDS = 23457, 300000


class Rootless(Engine):
    @classmethod
    def prepare(cls):
        if shutil.which("newuidmap") is None:
            raise unittest.SkipTest("newuidmap is not installed")
        etc = cls.scratch / "etc"
        etc.mkdir()
        cls.home, run = cls.scratch / "home", cls.scratch / "run"
        for folder in (cls.home, run):
            folder.mkdir(mode=0o700)
            os.chown(folder, USER, USER)
        os.chown(cls.volume, USER, USER)
        lines = {"passwd": f"tester:x:{USER}:{USER}::{cls.home}:/bin/sh", "group": f"tester:x:{USER}:",
                 "subuid": f"tester:{IDS}:65536", "subgid": f"tester:{IDS}:65536"}
        for name, line in lines.items():
            try:
                old = Path(f"/etc/{name}").read_text()
            except FileNotFoundError:
                raise unittest.SkipTest(f"/etc/{name} is not there") from None
            (etc / name).write_text(old + line + "\n")
            subprocess.run(["mount", "--bind", etc / name, f"/etc/{name}"], check=True)
            cls.addClassCleanup(subprocess.run, ["umount", f"/etc/{name}"], check=True)
        cls.env.update(HOME=str(cls.home), XDG_RUNTIME_DIR=str(run))
        cls.prefix = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--inh-caps=-all"]
        cls.flags = ["--storage-driver", "vfs"]

    @classmethod
    def tearDownClass(cls):
        # podman keeps a process that holds its user namespace; `system migrate` is how it is asked to end.
        cls.podman("system", "migrate")

    def test_run(self):
        out = self.run_("--", "sh", "-c", "id -u; cat /proc/self/uid_map; touch /x && stat -c %u /x")
        self.assertEqual(out.split(), ["0", "0", str(USER), "1", "1", str(IDS), "65536", "0"])
        self.run_("--", "sh", "-c", "exit 8", status=8)
        self.run_("--", "nosuch", status=127)

    def test_keep_id(self):
        out = self.run_("--userns=keep-id", "-v", f"{self.volume}:/v", "--", "sh", "-c", "id -u; touch /v/mine; cat /proc/self/uid_map")
        self.assertEqual(out.split()[0], str(USER))
        self.assertEqual((self.volume / "mine").stat().st_uid, USER)

    def test_other_user_namespaces(self):
        self.assertEqual(self.run_("--user=5:5", "--", "id", "-u"), "5\n")
        out = self.run_("--uidmap=0:1:1000", "--gidmap=0:1:1000", "--", "cat", "/proc/self/uid_map")
        self.assertEqual(out.split()[0], "0")

    def test_mounts(self):
        out = self.run_("-v", f"{self.volume}:/v", "--tmpfs=/t:size=1m", "--read-only", "--mount",
                        f"type=bind,src={self.volume}/file,dst=/f,ro", "--", "sh", "-c",
                        "cat /v/file /f; touch /x 2>&1; touch /t/x /v/y && echo wrote; touch /f 2>&1; true")
        self.assertEqual(out.split()[:2], ["shared", "shared"])
        self.assertEqual(out.count("Read-only"), 2)
        self.assertIn("wrote", out)

    def test_devices(self):
        out = self.run_("--device=/dev/zero:/dev/other", "--", "sh", "-c", "head -c 2 /dev/other | od -c | head -1; echo x >/dev/null; ls -l /dev/null")
        self.assertIn("\\0  \\0", out)
        self.assertIn("1,   3", out)

    def test_terminal_and_init(self):
        self.assertEqual(self.run_("-t", "--init", "--", "tty"), "/dev/pts/0\n")

    def test_privileged(self):
        """All of the host's devices are bound, and stay as they are."""
        before = os.stat("/dev/zero")
        self.assertEqual(self.run_("--privileged", "--", "id", "-u"), "0\n")
        self.assertEqual((os.stat("/dev/zero").st_mode, os.stat("/dev/zero").st_uid), (before.st_mode, before.st_uid))

    def test_host_network(self):
        self.assertEqual(self.run_("--network=host", "--", "readlink", "/proc/self/ns/net").strip(), os.readlink("/proc/self/ns/net"))

    def test_background_and_exec(self):
        self.start("--name=c", command=("sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"))
        until(lambda: self.ok("logs", "c") == "up\n")
        self.assertEqual(self.podman("exec", "c", "sh", "-c", "exit 9").returncode, 9)
        self.assertEqual(self.ok("exec", "-t", "c", "tty"), "/dev/pts/0\n")
        self.assertEqual(self.ok("exec", "--user=5", "c", "id", "-u"), "5\n")
        self.ok("stop", "c")
        self.assertEqual(self.ok("inspect", "--format", "{{.State.ExitCode}}", "c"), "5\n")
        self.ok("rm", "c")
