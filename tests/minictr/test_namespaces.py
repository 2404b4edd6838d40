# SPDX-License-Identifier: Apache-2.0
"""Namespaces new and joined, user namespaces, clocks; cgroups; an ordinary user."""

import json
import os
import subprocess
import time
from pathlib import Path

from harness import ContainerCase, until

KINDS = {"user": "user", "pid": "pid", "mount": "mnt", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup",
         "time": "time"}


def ns_of(pid="self"):
    return {kind: os.readlink(f"/proc/{pid}/ns/{name}") for kind, name in KINDS.items()}


class Namespaces(ContainerCase):
    def new_user_namespace(self):
        self.join("user")
        self.join("network")  # sysfs may be mounted by who owns the network namespace
        for key in ("uidMappings", "gidMappings"):
            self.config["linux"][key] = [{"containerID": 0, "hostID": 100000, "size": 1000},
                                         {"containerID": 1000, "hostID": 200000, "size": 1}]

    def seen(self):
        """The container's namespaces, as it sees them itself."""
        lines = self.run_ctr("for n in user pid mnt net ipc uts cgroup time; do readlink /proc/self/ns/$n; done").split()
        return dict(zip(KINDS, lines))

    def test_new(self):
        own = ns_of()
        for kind in ("network", "cgroup", "time"):
            self.join(kind)
        self.new_user_namespace()
        there = self.seen()
        self.assertEqual([k for k in KINDS if own[k] == there[k]], [])

    def test_only_what_is_asked_for(self):
        self.config["linux"]["namespaces"] = [{"type": "mount"}, {"type": "pid"}]
        del self.config["hostname"]
        own, there = ns_of(), self.seen()
        self.assertEqual([k for k in KINDS if own[k] != there[k]], ["pid", "mount"])

    def test_joined_each(self):
        flags = {"network": "-n", "ipc": "-i", "uts": "-u", "cgroup": "-C", "pid": "-p", "time": "-T"}
        del self.config["hostname"]
        whole = json.dumps(self.config)
        for kind, flag in flags.items():
            with self.subTest(kind=kind), self.holder(flag) as pid:
                self.config = json.loads(whole)
                self.join(kind, f"/proc/{pid}/ns/{KINDS[kind]}")
                self.assertEqual(self.seen()[kind], ns_of(pid)[kind])

    def test_joined_user_and_the_rest(self):
        """As a container of a pod with a user namespace: all but the mounts belong to the first one."""
        with self.holder("-U", "-p", "-n", "-i", "-u", "--map-root-user") as pid:
            for kind in ("user", "pid", "network", "ipc", "uts"):
                self.join(kind, f"/proc/{pid}/ns/{KINDS[kind]}")
            # Of the host's users only this one is mapped, so devpts can have no group 5.
            for mount in self.config["mounts"]:
                if mount["type"] == "devpts":
                    mount["options"] = [o for o in mount["options"] if o != "gid=5"]
            there, other = self.seen(), ns_of(pid)
            for kind in ("user", "pid", "network", "ipc", "uts"):
                self.assertEqual(there[kind], other[kind])
            self.assertNotEqual(there["mount"], other["mount"])

    def test_joining_the_own(self):
        for kind in ("user", "network"):
            self.join(kind, f"/proc/self/ns/{KINDS[kind]}")
        own, there = ns_of(), self.seen()
        self.assertEqual((own["user"], own["network"]), (there["user"], there["network"]))

    def test_bad_paths(self):
        self.join("network", "/no/such/namespace")
        self.refused("network namespace /no/such/namespace")
        self.join("network", "/etc/passwd")
        self.refused("setns(network namespace /etc/passwd")
        self.join("network", "/proc/self/ns/uts")
        self.refused("setns(network namespace")

    def test_user_namespace(self):
        self.new_user_namespace()
        out = self.run_ctr("cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /dev/x && stat -c %u:%g /dev/x; cat /proc/1/comm")
        lines = [" ".join(line.split()) for line in out.splitlines()]
        self.assertEqual(lines, ["0 100000 1000", "1000 200000 1"] * 2 + ["0", "0:0", "cat"])

    def test_user_namespace_binds(self):
        """Sources that the container's root may not reach are opened for it."""
        self.new_user_namespace()
        secret = self.bundle / "closed"
        secret.mkdir(mode=0o700)
        (secret / "file").write_text("inside\n")
        self.config["mounts"].append({"destination": "/mnt", "source": str(secret / "file"), "options": ["bind", "ro"]})
        (self.rootfs / "mnt").touch()
        self.assertEqual(self.run_ctr("cat /mnt"), "inside\n")
        (self.rootfs / "mnt").unlink()

    def test_hostname(self):
        self.config.update(hostname="some-host", domainname="some.domain")
        self.assertEqual(self.run_ctr("hostname; cat /proc/sys/kernel/domainname"), "some-host\nsome.domain\n")

    def test_loopback_is_up(self):
        self.join("network")
        self.assertIn("UP", self.run_ctr("ip link show lo"))

    def test_time_offsets(self):
        self.join("time")
        self.config["linux"]["timeOffsets"] = {"monotonic": {"secs": 86400, "nanosecs": 5}, "boottime": {"secs": 172800}}
        out = self.run_ctr("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime").split()
        self.assertEqual(out[:6], ["monotonic", "86400", "5", "boottime", "172800", "0"])
        self.assertAlmostEqual(int(out[6]), time.clock_gettime(time.CLOCK_BOOTTIME) + 172800, delta=5)

    def test_pid_one(self):
        self.assertEqual(self.run_ctr("echo $$; ls -d /proc/[0-9]* | wc -l").split()[0], "1")


