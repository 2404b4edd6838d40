# SPDX-License-Identifier: Apache-2.0
"""What the tests of podman share: an engine with directories of its own, rootful or as an ordinary user."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import image
from harness import install, make_rootfs

CONF = """[engine]
runtime = "minictr"
runtime_supports_json = ["minictr"]
runtime_supports_nocgroup = ["minictr"]
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
minictr = ["{minictr}"]
[containers]
# The default is more than a machine without CAP_SYS_RESOURCE may give.
default_ulimits = []
"""


class Engine(unittest.TestCase):
    """`self.podman(...)` with an image; every container is removed at the end of its test."""

    prefix: list = []
    flags: list = []

    @classmethod
    def setUpClass(cls):
        for tool in ("podman", "conmon"):
            if shutil.which(tool) is None:
                raise unittest.SkipTest(f"{tool} is not installed")
        cls.scratch = Path(tempfile.mkdtemp(prefix="engines-"))
        cls.scratch.chmod(0o755)
        cls.addClassCleanup(cls.remove)
        cls.minictr = install(cls.scratch / "installed")
        rootfs = make_rootfs(cls.scratch / "rootfs")
        (rootfs / "work").mkdir()
        conf = cls.scratch / "containers.conf"
        conf.write_text(CONF.format(minictr=cls.minictr))
        cls.env = {"PATH": os.environ["PATH"], "CONTAINERS_CONF": str(conf), "HOME": str(cls.scratch)}
        cls.volume = cls.scratch / "volume"
        cls.volume.mkdir()
        (cls.volume / "file").write_text("shared\n")
        cls.prepare()
        archive = cls.home / "image.tar"
        image.write(rootfs, archive)
        done = cls.podman("load", "--input", archive)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)

    @classmethod
    def remove(cls):
        shutil.rmtree(cls.scratch, ignore_errors=True)
        for pattern in ("*/libpod_parent/conmon", "*/libpod_parent"):
            for folder in Path("/sys/fs/cgroup").glob(pattern):
                with contextlib.suppress(OSError):  # somebody else's podman may be in it
                    folder.rmdir()

    @classmethod
    def podman(cls, *args, **options):
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 120, **options}
        return subprocess.run([*cls.prefix, "podman", *cls.flags, *args], env=cls.env, cwd=cls.home, check=False, **options)

    def tearDown(self):
        self.podman("rm", "--all", "--force", "--time", "0")

    def ok(self, *args, **options):
        done = self.podman(*args, **options)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stdout} {done.stderr}")
        return done.stdout

    def run_(self, *args, status=0, **options):
        """Standard output of `podman run`; options of podman first, then the command after "--"."""
        flags, command = list(args[:args.index("--")]), list(args[args.index("--") + 1:])
        if not any(str(f).startswith(("--network", "--pod")) for f in flags):
            flags.append("--network=none")
        done = self.podman("run", "--rm", *flags, image.NAME, *command, **options)
        self.assertEqual(done.returncode, status, f"{args}: {done.stdout} {done.stderr}")
        return done.stdout

    def start(self, *args, command=("sleep", "1000")):
        """A container in the background: its id."""
        return self.ok("run", "--detach", "--network=none", *args, image.NAME, *command).strip()
