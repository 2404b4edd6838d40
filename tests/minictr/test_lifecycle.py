# SPDX-License-Identifier: Apache-2.0
"""The life cycle of runtime.md: states, operations, and what each refuses."""

import json
import os
import subprocess
import threading
from pathlib import Path

from harness import ContainerCase, alive, until


class States(ContainerCase):
    def test_created_running_stopped_deleted(self):
        with self.created("echo ran; sleep 100") as state:
            self.assertEqual((state["status"], state["id"], state["bundle"]), ("created", self.id, str(self.bundle)))
            self.assertTrue(state["ociVersion"].startswith("1."))
            self.assertTrue(Path(f"/proc/{state['pid']}").exists())
            self.assertEqual(self.output(), "", "the program ran before start")
            self.ok("start", self.id)
            self.assertEqual(self.status(), "running")
            until(lambda: self.output() == "ran\n")
            self.assertEqual(self.state()["pid"], state["pid"])
            self.stop()
            self.assertEqual(self.state()["pid"], 0)
            self.ok("delete", self.id)
            self.fails("state", self.id, says="does not exist")

    def test_ends_by_itself(self):
        with self.running("exit 3"):
            until(lambda: self.status() == "stopped")
            self.ok("delete", self.id)

    def test_annotations(self):
        self.config["annotations"] = {"org.example.a": "ü/\"x\"", "empty": ""}
        with self.created() as state:
            self.assertEqual(state["annotations"], self.config["annotations"])
        self.assertNotIn(self.id, self.ok("list", "--quiet"))

    def test_create_twice(self):
        with self.created() as state:
            self.fails("create", "--bundle", self.bundle, self.id, says="exists already")
            self.fails("run", "--bundle", self.bundle, self.id, says="exists already")
            self.assertEqual(self.state(), state, "the first was touched")

    def test_start_twice(self):
        with self.running():
            self.fails("start", self.id, says="is running")
            self.assertEqual(self.status(), "running")

    def test_start_stopped(self):
        with self.running("true"):
            until(lambda: self.status() == "stopped")
            self.fails("start", self.id, says="is stopped")

    def test_many_starts_at_once(self):
        with self.created("echo ran; sleep 100"):
            results = []
            def start():
                results.append(self.ctr("start", self.id).returncode)
            threads = [threading.Thread(target=start) for _ in range(6)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(results), [0, 1, 1, 1, 1, 1])
            until(lambda: self.output() == "ran\n")

    def test_unknown_container(self):
        for command in (["state"], ["start"], ["kill"], ["delete"], ["exec", "--", "nobody", "true"], ["ps"], ["pause"]):
            with self.subTest(command=command[0]):
                args = command if len(command) > 1 else [*command, "nobody"]
                self.fails(*args, says='"nobody" does not exist', status=255 if command[0] == "exec" else 1)

    def test_config_is_read_once(self):
        with self.created("echo first; sleep 100"):
            self.sh("echo second")
            self.write()
            self.ok("start", self.id)
            until(lambda: self.output() == "first\n")

    def test_start_that_fails(self):
        """execve's error comes back through start: a script whose interpreter is missing passes every earlier check."""
        script = self.rootfs / f"bin/{self.id}"
        script.write_text("#!/no/interpreter\n")
        script.chmod(0o755)
        self.args(f"/bin/{self.id}")
        with self.created():
            self.fails("start", self.id, says="execve")
            until(lambda: self.status() == "stopped")
        script.unlink()


