# SPDX-License-Identifier: Apache-2.0
"""Hooks at every point of the specification: where they run, in what order, with which state, and what a failure does."""

import json
import os
import signal
import subprocess
import time

from harness import ContainerCase, alive, until

POINTS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
IN_RUNTIME = {"prestart", "createRuntime", "poststart", "poststop"}


class Hooks(ContainerCase):
    def setUp(self):
        super().setUp()
        # One directory that is at the same path for the host and the container, so that every hook can write there.
        self.shared = self.scratch / "shared" / self.id
        self.shared.mkdir(parents=True)
        inside = self.rootfs / str(self.shared)[1:]
        inside.mkdir(parents=True)
        self.config["mounts"].append({"destination": str(self.shared), "source": str(self.shared), "options": ["bind"]})
        self.log = self.shared / "log"
        self.hooks = self.config["hooks"] = {}
        self.config["annotations"] = {"org.example": "yes"}

    def hook(self, point, script, **more):
        self.hooks.setdefault(point, []).append({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"],
                                                 **more})

    def note(self, point, word=None):
        self.hook(point, f"echo {word or point} $(readlink /proc/self/ns/mnt) $(cat | tr -d ' \\n') >> {self.log}")

    def noted(self):
        """What the hooks wrote: point, mount namespace, state."""
        rows = []
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            word, space, state = line.split(" ", 2)
            rows.append((word, space, json.loads(state)))
        return rows

    def names(self):
        return [word for word, _, _ in self.noted()]

    def test_every_point(self):
        for point in POINTS:
            self.note(point, point + "1")
            self.note(point, point + "2")
        with self.created(f"echo program >> {self.log.parent}/ran; sleep 100") as state:
            self.assertEqual(self.names(), [p + n for p in POINTS[:3] for n in "12"])
            own, there = os.readlink("/proc/self/ns/mnt"), os.readlink(f"/proc/{state['pid']}/ns/mnt")
            self.ok("start", self.id)
            self.assertEqual(self.names()[6:], ["startContainer1", "startContainer2", "poststart1", "poststart2"])
            self.stop()
            self.ok("delete", self.id)
            self.assertEqual(self.names()[10:], ["poststop1", "poststop2"])
            for word, space, got in self.noted():
                point = word[:-1]
                self.assertEqual(space, own if point in IN_RUNTIME else there, word)
                self.assertEqual((got["id"], got["bundle"], got["annotations"]), (self.id, str(self.bundle),
                                                                                  {"org.example": "yes"}))
                self.assertEqual(got.get("pid", 0), 0 if point == "poststop" else state["pid"], word)
                self.assertEqual(got["status"], {"startContainer": "created", "poststart": "running",
                                                 "poststop": "stopped"}.get(point, "creating"), word)

    def test_every_point_of_run(self):
        for point in POINTS:
            self.note(point)
        self.run_ctr("true")
        self.assertEqual(sorted(self.names()), sorted(POINTS))
        self.assertEqual(self.names()[:4] + self.names()[-1:], POINTS[:4] + ["poststop"])

    def test_create_container_hooks_see_the_host_and_the_mounts(self):
        """After the mounts, before the root is switched: host paths, but in the container's namespace."""
        self.hook("createContainer", f"test -e {self.bundle}/config.json && grep -q ' {self.rootfs}/dev/pts ' /proc/self/mountinfo"
                                     f" && echo yes > {self.log}")
        self.run_ctr("true")
        self.assertEqual(self.log.read_text(), "yes\n")

    def test_start_container_hooks_see_the_container(self):
        self.hook("startContainer", f"test -e /bin/busybox && echo $(id -u) $(ls /) > {self.log}")
        self.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        self.run_ctr("true")
        self.assertTrue(self.log.read_text().startswith("0 bin dev"))

    def test_environment_is_the_hooks_own(self):
        self.hooks["prestart"] = [{"path": "/usr/bin/env", "env": ["A=b"]}]
        self.write()
        self.args("true")
        self.write()
        self.assertEqual(self.ctr("run", "--bundle", self.bundle, self.id).stdout, "A=b\n")

    def test_args_and_no_args(self):
        script = self.shared / "hook"
        script.write_text(f"#!/bin/sh\necho $# $* > {self.log}\n")
        script.chmod(0o755)
        for args, expected in ([], "0\n"), (["name"], "0\n"), (["name", "one", "two words"], "2 one two words\n"):
            self.hooks["prestart"] = [{"path": str(script), "args": args, "env": ["PATH=/bin"]}]
            self.run_ctr("true")
            self.assertEqual(self.log.read_text(), expected)

    def test_state_larger_than_a_pipe(self):
        """A hook that does not read its input neither blocks nor fails."""
        self.config["annotations"]["large"] = "x" * 200000
        self.hook("prestart", "true")
        self.hook("createRuntime", f"wc -c > {self.log}")
        self.run_ctr("true")
        self.assertGreater(int(self.log.read_text()), 200000)

    def failing(self, point):
        self.note(point, "before")
        self.hook(point, "exit 3")
        self.note(point, "after")
        self.note("poststop")

    def test_failure_while_creating(self):
        for point in POINTS[:3]:
            with self.subTest(point=point):
                self.hooks.clear()
                self.log.unlink(missing_ok=True)
                self.failing(point)
                error = self.refused(f"/hooks/{point}/1")
                self.assertIn("3", error)
                self.assertEqual(self.names(), ["before", "poststop"])

    def test_failure_while_starting(self):
        self.failing("startContainer")
        with self.created("echo ran; sleep 100"):
            self.fails("start", self.id, says="/hooks/startContainer/1")
            until(lambda: self.status() == "stopped")
            self.assertEqual(self.output(), "")
            self.ok("delete", self.id)
        self.assertEqual(self.names(), ["before", "poststop"])

    def test_failure_afterwards_is_a_warning(self):
        self.failing("poststart")
        self.hook("poststop", "exit 4")
        self.note("poststop", "last")
        with self.running():
            self.assertEqual(self.status(), "running")
            self.stop()
            done = self.ctr("delete", self.id)
            self.assertEqual(done.returncode, 0)
            self.assertIn("/hooks/poststop/1", done.stderr)
        self.assertEqual(self.names(), ["before", "after", "poststop", "last"])

    def test_missing_program(self):
        self.hooks["createRuntime"] = [{"path": "/no/such/hook"}]
        self.refused("/hooks/createRuntime/0")

    def test_killed_by_a_signal(self):
        self.hook("createRuntime", "kill -9 $$")
        self.refused("ended by signal 9")

    def test_timeout(self):
        for point in ("prestart", "createContainer", "startContainer"):
            with self.subTest(point=point):
                self.hooks.clear()
                self.hook(point, "sleep 60", timeout=1)
                self.sh("true")
                self.write()
                begin = time.monotonic()
                self.fails("run", "--bundle", self.bundle, self.id, says=f"/hooks/{point}/0")
                self.assertLess(time.monotonic() - begin, 50)

    def test_what_a_timed_out_hook_started_ends_too(self):
        self.hook("prestart", f"sleep 4712 & echo $! > {self.log}; wait", timeout=1)
        self.refused("/hooks/prestart/0")
        pid = self.log.read_text().strip()
        until(lambda: not alive(pid))

    def test_interrupt(self):
        """Who presses ^C while minictr waits for a hook ends the hook, and nothing stays."""
        self.hook("prestart", f"echo waiting > {self.log}; sleep 100")
        self.note("poststop")
        self.sh("true")
        self.write()
        with subprocess.Popen([self.minictr, "--root", self.root, "run", "--bundle", self.bundle, self.id],
                              stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
            until(lambda: self.log.exists() and self.log.read_text())
            # Again until it is heard: a shell between two commands takes note of it and goes on.
            until(lambda: os.killpg(run.pid, signal.SIGINT) or time.sleep(0.1) or run.poll() is not None, 60)
            self.assertEqual(run.returncode, 1)
            self.assertIn("/hooks/prestart/0", run.stderr.read())

    def test_init_killed_before_its_program(self):
        self.hook("startContainer", f"echo waiting > {self.log}; sleep 100")
        self.sh("true")
        self.write()
        with subprocess.Popen([self.minictr, "--root", self.root, "run", "--bundle", self.bundle, self.id],
                              stderr=subprocess.PIPE, text=True) as run:
            until(lambda: self.log.exists() and self.log.read_text())
            self.ok("kill", self.id, "KILL")
            self.assertEqual(run.wait(60), 1)
            self.assertIn("was killed", run.stderr.read())

    def test_a_hook_may_ask_for_the_state(self):
        self.hook("createRuntime", f"{self.minictr} --root {self.root} state {self.id} > {self.log}")
        with self.created() as state:
            self.assertEqual(json.loads(self.log.read_text())["pid"], state["pid"])

    def test_rootless_hooks(self):
        """Hooks of an ordinary user run with his rights."""
        home = self.shared / "home"
        home.mkdir()
        os.chown(home, 23456, 23456)
        user = ["setpriv", "--reuid=23456", "--regid=23456", "--clear-groups", "--inh-caps=-all"]
        subprocess.run([*user, self.minictr, "spec", "--rootless"], cwd=home, check=True)
        config = json.loads((home / "config.json").read_text())
        config["root"]["path"], config["process"]["terminal"] = str(self.rootfs), False
        config["process"]["args"] = ["true"]
        config["hooks"] = {p: [{"path": "/bin/sh", "args": ["sh", "-c", f"id -u >> {home}/log"], "env": ["PATH=/bin:/usr/bin"]}]
                           for p in ("prestart", "createRuntime", "poststop")}
        (home / "config.json").write_text(json.dumps(config))
        done = subprocess.run([*user, self.minictr, "--root", home / "state", "run", "--bundle", home, self.id],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((home / "log").read_text().split(), ["23456"] * 3)