class Cgroups(ContainerCase):
    def cgroup(self, controller, name, path=None):
        path = path or f"minictr/{self.id}"
        v1 = Path(f"/sys/fs/cgroup/{controller}/{path}/{name}")
        if not Path("/sys/fs/cgroup", controller).exists():
            self.skipTest(f"no cgroup v1 hierarchy of {controller} here")
        return v1.read_text().strip()

    def test_limits(self):
        self.config["linux"]["resources"] = {
            "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swappiness": 10},
            "cpu": {"shares": 256, "quota": 50000, "period": 200000, "cpus": "0"}, "pids": {"limit": 33}}
        with self.running():
            for controller, name, value in (
                    ("memory", "memory.limit_in_bytes", 64 << 20), ("memory", "memory.soft_limit_in_bytes", 32 << 20),
                    ("memory", "memory.swappiness", 10), ("cpu", "cpu.shares", 256), ("cpu", "cpu.cfs_quota_us", 50000),
                    ("cpu", "cpu.cfs_period_us", 200000), ("cpuset", "cpuset.cpus", 0), ("pids", "pids.max", 33)):
                self.assertEqual(self.cgroup(controller, name), str(value), name)

    def test_update(self):
        with self.running():
            self.ok("update", "--resources", "-", self.id, stdin=None, input='{"memory":{"limit":33554432},"pids":{"limit":7}}')
            self.assertEqual(self.cgroup("memory", "memory.limit_in_bytes"), str(32 << 20))
            self.assertEqual(self.cgroup("pids", "pids.max"), "7")
            if os.path.exists(f"/sys/fs/cgroup/memory/minictr/{self.id}/memory.memsw.limit_in_bytes"):
                for mega in (64, 16, 128):  # memory may at no moment be above memory and swap
                    self.ok("update", "--resources", "-", self.id, stdin=None,
                            input=json.dumps({"memory": {"limit": mega << 20, "swap": mega << 20}}))
                    self.assertEqual(self.cgroup("memory", "memory.memsw.limit_in_bytes"), str(mega << 20))
            self.ok("update", "--pids-limit", "9", self.id)
            self.assertEqual(self.cgroup("pids", "pids.max"), "9")

    def test_pids_limit_counts_the_program_only(self):
        self.config["linux"]["resources"] = {"pids": {"limit": 1}}
        self.args("echo", "one")
        self.assertEqual(self.run_ctr(), "one\n")
        self.assertIn("can't fork", self.run_ctr("true & echo no; exit 0", status=2) or "can't fork")

    def test_members(self):
        self.config["linux"]["cgroupsPath"] = f"/minictr/{self.id}-x/inner"
        with self.running("sleep 100 & sleep 100; true") as state:
            until(lambda: len(self.cgroup("pids", "cgroup.procs", f"minictr/{self.id}-x/inner").split()) == 3)
            self.assertIn(str(state["pid"]), self.cgroup("pids", "cgroup.procs", f"minictr/{self.id}-x/inner").split())
            inside = self.ctr("exec", self.id, "cat", "/proc/self/cgroup").stdout.splitlines()
            self.assertEqual({line.split(":")[2] for line in inside}, {f"/minictr/{self.id}-x/inner"})
        for parent in Path("/sys/fs/cgroup").glob(f"*/minictr/{self.id}-x"):
            parent.rmdir()  # only the last directory of the path is the container's own

    def test_namespace_is_rooted_in_it(self):
        self.join("cgroup")
        lines = self.run_ctr("cat /proc/self/cgroup").splitlines()
        self.assertEqual({line.split(":")[2] for line in lines}, {"/"})

    def test_devices(self):
        # A device without a driver: what the cgroup denies is "not permitted", what it allows is "no such device".
        self.config["linux"]["devices"] = [{"path": "/dev/none", "type": "c", "major": 240, "minor": 7, "fileMode": 0o666}]
        script = "cat /dev/null && head -c1 /dev/zero >/dev/null && echo default; cat /dev/none 2>&1; true"
        if not Path("/sys/fs/cgroup/devices").exists():
            self.skipTest("no cgroup v1 hierarchy of devices here")
        self.config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
        self.assertEqual(self.run_ctr(script), "default\ncat: can't open '/dev/none': Operation not permitted\n")
        self.config["linux"]["resources"]["devices"].append({"allow": True, "type": "c", "major": 240, "access": "r"})
        self.assertEqual(self.run_ctr(script), "default\ncat: can't open '/dev/none': No such device or address\n")

    def test_disabled(self):
        self.config["linux"]["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 5}}
        self.args("cat", "/proc/self/cgroup")
        self.write()
        done = self.ctr("run", "--bundle", self.bundle, self.id, options=["--cgroup-manager", "disabled"])
        self.assertEqual(done.stdout, Path("/proc/self/cgroup").read_text())
        for what in ("memory/limit", "pids/limit"):
            self.assertIn(f"/linux/resources/{what}: not applied", done.stderr)

    def test_what_is_not_done_is_reported(self):
        self.config["linux"]["resources"] = {"network": {"classID": 5}, "memory": {"kernel": 1 << 20},
                                             "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}
        warned = self.warnings()
        for what in ("network/classID", "memory/kernel", "hugepageLimits"):
            self.assertIn(f"/linux/resources/{what}: not applied", warned)

    def test_bad_values(self):
        self.config["linux"]["resources"] = {"cpu": {"cpus": "999"}}
        self.refused("/linux/resources/cpu/cpus")
        self.config["linux"]["resources"] = {"memory": {"limit": "64m"}}
        self.refused("/linux/resources/memory/limit")
        self.config["linux"]["resources"] = {"unified": {"memory.max": "1"}}
        if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
            self.refused("/linux/resources/unified")


class Rootless(ContainerCase):
    """As an ordinary user, without subordinate ids: one user is mapped."""

    USER = 23456

    def as_user(self, *args):
        env = {"PATH": os.environ["PATH"], "HOME": "/", "XDG_RUNTIME_DIR": str(self.home)}
        return subprocess.run(["setpriv", f"--reuid={self.USER}", f"--regid={self.USER}", "--clear-groups", "--inh-caps=-all",
                               self.minictr, *args], env=env, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)

    def setUp(self):
        super().setUp()
        self.home = self.bundle / "home"
        self.home.mkdir(mode=0o700)
        os.chown(self.home, self.USER, self.USER)
        done = self.as_user("spec", "--rootless")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.config = json.loads((self.home / "config.json").read_text())
        self.config["root"] = {"path": str(self.rootfs), "readonly": True}
        self.config["process"]["terminal"] = False

    def run_as_user(self, script, status=0):
        self.sh(script)
        (self.home / "config.json").write_text(json.dumps(self.config))
        done = self.as_user("run", "--bundle", self.home, self.id)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertFalse(list((self.home / "minictr").glob("*")), "left over")
        return done.stdout

    def test_run(self):
        out = self.run_as_user("id -u; cat /proc/self/uid_map /proc/self/setgroups; echo $$; touch /x 2>/dev/null || echo ro")
        self.assertEqual(out.split(), ["0", "0", str(self.USER), "1", "deny", "1", "ro"])

    def test_a_limit_that_cannot_hold_is_an_error(self):
        self.config["linux"]["resources"] = {"pids": {"limit": 5}}
        self.sh("true")
        (self.home / "config.json").write_text(json.dumps(self.config))
        done = self.as_user("run", "--bundle", self.home, self.id)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cgroup", done.stderr)

    def test_groups_that_cannot_be_had_are_an_error(self):
        self.config["process"]["user"]["additionalGids"] = [0]
        self.sh("true")
        (self.home / "config.json").write_text(json.dumps(self.config))
        done = self.as_user("run", "--bundle", self.home, self.id)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/process/user/additionalGids", done.stderr)

    def test_helpers_refuse_a_foreign_mapping(self):
        self.config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 10}]
        self.sh("true")
        (self.home / "config.json").write_text(json.dumps(self.config))
        done = self.as_user("run", "--bundle", self.home, self.id)
        self.assertEqual(done.returncode, 1)
        self.assertIn("newuidmap", done.stderr)