class Kill(ContainerCase):
    def test_created(self):
        with self.created():
            self.ok("kill", self.id, "KILL")
            until(lambda: self.status() == "stopped")

    def test_running(self):
        for name in ("TERM", "SIGTERM", "term", "15", None):
            with self.subTest(signal=name), self.running("trap 'echo got; exit 0' TERM; echo ready; while :; do sleep 0.05; done"):
                until(lambda: "ready" in self.output())
                self.ok("kill", self.id, *([name] if name else []))
                until(lambda: self.status() == "stopped")
                self.assertIn("got", self.output())

    def test_stopped(self):
        with self.running("true"):
            until(lambda: self.status() == "stopped")
            self.fails("kill", self.id, "KILL", says="container not running")

    def test_bad_signal(self):
        with self.running():
            for name in ("NONE", "", "-1", "9999", "KILLX"):
                self.fails("kill", self.id, name, says="unknown signal")
            self.assertEqual(self.status(), "running")

    def test_all_without_a_pid_namespace(self):
        self.config["linux"]["namespaces"] = [n for n in self.config["linux"]["namespaces"] if n["type"] != "pid"]
        with self.running("setsid sleep 4711 & setsid sleep 4711 & wait"):
            until(lambda: len(json.loads(self.ok("ps", "--format", "json", self.id))) == 3)
            pids = json.loads(self.ok("ps", "--format", "json", self.id))
            self.ok("kill", "--all", self.id, "KILL")
            until(lambda: not any(alive(p) for p in pids))


class Delete(ContainerCase):
    def test_running_is_refused(self):
        with self.running():
            self.fails("delete", self.id, says="is running")
            self.assertEqual(self.status(), "running")

    def test_created_is_refused(self):
        with self.created():
            self.fails("delete", self.id, says="is created")
            self.assertEqual(self.status(), "created")

    def test_force(self):
        for maker in (self.created, self.running):
            with self.subTest(maker=maker.__name__), maker("sleep 100") as state:
                self.ok("delete", "--force", self.id)
                self.assertFalse(alive(state["pid"]))
                self.fails("state", self.id, says="does not exist")

    def test_force_of_nothing(self):
        self.ok("delete", "--force", "nobody")

    def test_force_after_a_creator_that_died(self):
        (self.root / self.id).mkdir(parents=True)
        self.fails("delete", self.id, says="being created")
        self.ok("delete", "--force", self.id)

    def test_paused(self):
        with self.running() as state:
            self.ok("pause", self.id)
            self.assertEqual(self.status(), "paused")
            self.fails("pause", self.id, says="is paused")
            self.fails("exec", self.id, "true", says="is paused", status=255)
            self.ok("delete", "--force", self.id)
            self.assertFalse(alive(state["pid"]))

    def test_pause_and_resume(self):
        with self.running("while :; do echo x; sleep 0.01; done"):
            until(lambda: len(self.output()) > 4)
            self.ok("pause", self.id)
            size = len(self.output())
            self.assertFalse(self.grows(size))
            self.ok("resume", self.id)
            until(lambda: len(self.output()) > size)
            self.fails("resume", self.id, says="not paused")

    def grows(self, size):
        try:
            return until(lambda: len(self.output()) > size, 0.2)
        except AssertionError:
            return False


class Ids(ContainerCase):
    def test_bad(self):
        self.write()
        for name in ("", ".", "..", "a/b", "../x", "a b", "ä", "x" * 256, "a\nb"):
            with self.subTest(id=name):
                self.fails("create", "--bundle", self.bundle, "--", name, says="no valid container id")

    def test_good(self):
        self.args("true")
        self.write()
        for name in ("a", "A.b-c_d+e", "0", "x" * 255, "..."):
            self.ok("run", "--bundle", self.bundle, name)


