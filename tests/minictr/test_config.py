# SPDX-License-Identifier: Apache-2.0
"""Documents that must be refused, before anything is made, and by an error that names the field."""

import json
import os

from harness import ContainerCase


class Documents(ContainerCase):
    def raw(self, text, says):
        (self.bundle / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        for command in ("create", "run"):
            self.fails(command, "--bundle", self.bundle, self.id, says=says)
            self.assertFalse((self.root / self.id).exists())

    def test_no_bundle(self):
        self.fails("run", "--bundle", self.bundle / "none", self.id, says="No such file")
        self.fails("run", "--bundle", self.bundle, self.id, says="config.json")

    def test_not_a_file(self):
        os.mkfifo(self.bundle / "config.json")
        self.fails("run", "--bundle", self.bundle, self.id, says="not a regular file")
        os.unlink(self.bundle / "config.json")
        (self.bundle / "config.json").mkdir()
        self.fails("run", "--bundle", self.bundle, self.id, says="not a regular file")

    def test_not_json(self):
        good = json.dumps(self.config)
        for text, says in ((b"", "ends too early"), ("{", "ends too early"), (good[:-1], "ends too early"),
                           (good + "x", "not JSON"), (good + " {}", "not JSON"), ("[]", "not a JSON object"), ("null", "not JSON"),
                           (good.replace("true", "True", 1), "not JSON"), (good + "\0", "not JSON"),
                           (b'{"ociVersion": "\xff\xfe"}', "not JSON"), ("[" * 100000, "not JSON")):
            with self.subTest(text=text[:20]):
                self.raw(text, says)

    def test_large(self):
        self.config["annotations"] = {str(i): "x" * 1000 for i in range(5000)}
        self.run_ctr("true")
        self.config["annotations"] = {str(i): "x" * 1000 for i in range(20000)}
        self.refused("not a regular file of at most")

    def test_version(self):
        for good in ("1.0.0", "1.0.2-dev", "1.2.1", "1.99.0"):
            self.config["ociVersion"] = good
            self.run_ctr("true")
        for bad in ("2.0.0", "0.9.0", "", "1", "x", "10.0.0"):
            with self.subTest(version=bad):
                self.config["ociVersion"] = bad
                self.refused("/ociVersion: ")
        del self.config["ociVersion"]
        self.refused("/ociVersion: is missing")

    def test_missing_process(self):
        """runtime.md: create may do without it, start may not; and what start refuses stays as it was."""
        del self.config["process"]
        self.refused("/process: is missing", command="run")
        with self.created():
            self.fails("start", self.id, says="/process: is missing")
            self.assertEqual(self.status(), "created")

    def test_missing_root(self):
        del self.config["root"]
        self.refused("/root/path")
        self.config["root"] = {"path": str(self.bundle / "nothing")}
        self.refused("/root/path: ")
        self.config["root"] = {"path": str(self.bundle / "config.json")}
        self.refused("/root/path: ")

    def test_errors_of_the_library_arrive_whole(self):
        self.config["mounts"].append({"destination": "/x", "type": "nosuchfs", "source": "x"})
        self.assertIn(f"/mounts/{len(self.config['mounts']) - 1}", self.refused("nosuchfs"))
        self.config["mounts"][-1] = {"type": "tmpfs"}
        self.assertIn("destination", self.refused(f"/mounts/{len(self.config['mounts']) - 1}"))

    def test_mounts_that_only_the_library_reads(self):
        """minictr passes over them without reading: what is there must not change what it reads before and after."""
        names = ["]}", "[{", 'a"]', "b\\\\", "\t", "mounts"]
        for name in names:
            (self.rootfs / name).mkdir()
        self.config["annotations"] = {"mounts": "[", "x": "mounts"}
        self.config["process"]["env"].append("A=\\")
        self.config["mounts"] += [{"destination": "/" + name, "type": "tmpfs", "source": "mounts"} for name in names]
        whole = json.dumps(self.config)
        self.assertEqual(self.run_ctr("grep -c ^mounts /proc/mounts").strip(), str(len(names)))
        self.config["mounts"] = [m for m in self.config["mounts"] if "\\" not in json.dumps(m)]
        self.assertEqual(self.run_ctr("grep -c ^mounts /proc/mounts").strip(), str(len(names) - 3))
        begin = whole.index('"mounts": [')
        for at in range(begin, begin + 400, 7):
            with self.subTest(at=at, cut=whole[at - 10:at]):
                self.raw(whole[:at], "not JSON")
        for bad in ("[,]", "[{]", "[}", '[{"destination":}]', "[1 2]", "[{}}", '["]', "[tru]", "[\x01]"):
            with self.subTest(mounts=bad):
                self.raw(json.dumps({**self.config, "mounts": []}).replace('"mounts": []', '"mounts": ' + bad), "minictr: /")

    def test_wrong_types(self):
        """Each member that minictr reads, with a value of a type that it cannot have."""
        cases = {
            "/process": [], "/process/args": "sh", "/process/args/0": 1, "/process/env": {}, "/process/env/0": None,
            "/process/cwd": 1, "/process/user": 0, "/process/user/uid": "0", "/process/user/gid": 1.5,
            "/process/user/additionalGids": 5, "/process/user/additionalGids/0": "x", "/process/user/umask": "022",
            "/process/terminal": "yes", "/process/noNewPrivileges": 1, "/process/rlimits": {},
            "/process/rlimits/0": 1, "/process/rlimits/0/soft": -1, "/process/rlimits/0/hard": "x",
            "/process/capabilities": [], "/process/capabilities/bounding": "CAP_KILL",
            "/process/capabilities/ambient/0": 3, "/process/oomScoreAdj": "1", "/process/consoleSize": 1,
            "/process/ioPriority": 1, "/process/apparmorProfile": 1, "/process/selinuxLabel": [],
            "/root": "rootfs", "/root/path": 1, "/hostname": 1, "/domainname": {}, "/mounts": {}, "/hooks": [],
            "/hooks/prestart": {}, "/hooks/poststop/0": "x", "/annotations": [], "/linux": [],
            "/linux/namespaces": {}, "/linux/namespaces/0": "pid", "/linux/namespaces/0/type": 1,
            "/linux/namespaces/0/path": 1, "/linux/uidMappings": {}, "/linux/uidMappings/0": 1,
            "/linux/uidMappings/0/size": "1", "/linux/resources": [], "/linux/cgroupsPath": 1, "/linux/seccomp": [],
            "/linux/timeOffsets": [], "/linux/timeOffsets/monotonic": 1,
        }
        whole = json.dumps(self.config)
        for pointer, value in cases.items():
            with self.subTest(pointer=pointer):
                self.config = json.loads(whole)
                at, keys = self.config, pointer[1:].split("/")
                for key, following in zip(keys, [*keys[1:], None]):
                    new = value if following is None else [] if following == "0" else {}
                    if isinstance(at, list):
                        if not at:
                            at.append(new)
                        if following is None:
                            at[0] = new
                        at = at[0]
                    else:
                        if following is None or not isinstance(at.get(key), (dict, list)):
                            at[key] = new
                        at = at[key]
                error = self.refused("/")
                # JSON null stands for an absent member in an object, not in an array.
                self.assertIn(pointer if value is not None else "/process/env", error)

    def test_wrong_values(self):
        cases = [
            ("/process", {"args": [], "cwd": "/"}, "/process"),
            ("/process", {"args": [""], "cwd": "/"}, "/process"),
            ("/process", {"args": ["sh"]}, "cwd"),
            ("/process", {"args": ["sh"], "cwd": "tmp"}, "cwd"),
            ("/process", {"args": ["a\0b"], "cwd": "/"}, "/process/args/0: contains a NUL"),
            ("/process", {"args": ["sh"], "cwd": "/", "env": ["novalue"]}, "NAME=VALUE"),
            ("/process", {"args": ["sh"], "cwd": "/", "user": {"uid": 4294967295}}, "/process/user/uid"),
            ("/process", {"args": ["sh"], "cwd": "/", "user": {"uid": -1}}, "/process/user/uid"),
            ("/process", {"args": ["sh"], "cwd": "/", "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}, "RLIMIT_X"),
            ("/process", {"args": ["sh"], "cwd": "/", "rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]}, "above"),
            ("/process", {"args": ["sh"], "cwd": "/", "oomScoreAdj": 1001}, "/process/oomScoreAdj"),
            ("/process", {"args": ["sh"], "cwd": "/", "ioPriority": {"class": "X"}}, "/process/ioPriority"),
            ("/hooks", {"poststop": [{"path": "relative"}]}, "/hooks/poststop/0"),
            ("/hooks", {"prestart": [{"path": "/bin/true", "timeout": 0}]}, "/hooks/prestart/0/timeout"),
            ("/linux", {"namespaces": [{"type": "nosuch"}]}, "nosuch"),
            ("/linux", {"namespaces": [{"type": "pid"}, {"type": "pid"}]}, "/linux/namespaces/1"),
            ("/linux", {"namespaces": [{"type": "pid", "path": "proc/1/ns/pid"}]}, "not absolute"),
            ("/linux", {"namespaces": [{"type": "user"}]}, "/linux/uidMappings"),
            ("/linux", {"namespaces": [], "timeOffsets": {"monotonic": {"secs": 1}}}, "time namespace"),
            ("/linux", {"namespaces": [], "cgroupsPath": "system.slice:x:y"}, "/linux/cgroupsPath"),
            ("/linux", {"namespaces": [], "cgroupsPath": "/a/../../b"}, "/linux/cgroupsPath"),
        ]
        whole = json.dumps(self.config)
        for pointer, value, says in cases:
            with self.subTest(value=value):
                self.config = json.loads(whole)
                self.config[pointer[1:]] = value
                if pointer == "/linux":
                    self.config.pop("hostname", None)
                self.refused(says)

    def test_hostname_needs_its_namespace(self):
        self.config["linux"]["namespaces"] = [{"type": "mount"}, {"type": "pid"}]
        self.refused("/hostname: needs a uts namespace")

    def test_unknown_members_are_ignored(self):
        self.config["org.example"] = {"a": 1}
        self.config["process"]["future"] = [1]
        self.config["linux"]["future"] = {}
        self.run_ctr("true")

    def test_terminal_and_console_socket(self):
        self.config["process"]["terminal"] = True
        self.refused("needs --console-socket")
        self.config["process"]["terminal"] = False
        self.write()
        self.fails("create", "--bundle", self.bundle, "--console-socket", "/x", self.id, says="no terminal is asked for")

    def test_missing_program(self):
        for args, says in ((["nosuch"], "executable file not found in $PATH"), (["/no/such"], "No such file"),
                           (["/etc"], "Is a directory"), (["/etc/passwd"], "Permission denied")):
            with self.subTest(args=args):
                self.config["process"]["args"] = args
                self.refused(says)
