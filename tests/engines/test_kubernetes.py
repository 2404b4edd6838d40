# SPDX-License-Identifier: Apache-2.0
"""The path of a cluster, from the kubelet's calls downwards: containerd's CRI plugin with the configuration of
docs/kubernetes.md, its runc shim, minictr. Pods use the host's network, as there is no CNI plugin here."""

import re
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

import cri
import image
from harness import TOP, install, make_rootfs, until

CONFIG = """version = 2
root = "{scratch}/root"
state = "{scratch}/state"
[grpc]
  address = "{scratch}/grpc.sock"
[ttrpc]
  address = "{scratch}/ttrpc.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{scratch}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{scratch}/cni"
{documented}
"""
# `sleep` as the first process of a pid namespace would not hear SIGTERM, and each stop take its grace period.
IDLE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
NODE = 2  # NamespaceMode
PYTHON = next((p for p in ("python3", "/usr/bin/python3") if shutil.which(p) and subprocess.run(
    [p, "-c", "import grpc"], capture_output=True, check=False).returncode == 0), None)


def documented(minictr):
    """The part of the configuration that docs/kubernetes.md gives, with the path of the minictr under test."""
    text = (TOP / "docs/kubernetes.md").read_text()
    block = re.search(r"```toml\nversion = 2\n(.*?)```", text, re.DOTALL).group(1)
    return block.replace("/usr/local/bin/minictr", str(minictr))


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for tool in ("containerd", "ctr", "containerd-shim-runc-v2"):
            if shutil.which(tool) is None:
                raise unittest.SkipTest(f"{tool} is not installed")
        if PYTHON is None:
            raise unittest.SkipTest("python3-grpcio is not installed")
        cls.scratch = Path(tempfile.mkdtemp(prefix="engines-"))
        cls.scratch.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.scratch, ignore_errors=True)
        minictr = install(cls.scratch / "installed")
        rootfs = make_rootfs(cls.scratch / "rootfs")
        (cls.scratch / "volume").mkdir()
        (cls.scratch / "volume/file").write_text("shared\n")
        config = cls.scratch / "config.toml"
        config.write_text(CONFIG.format(scratch=cls.scratch, documented=documented(minictr)))
        with open(cls.scratch / "log", "w") as log:
            cls.daemon = subprocess.Popen(["containerd", "--config", config], stdout=log, stderr=log)
        cls.addClassCleanup(cls.stop)
        until(lambda: cls.raw("Version", {})[0] is not None, 30)
        for name, command in (("localhost/pause:latest", IDLE), (image.NAME, ["sh"])):
            image.write(rootfs, cls.scratch / "image.tar", name, command)
            subprocess.run(["ctr", "--address", cls.scratch / "grpc.sock", "--namespace", "k8s.io", "images", "import",
                            "--snapshotter", "native", cls.scratch / "image.tar"], check=True, capture_output=True)

    @classmethod
    def stop(cls):
        cls.daemon.send_signal(signal.SIGTERM)
        cls.daemon.wait(30)

    @classmethod
    def raw(cls, method, message):
        service = "RuntimeService/" if "/" not in method else ""
        done = subprocess.run([PYTHON, cri.__file__, f"{cls.scratch}/grpc.sock", service + method], input=cri.encode(message),
                              capture_output=True, timeout=90, check=False)
        return (cri.decode(done.stdout), "") if done.returncode == 0 else (None, done.stderr.decode())

    def call(self, method, message):
        response, error = self.raw(method, message)
        self.assertIsNotNone(response, f"{method}: {error}")
        return response

    def setUp(self):
        self.pod_config = {1: {1: "pod", 2: self._testMethodName, 3: "default"}, 3: f"{self.scratch}/logs",
                           8: {1: "/minictr-test/pod", 2: {1: {1: NODE}}}}
        self.pod = self.call("RunPodSandbox", {1: self.pod_config, 2: "minictr"})[1][0].decode()
        self.addCleanup(self.remove)

    def remove(self):
        self.call("StopPodSandbox", {1: self.pod})
        self.call("RemovePodSandbox", {1: self.pod})
        # The kubelet makes and removes a pod's cgroup, which here is us.
        for pattern in ("*/minictr-test/pod", "*/minictr-test"):
            for folder in Path("/sys/fs/cgroup").glob(pattern):
                folder.rmdir()

    def container(self, *args, name="one", **fields):
        """Created and started: its id. Fields by name of those that the tests use."""
        numbers = {"mounts": 7, "envs": 6, "working_dir": 5, "linux": 15, "log_path": 11, "tty": 13}
        config = {1: {1: name}, 2: {1: image.NAME}, 3: list(args), **{numbers[k]: v for k, v in fields.items()}}
        made = self.call("CreateContainer", {1: self.pod, 2: config, 3: self.pod_config})[1][0].decode()
        self.call("StartContainer", {1: made})
        return made

    def state(self, container):
        status = cri.decode(self.call("ContainerStatus", {1: container})[1][0])
        return ["created", "running", "exited"][status.get(3, [0])[0]], status.get(7, [0])[0]

    def exec(self, container, *command):
        got = self.call("ExecSync", {1: container, 2: list(command), 3: 20})
        return got.get(1, [b""])[0].decode(), got.get(3, [0])[0]

    def test_container(self):
        made = self.container("sh", "-c", "echo to the log; trap 'exit 3' TERM; while :; do sleep 0.1; done", log_path="one.log")
        self.assertEqual(self.state(made)[0], "running")
        self.assertEqual(self.exec(made, "sh", "-c", "echo inside; exit 5"), ("inside\n", 5))
        until(lambda: "to the log" in (self.scratch / "logs/one.log").read_text())
        self.call("StopContainer", {1: made, 2: 10})
        self.assertEqual(self.state(made), ("exited", 3))
        self.call("RemoveContainer", {1: made})

    def test_pod_shares_its_namespaces(self):
        one = self.container(*IDLE)
        two = self.container(*IDLE, name="two")
        for kind in ("ipc", "uts", "net"):
            spaces = {self.exec(c, "readlink", f"/proc/self/ns/{kind}")[0] for c in (one, two)}
            self.assertEqual(len(spaces), 1, kind)
        self.assertNotEqual(self.exec(one, "readlink", "/proc/self/ns/mnt"), self.exec(two, "readlink", "/proc/self/ns/mnt"))

    def test_config(self):
        made = self.container(*IDLE, envs=[{1: "A", 2: "b"}], working_dir="/tmp",
                              mounts=[{1: "/data", 2: f"{self.scratch}/volume", 3: 1}],
                              linux={1: {4: 64 << 20, 3: 512}, 2: {5: {1: 1000}, 7: 1}})
        out, status = self.exec(made, "sh", "-c", "echo $A; pwd; cat /data/file; id -u; touch /x /data/x 2>&1 | grep -c Read-only")
        self.assertEqual((out.split(), status), (["b", "/tmp", "shared", "1000", "2"], 0))
        limits = list(Path("/sys/fs/cgroup").glob(f"memory/minictr-test/pod/{made}/memory.limit_in_bytes"))
        if limits:
            self.assertEqual(limits[0].read_text(), f"{64 << 20}\n")
            self.call("UpdateContainerResources", {1: made, 2: {4: 96 << 20}})
            self.assertEqual(limits[0].read_text(), f"{96 << 20}\n")

    def test_error(self):
        made = self.call("CreateContainer", {1: self.pod, 2: {1: {1: "bad"}, 2: {1: image.NAME}, 3: ["nosuch"]},
                                             3: self.pod_config})[1][0].decode()
        response, error = self.raw("StartContainer", {1: made})
        self.assertIsNone(response)
        self.assertIn("executable file not found in $PATH", error)
