# SPDX-License-Identifier: Apache-2.0
"""`exec`: one more process in a running container."""

import json
import os
import subprocess
from pathlib import Path

from harness import ContainerCase, until
from test_namespaces import KINDS, ns_of


class Exec(ContainerCase):
    def exec(self, *args, status=0, **options):
        done = self.ctr("exec", *args, **options)
        self.assertEqual(done.returncode, status, f"{done.stdout} {done.stderr}")
        return done.stdout

    def document(self, **more):
        file = self.bundle / "process.json"
        file.write_text(json.dumps({"args": ["sh", "-c", "cat /proc/self/status"], "cwd": "/", "env": ["PATH=/bin"], **more}))
        return file

    def test_status_and_input(self):
        with self.running():
            self.exec(self.id, "sh", "-c", "exit 9", status=9)
            self.exec(self.id, "sh", "-c", "kill -9 $$", status=137)
            self.assertEqual(self.exec(self.id, "cat", stdin=None, input="hello"), "hello")

    def test_namespaces_are_the_containers(self):
        for kind in ("network", "cgroup", "time", "user"):
            self.join(kind)
        for key in ("uidMappings", "gidMappings"):
            self.config["linux"][key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        with self.running() as state:
            out = self.exec(self.id, "sh", "-c", "for n in user pid mnt net ipc uts cgroup time; do readlink /proc/self/ns/$n; done;"
                                                "readlink /proc/self/root; readlink /proc/self/cwd; id -u")
            lines = out.split()
            self.assertEqual(dict(zip(KINDS, lines)), ns_of(state["pid"]))
            self.assertEqual(lines[8:], ["/", "/", "0"])

    def test_options(self):
        with self.running():
            out = self.exec("--user", "1000:50", "--cwd", "/tmp", "--env", "A=b", "--env", "C=d", self.id, "sh", "-c",
                            "id; pwd; echo $A $C; umask")
            self.assertEqual(out.splitlines(), ["uid=1000(user) gid=50(more)", "/tmp", "b d", "0022"])

    def test_process_document(self):
        with self.running():
            file = self.document(user={"uid": 1000, "gid": 1000, "additionalGids": [50], "umask": 0o77}, noNewPrivileges=True,
                                 capabilities={"bounding": ["CAP_KILL"]},
                                 rlimits=[{"type": "RLIMIT_NOFILE", "soft": 12, "hard": 13}])
            out = self.exec("--process", file, self.id)
            self.assertRegex(out, r"Uid:\t1000\t1000\t1000\t1000")
            self.assertRegex(out, r"Groups:\t50")
            self.assertRegex(out, r"NoNewPrivs:\t1")
            self.assertRegex(out, r"CapBnd:\t0000000000000020")
            self.assertRegex(out, r"Umask:\t0077")

    def test_bad_documents(self):
        with self.running():
            for text, says in (("{", "ends too early"), ('{"args":[]}', "args is missing"), ('{"args":["sh"]}', "cwd"),
                               ('{"args":["sh"],"cwd":"/","user":1}', "/user")):
                (self.bundle / "process.json").write_text(text)
                self.fails("exec", "--process", self.bundle / "process.json", self.id, says=says, status=255)

    def test_missing_program(self):
        with self.running():
            self.fails("exec", self.id, "nosuch", says="executable file not found in $PATH", status=255)
            self.fails("exec", self.id, "/etc/passwd", says="Permission denied", status=255)
            self.fails("exec", "--cwd", "/no/such", self.id, "true", says="chdir(/process/cwd /no/such)", status=255)
            self.fails("exec", "--cwd", "relative", self.id, "true", says="not absolute", status=255)

    def test_states(self):
        with self.created("sleep 100"):
            self.assertEqual(self.exec(self.id, "echo", "early"), "early\n")
            self.ok("start", self.id)
            self.stop()
            self.fails("exec", self.id, "true", says="container not running", status=255)

    def test_detached(self):
        with self.running():
            self.exec("--detach", "--pid-file", self.bundle / "pid", self.id, "sleep", "100", stdin=subprocess.DEVNULL,
                      capture_output=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            pid = int((self.bundle / "pid").read_text())
            until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
            self.assertIn(pid, json.loads(self.ok("ps", "--format", "json", self.id)))
            self.ok("kill", self.id, "KILL")
            self.assertEqual(until(lambda: os.waitpid(pid, os.WNOHANG)[0]), pid)  # ours, as we are the reaper

    def test_in_the_cgroup_from_the_start(self):
        self.config["linux"]["resources"] = {"pids": {"limit": 2}}
        with self.running():
            self.assertIn("can't fork", self.ctr("exec", self.id, "sh", "-c", "true; sleep 1 & true").stderr)

    def test_working_directory_cannot_lead_out(self):
        """CVE-2024-21626: no descriptor of the runtime's is there to go through."""
        with self.running():
            for number in range(3, 20):
                done = self.ctr("exec", "--cwd", f"/proc/self/fd/{number}", self.id, "pwd")
                self.assertNotEqual(done.returncode, 0, f"fd {number}: {done.stdout}")
        for number in range(3, 20):
            self.config["process"]["cwd"] = f"/proc/self/fd/{number}"
            self.args("sh", "-c", "pwd; ls")
            self.write()
            done = self.ctr("run", "--bundle", self.bundle, self.id)
            self.assertFalse(done.returncode == 0 and "bundle" in done.stdout, done.stdout)

    def test_terminal_must_be_one(self):
        """The image's idea of /dev/pts/ptmx is not trusted."""
        self.config["mounts"] = [m for m in self.config["mounts"] if not m["destination"].startswith("/dev")]
        self.config["mounts"].append({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"})
        with self.running("mkdir -p /dev/pts; mkfifo /dev/pts/ptmx 2>/dev/null || cp /bin/busybox /dev/pts/ptmx; sleep 100"):
            until(lambda: self.ctr("exec", self.id, "test", "-e", "/dev/pts/ptmx").returncode == 0)
            self.fails("exec", "--tty", self.id, "true", says="/dev/pts/ptmx", status=255)
