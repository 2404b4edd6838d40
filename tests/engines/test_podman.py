# SPDX-License-Identifier: Apache-2.0
"""podman as root."""

import json
import os
import pty
import subprocess
from pathlib import Path

import image
from engine import Engine
from harness import own_capabilities, until


class Podman(Engine):
    @classmethod
    def prepare(cls):
        cls.home = cls.scratch
        cls.flags = ["--root", str(cls.scratch / "root"), "--runroot", str(cls.scratch / "runroot"), "--storage-driver", "vfs",
                     "--tmpdir", str(cls.scratch / "tmp")]

    # -- run ----------------------------------------------------------------------------------------------------

    def test_info(self):
        runtime = json.loads(self.ok("info", "--format", "json"))["host"]["ociRuntime"]
        self.assertEqual((runtime["name"], runtime["path"]), ("minictr", str(self.minictr)))
        self.assertIn("minictr version", runtime["version"])

    def test_by_path(self):
        done = self.podman("--runtime", self.minictr, "run", "--rm", "--network=none", image.NAME, "echo", "hello")
        self.assertEqual((done.returncode, done.stdout), (0, "hello\n"), done.stderr)

    def test_exit_status(self):
        self.run_("--", "sh", "-c", "exit 7", status=7)
        self.run_("--", "sh", "-c", "kill -9 $$; sh -c 'kill -9 $$'; exit $?", status=137)
        self.run_("--", "nosuch", status=127)
        self.run_("--", "/etc/passwd", status=126)

    def test_output_and_input(self):
        self.assertEqual(self.run_("-i", "--", "cat", stdin=None, input="in\n"), "in\n")

    def test_user(self):
        self.assertEqual(self.run_("--user", "1000:1000", "--group-add", "50", "--", "id").strip(),
                         "uid=1000(user) gid=1000(user) groups=50(more),1000(user)")

    def test_process_options(self):
        out = self.run_("--hostname=there", "--workdir=/work", "--env", "A=b", "--umask=0077", "--ulimit=nofile=100:200",
                        "--ulimit=nproc=90:90", "--oom-score-adj=100", "--", "sh", "-c",
                        "hostname; pwd; echo $A; umask; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj")
        self.assertEqual(out.split(), ["there", "/work", "b", "0077", "100", "200", "100"])

    def test_capabilities(self):
        out = self.run_("--cap-drop=all", "--cap-add=chown", "--security-opt=no-new-privileges", "--", "cat", "/proc/self/status")
        self.assertRegex(out, r"CapEff:\t0000000000000001")
        self.assertRegex(out, r"CapBnd:\t0000000000000001")
        self.assertRegex(out, r"NoNewPrivs:\t1")
        self.assertRegex(out, r"Seccomp:\t2")

    def test_privileged(self):
        out = self.run_("--privileged", "--", "cat", "/proc/self/status")
        self.assertIn(own_capabilities(), out)
        self.assertRegex(out, r"Seccomp:\t0")

    def test_seccomp_profile(self):
        profile = self.scratch / "profile.json"
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}))
        out = self.run_(f"--security-opt=seccomp={profile}", "--", "sh", "-c", "mkdir /x 2>&1; true")
        self.assertIn("Operation not supported", out)

    def test_limits(self):
        if not os.path.isdir("/sys/fs/cgroup/pids"):
            self.skipTest("no cgroup v1 here")
        out = self.run_("--pids-limit=20", "--memory=64m", "--cpu-shares=300", "--", "sh", "-c",
                        "cd /sys/fs/cgroup; cat pids/pids.max memory/memory.limit_in_bytes cpu/cpu.shares")
        self.assertEqual(out.split(), ["20", str(64 << 20), "300"])

    def test_cgroups_disabled(self):
        own = Path("/proc/self/cgroup").read_text()
        self.assertEqual(self.run_("--cgroups=disabled", "--", "cat", "/proc/self/cgroup"), own)

    def test_sysctl(self):
        self.assertEqual(self.run_("--sysctl=kernel.msgmax=9000", "--", "cat", "/proc/sys/kernel/msgmax"), "9000\n")

    def test_init(self):
        self.assertIn("podman-init", self.run_("--init", "--", "cat", "/proc/1/cmdline"))

    def test_terminal(self):
        self.assertEqual(self.run_("-t", "--", "tty"), "/dev/pts/0\n")
        self.assertIn("crw--w----", self.run_("-t", "--user=1000", "--", "ls", "-l", "/dev/console"))

    def test_interactive_terminal(self):
        master, slave = pty.openpty()
        with subprocess.Popen(["podman", *self.flags, "run", "--rm", "-it", "--network=none", image.NAME, "sh", "-c",
                               "read x; echo got $x; exit 4"], env=self.env, stdin=slave, stdout=slave, stderr=slave,
                              start_new_session=True) as run:
            os.close(slave)
            os.write(master, b"word\n")
            self.assertEqual(run.wait(60), 4)
        self.assertIn(b"got word", os.read(master, 4096))
        os.close(master)

    # -- what is mounted ------------------------------------------------------------------------------------------

    def test_volumes(self):
        self.assertEqual(self.run_("-v", f"{self.volume}:/v", "--", "sh", "-c", "cat /v/file; touch /v/new"), "shared\n")
        self.assertTrue((self.volume / "new").exists())
        self.run_("-v", f"{self.volume}:/v:ro", "--", "touch", "/v/new2", status=1)
        self.run_("-v", "named:/n", "--", "touch", "/n/kept")
        self.assertEqual(self.run_("-v", "named:/n", "--", "ls", "/n"), "kept\n")
        self.ok("volume", "rm", "named")

    def test_mounts(self):
        out = self.run_("--mount", f"type=bind,src={self.volume},dst=/b,ro", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m",
                        "--mount", "type=volume,dst=/n", "--mount", f"type=bind,src={self.volume}/file,dst=/deep/er/file", "--",
                        "sh", "-c", "grep -E ' /(b|t|n|deep/er/file) ' /proc/mounts; cat /deep/er/file")
        lines = out.splitlines()
        options = {line.split()[1]: line.split()[3].split(",") for line in lines[:-1]}
        self.assertEqual(sorted(options), ["/b", "/deep/er/file", "/n", "/t"])
        self.assertIn("ro", options["/b"])
        self.assertIn("size=1024k", options["/t"])
        self.assertEqual(lines[-1], "shared")

    def test_propagation_and_exec_options(self):
        out = self.run_("-v", f"{self.volume}:/v:rslave,noexec,nosuid,nodev", "--", "grep", " /v ", "/proc/self/mountinfo")
        self.assertIn("noexec", out)
        self.assertIn("nosuid", out)

    def test_read_only(self):
        self.run_("--read-only", "--", "touch", "/x", status=1)
        self.run_("--read-only", "--", "touch", "/tmp/x", "/run/x", "/dev/shm/x")
        self.run_("--read-only", "--read-only-tmpfs=false", "--", "touch", "/run/x", status=1)

    def test_tmpfs(self):
        out = self.run_("--tmpfs=/x:size=2m,noexec,mode=1700", "--", "sh", "-c", "grep ' /x ' /proc/mounts; stat -c %a /x")
        self.assertIn("size=2048k", out)
        self.assertIn("noexec", out)
        self.assertEqual(out.split()[-1], "1700")

    def test_devices(self):
        out = self.run_("--device=/dev/zero:/dev/other", "--", "sh", "-c", "head -c 2 /dev/other | od -c | head -1; ls -l /dev/other")
        self.assertIn("\\0  \\0", out)
        self.assertIn("1,   5", out)

    def test_rootfs(self):
        done = self.podman("run", "--rm", "--network=none", "--rootfs", self.scratch / "rootfs", "id", "-u")
        self.assertEqual((done.returncode, done.stdout), (0, "0\n"), done.stderr)

    def test_masks(self):
        out = self.run_("--", "sh", "-c", "cat /proc/keys | wc -c; echo 1 2>&1 >/proc/sys/kernel/msgmax; ls /sys/firmware | wc -l")
        self.assertEqual(out.split()[0], "0")
        self.assertIn("Read-only", out)
        self.assertEqual(out.split()[-1], "0")

    # -- namespaces -----------------------------------------------------------------------------------------------

    def test_user_namespaces(self):
        maps = ["--uidmap=0:100000:5000", "--gidmap=0:100000:5000"]
        out = self.run_(*maps, "-v", f"{self.volume}:/v:ro", "--", "sh", "-c",
                        "cat /proc/self/uid_map; touch /x; stat -c %u /x; cat /v/file")
        self.assertEqual(out.split(), ["0", "100000", "5000", "0", "shared"])
        self.assertEqual(self.run_("--userns=host", "--", "cat", "/proc/self/uid_map").split(), ["0", "0", "4294967295"])

    def test_host_namespaces(self):
        out = self.run_("--pid=host", "--ipc=host", "--uts=host", "--network=host", "--cgroupns=host", "--", "sh", "-c",
                        "for n in pid ipc uts net cgroup; do readlink /proc/self/ns/$n; done")
        self.assertEqual(out.split(), [os.readlink(f"/proc/self/ns/{n}") for n in ("pid", "ipc", "uts", "net", "cgroup")])

    def test_namespaces_of_another(self):
        self.start("--name=first", "--uidmap=0:100000:5000", "--gidmap=0:100000:5000")
        out = self.run_("--network=container:first", "--pid=container:first", "--ipc=container:first", "--userns=container:first",
                        "--", "sh", "-c", "ps; cat /proc/self/uid_map")
        self.assertIn("sleep 1000", out)
        self.assertIn("100000", out)

    def test_private_cgroup_namespace(self):
        out = self.run_("--cgroupns=private", "--", "cat", "/proc/self/cgroup")
        self.assertEqual({line.split(":")[2] for line in out.splitlines()}, {"/"})

    # -- life cycle -----------------------------------------------------------------------------------------------

    def inspect(self, name, what):
        return self.ok("inspect", "--format", "{{.State." + what + "}}", name).strip()

    def test_life_cycle(self):
        self.ok("create", "--name=c", "--network=none", image.NAME, "sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done")
        self.assertEqual(self.inspect("c", "Status"), "created")
        self.ok("start", "c")
        self.assertEqual(self.inspect("c", "Status"), "running")
        until(lambda: self.ok("logs", "c") == "up\n")
        self.ok("stop", "c")
        self.assertEqual((self.inspect("c", "Status"), self.inspect("c", "ExitCode")), ("exited", "5"))
        self.ok("start", "c")
        self.ok("kill", "--signal=KILL", "c")
        self.assertEqual(self.ok("wait", "c").strip(), "137")
        self.ok("restart", "--time=0", "c")
        self.ok("pause", "c")
        self.assertEqual(self.inspect("c", "Status"), "paused")
        self.ok("unpause", "c")
        self.ok("rm", "--force", "--time=0", "c")
        self.assertEqual(self.ok("ps", "--all", "--quiet"), "")

    def test_exec(self):
        self.start("--name=c")
        self.assertEqual(self.podman("exec", "c", "sh", "-c", "exit 9").returncode, 9)
        self.assertEqual(self.podman("exec", "c", "nosuch").returncode, 127)
        out = self.ok("exec", "--user=1000:1000", "--workdir=/work", "--env=Q=1", "c", "sh", "-c", "id -u; pwd; echo $Q")
        self.assertEqual(out.split(), ["1000", "/work", "1"])
        self.assertEqual(self.ok("exec", "-i", "c", "cat", stdin=None, input="in"), "in")
        self.assertEqual(self.ok("exec", "-t", "c", "tty"), "/dev/pts/0\n")
        self.ok("exec", "--detach", "c", "sleep", "777")
        until(lambda: "sleep 777" in self.ok("top", "c"))
        self.assertRegex(self.ok("exec", "--privileged", "c", "cat", "/proc/self/status"), own_capabilities())

    def test_stop_without_a_pid_namespace(self):
        """Then only the cgroup tells which processes are the container's."""
        self.start("--name=c", "--pid=host", command=("sh", "-c", "setsid sleep 4713 & setsid sleep 4713 & wait"))
        def there():
            return subprocess.run(["pgrep", "-f", "^sleep 4713"], capture_output=True, text=True, check=False).stdout.split()
        until(lambda: len(there()) == 2)
        self.ok("rm", "--force", "--time=0", "c")
        until(lambda: not there())

    def test_pod(self):
        self.ok("pod", "create", "--name=pod", "--network=none", "--infra-image", image.NAME, "--infra-command=sleep 1000")
        out = self.run_("--pod=pod", "--", "hostname")
        self.assertEqual(out, "pod\n")
        self.ok("pod", "rm", "--force", "--time=0", "pod")

    def test_hooks(self):
        hooks, log = self.scratch / "hooks", self.scratch / "hook.log"
        hooks.mkdir()
        (hooks / "one.json").write_text(json.dumps({
            "version": "1.0.0", "hook": {"path": "/bin/sh", "args": ["sh", "-c", f"cat >> {log}; echo >> {log}"]},
            "when": {"always": True}, "stages": ["prestart", "createRuntime", "createContainer", "poststart"]}))
        done = self.podman("--hooks-dir", hooks, "run", "--rm", "--network=none", image.NAME, "true")
        self.assertEqual(done.returncode, 0, done.stderr)
        text = until(lambda: t if (t := log.read_text()).count('"ociVersion"') == 4 else None)
        self.assertIn('"running"', text)

    def test_preserve_fds(self):
        read, write = os.pipe()
        os.dup2(read, 3)
        os.set_inheritable(3, True)
        out = self.run_("--preserve-fds=1", "--", "readlink", "/proc/self/fd/3", pass_fds=(3,))
        self.assertTrue(out.startswith("pipe:"), out)
        for fd in {read, write, 3}:
            os.close(fd)

    def test_nothing_is_left(self):
        self.run_("--", "true")
        self.assertEqual(json.loads(self.ok("ps", "--all", "--format", "json")), [])
        left = subprocess.run([self.minictr, "list", "--quiet"], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual([x for x in left if len(x) == 64], [])