class List(ContainerCase):
    def test_list(self):
        self.assertEqual(json.loads(self.ok("list", "--format", "json")), [])
        with self.running() as state:
            (row,) = json.loads(self.ok("list", "--format", "json"))
            self.assertEqual({k: row[k] for k in state}, state)
            self.assertRegex(row["created"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
            self.assertEqual(row["owner"], "root")
            self.assertEqual(self.ok("list", "--quiet"), f"{self.id}\n")
            self.assertIn("running", self.ok("list"))


class Engine(ContainerCase):
    """What engines rely on besides the operations."""

    def test_pid_file(self):
        with self.created("sleep 100", "--pid-file", self.bundle / "pid") as state:
            self.assertEqual((self.bundle / "pid").read_text(), str(state["pid"]))

    def test_json_log(self):
        log = self.bundle / "log"
        self.write()
        self.config["process"]["args"] = ["/no/such"]
        self.write()
        self.ctr("create", "--bundle", self.bundle, self.id, options=["--log", log, "--log-format", "json"])
        line = json.loads(log.read_text().splitlines()[-1])
        self.assertEqual(line["level"], "error")
        self.assertIn("/no/such", line["msg"])
        self.assertRegex(line["time"], r"^20\d\d-.*Z$")

    def test_systemd_is_refused(self):
        self.fails("list", says="systemd", options=["--systemd-cgroup"])
        self.fails("list", says="systemd", options=["--cgroup-manager", "systemd"])

    def test_version_and_features(self):
        lines = self.ok("--version").splitlines()
        self.assertRegex(lines[0], r"^minictr version \d+\.\d+\.\d+$")
        features = json.loads(self.ok("features"))
        self.assertIn("startContainer", features["hooks"])
        self.assertIn("rro", features["mountOptions"])
        self.assertIn("time", features["linux"]["namespaces"])
        self.assertIn("CAP_SYS_ADMIN", features["linux"]["capabilities"])
        self.assertTrue(features["linux"]["seccomp"]["enabled"])
        self.assertFalse(features["linux"]["cgroup"]["systemd"])

    def test_spec_is_runcs(self):
        """The same document as runc's but for the name, and ambient capabilities that the kernel would not grant."""
        theirs = self.scratch / "theirs"
        theirs.mkdir()
        try:
            subprocess.run(["runc", "spec", "--bundle", theirs], check=True)
        except FileNotFoundError:
            self.skipTest("runc is not installed")
        runc = json.loads((theirs / "config.json").read_text())
        ours = json.loads((self.scratch / "spec/config.json").read_text())
        for config in (runc, ours):
            config["process"]["capabilities"].pop("ambient", None)
            config["process"]["capabilities"].pop("inheritable", None)
            del config["hostname"], config["ociVersion"]
            config["linux"]["namespaces"].sort(key=lambda n: n["type"])
        self.assertEqual([n for n in runc["linux"]["namespaces"] if n["type"] != "cgroup"], ours["linux"]["namespaces"])
        del runc["linux"]["namespaces"], ours["linux"]["namespaces"]
        self.assertEqual(runc, ours)
        self.fails("spec", "--bundle", self.scratch / "spec", says="File exists")

    def test_descriptors(self):
        """Only what --preserve-fds names reaches the container; a directory of the host never does."""
        fds = [os.open("/", os.O_RDONLY) for _ in range(3)]
        for fd, number in zip(fds, (20, 21, 22)):
            os.dup2(fd, number)
            os.close(fd)
        os.dup2(20, 3)
        try:
            self.sh("cd /proc/self/fd; echo *")
            self.write()
            done = self.ctr("run", "--bundle", self.bundle, self.id, pass_fds=(3, 20, 21, 22))
            self.assertEqual(done.stdout.split(), ["0", "1", "2", "3"], done.stderr)  # 3: the shell's own, of the directory
            done = self.ctr("run", "--preserve-fds", "1", "--bundle", self.bundle, self.id, pass_fds=(3, 20, 21, 22))
            self.assertEqual(done.stdout.split(), ["0", "1", "2", "3", "4"], done.stderr)
        finally:
            for number in (3, 20, 21, 22):
                os.close(number)

    def test_own_file_is_out_of_reach(self):
        """CVE-2019-5736: the waiting init is minictr; nobody may write to its file, nor get at it by an interpreter line."""
        before = self.minictr.read_bytes()
        with self.created() as state:
            file = os.open(f"/proc/{state['pid']}/exe", os.O_RDONLY)
        # While it runs, writing is refused for that alone ("text file busy"); the attack waits for its end.
        with self.assertRaisesRegex(OSError, "Read-only file system"):
            until(lambda: os.open(f"/proc/self/fd/{file}", os.O_WRONLY))
        os.close(file)
        script = self.rootfs / f"bin/{self.id}"
        script.write_text("#!/proc/self/exe --version\n")
        script.chmod(0o755)
        self.args(f"/bin/{self.id}")
        self.write()
        # The kernel runs minictr there; it is the protected file that runs, and does as an interpreter line lets it.
        self.assertIn("minictr version", self.ctr("run", "--bundle", self.bundle, self.id).stdout)
        script.unlink()
        self.assertEqual(self.minictr.read_bytes(), before)
