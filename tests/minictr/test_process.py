# SPDX-License-Identifier: Apache-2.0
"""All that `process` asks for, looked at from inside; terminals; seccomp; exit status and signals."""

import array
import ctypes
import fcntl
import os
import platform
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time

from harness import ContainerCase, until


def field(status, name):
    return next(line.split(":", 1)[1].strip() for line in status.splitlines() if line.startswith(name + ":"))


class Process(ContainerCase):
    def test_exit_status(self):
        for script, status in (("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("sh -c 'kill -9 $$'; exit $?", 137)):
            self.run_ctr(script, status)

    def test_killed_by_a_signal(self):
        self.sh("echo ready; sleep 100")
        self.write()
        with subprocess.Popen([self.minictr, "--root", self.root, "run", "--bundle", self.bundle, self.id],
                              stdout=subprocess.PIPE, text=True) as run:
            self.assertEqual(run.stdout.readline(), "ready\n")
            self.ok("kill", self.id, "KILL")
            self.assertEqual(run.wait(), 128 + 9)

    def test_signals_are_forwarded(self):
        self.sh("trap 'echo usr; exit 42' USR1; echo ready; while :; do sleep 0.05; done")
        self.write()
        with subprocess.Popen([self.minictr, "--root", self.root, "run", "--bundle", self.bundle, self.id],
                              stdout=subprocess.PIPE, text=True) as run:
            self.assertEqual(run.stdout.readline(), "ready\n")
            run.send_signal(signal.SIGUSR1)
            self.assertEqual(run.wait(), 42)

    def test_signal_mask_and_dispositions(self):
        self.write()
        self.args("cat", "/proc/self/status")
        self.write()
        def ignore():
            for s in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(s, signal.SIG_IGN)
            # As posix_spawn leaves them; Python, like libc, does not let 32 and 33 be set: the kernel's own struct.
            for s in (32, 33):
                ctypes.CDLL(None).syscall(13 if platform.machine() == "x86_64" else 134, s, struct.pack("4Q", 1, 0, 0, 0), None, 8)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2})
        done = self.ctr("run", "--bundle", self.bundle, self.id, preexec_fn=ignore)
        self.assertEqual([field(done.stdout, n).strip("0") for n in ("SigBlk", "SigIgn")], ["", ""])

    def test_user(self):
        self.config["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [50, 60], "umask": 0o27}
        status = self.run_ctr("cat /proc/self/status; umask")
        self.assertEqual(field(status, "Uid").split(), ["1000"] * 4)
        self.assertEqual(field(status, "Gid").split(), ["1001"] * 4)
        self.assertEqual(field(status, "Groups").split(), ["50", "60"])
        self.assertEqual(status.split()[-1], "0027")

    def test_default_umask(self):
        self.assertEqual(self.run_ctr("umask"), "0022\n")

    def test_capabilities(self):
        kill, chown, net = 1 << 5, 1 << 0, 1 << 10
        self.config["process"]["capabilities"] = {
            "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_NET_BIND_SERVICE"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
            "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}
        self.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        status = self.run_ctr("cat /proc/self/status")
        sets = {n: int(field(status, n), 16) for n in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")}
        # After execve a user other than root has what is ambient.
        self.assertEqual(sets, {"CapBnd": kill | chown | net, "CapPrm": kill, "CapEff": kill, "CapInh": kill, "CapAmb": kill})

    def test_capabilities_of_root(self):
        self.config["process"]["capabilities"] = {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}
        status = self.run_ctr("cat /proc/self/status")
        self.assertEqual({field(status, n) for n in ("CapBnd", "CapPrm", "CapEff")}, {f"{1 << 5:016x}"})
        del self.config["process"]["capabilities"]
        status = self.run_ctr("cat /proc/self/status")
        self.assertEqual({field(status, n) for n in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")}, {"0" * 16})

    def test_capabilities_that_cannot_be_had_are_reported(self):
        self.config["process"]["capabilities"]["permitted"].append("CAP_NO_SUCH")
        self.assertIn("CAP_NO_SUCH", self.warnings())

    def test_rlimits(self):
        self.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                                             {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                                             {"type": "RLIMIT_NPROC", "soft": 3, "hard": 3}]
        limits = self.run_ctr("cat /proc/self/limits")
        self.assertRegex(limits, r"Max open files +100 +200 ")
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        self.assertRegex(limits, r"Max processes +3 +3 ")

    def test_limits_of_the_caller_are_kept(self):
        self.config["process"]["rlimits"] = []
        self.sh("cat /proc/self/limits")
        self.write()
        done = self.ctr("run", "--bundle", self.bundle, self.id,
                        preexec_fn=lambda: __import__("resource").setrlimit(7, (333, 4444)))
        self.assertRegex(done.stdout, r"Max open files +333 +4444 ")

    def test_no_new_privs(self):
        for value in (True, False):
            self.config["process"]["noNewPrivileges"] = value
            self.assertEqual(field(self.run_ctr("cat /proc/self/status"), "NoNewPrivs"), str(int(value)))

    def test_oom_score(self):
        self.config["process"]["oomScoreAdj"] = 321
        self.assertEqual(self.run_ctr("cat /proc/self/oom_score_adj"), "321\n")

    def test_environment_and_directory(self):
        self.config["process"]["env"] = ["A=b c", "PATH=/bin", "EMPTY="]
        self.config["process"]["cwd"] = "/tmp"
        out = self.run_ctr("env; pwd; readlink /proc/self/cwd")
        self.assertEqual(sorted(x for x in out.split("\n") if x and not x.startswith(("SHLVL", "PWD", "OLDPWD"))),
                         ["/tmp", "/tmp", "A=b c", "EMPTY=", "HOME=/", "PATH=/bin"])

    def test_home(self):
        """From the container's /etc/passwd, where the config gives none."""
        for uid, home in ((0, "/"), (1000, "/home"), (4321, "/")):
            self.config["process"]["user"] = {"uid": uid, "gid": 0}
            self.assertEqual(self.run_ctr("echo $HOME"), home + "\n")
        self.config["process"]["env"].append("HOME=/given")
        self.assertEqual(self.run_ctr("echo $HOME"), "/given\n")

    def test_passwd_of_the_image_cannot_hold_us(self):
        rootfs = self.bundle / "rootfs"
        subprocess.run(["cp", "-a", self.rootfs, rootfs], check=True)
        (rootfs / "etc/passwd").unlink()
        os.mkfifo(rootfs / "etc/passwd")
        self.config["root"]["path"] = str(rootfs)
        self.assertEqual(self.run_ctr("echo $HOME"), "/\n")

    def test_path_is_the_containers(self):
        (self.rootfs / "home/hello").write_text("#!/bin/sh\necho found\n")
        (self.rootfs / "home/hello").chmod(0o755)
        self.config["process"]["env"] = ["PATH=/nowhere:/home"]
        self.args("hello")
        self.assertEqual(self.run_ctr(), "found\n")

    def test_io_priority(self):
        self.config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 7}
        with self.running() as state:
            got = subprocess.run(["ionice", "-p", str(state["pid"])], capture_output=True, text=True, check=True).stdout
        self.assertEqual(got.strip(), "idle")

    def test_labels_need_their_module(self):
        for key, module, there in (("apparmorProfile", "AppArmor", "/sys/kernel/security/apparmor"),
                                   ("selinuxLabel", "SELinux", "/sys/fs/selinux/enforce")):
            if os.path.exists(there):
                self.skipTest(f"{module} is on here")
            self.config["process"][key] = "some_label"
            self.refused(f"/process/{key}")
            self.config["process"][key] = ""
            self.run_ctr("true")
        self.config["process"]["apparmorProfile"] = "unconfined"
        self.run_ctr("true")

    def test_what_is_not_done_is_reported(self):
        self.config["process"]["scheduler"] = {"policy": "SCHED_BATCH"}
        self.assertIn("/process/scheduler: not applied", self.warnings())

    def test_stdio_of_another_user(self):
        self.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        self.assertEqual(self.run_ctr("echo x > /dev/stdout"), "x\n")

    def test_session(self):
        self.assertEqual(self.run_ctr("cut -d' ' -f5,6 /proc/1/stat"), "1 1\n")


class Seccomp(ContainerCase):
    def profile(self, action="SCMP_ACT_ERRNO", default="SCMP_ACT_ALLOW", **more):
        self.config["linux"]["seccomp"] = {
            "defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [{"names": ["mkdir", "mkdirat", "no_such_call"], "action": action, **more}]}

    def test_errno(self):
        self.config["root"]["readonly"] = False
        for no_new_privs in (True, False):
            self.config["process"]["noNewPrivileges"] = no_new_privs
            self.profile(errnoRet=95)
            self.assertIn("Operation not supported", self.run_ctr("mkdir /tmp/x 2>&1 || true"))
            self.profile()
            self.assertIn("not permitted", self.run_ctr("mkdir /tmp/x 2>&1; cat /proc/self/status"))

    def test_kill(self):
        self.profile("SCMP_ACT_KILL_PROCESS")
        self.assertIn("31", self.run_ctr("mkdir /tmp/x & wait $!; echo $(($? - 128))"))

    def test_arguments(self):
        # personality(0xffffffff) asks, others set.
        self.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
             "args": [{"index": 0, "value": 0o77, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 0o70, "op": "SCMP_CMP_EQ"}]}]}
        self.assertEqual(self.run_ctr("umask 0007; umask; umask 0077; umask; umask 0070; umask").split(), ["0007"] * 3)

    def test_exec_has_it_too(self):
        self.profile(errnoRet=95)
        with self.running():
            done = self.ctr("exec", self.id, "mkdir", "/tmp/x")
            self.assertIn("Operation not supported", done.stderr)

    def test_refused(self):
        self.profile("SCMP_ACT_NOTIFY")
        self.refused("SCMP_ACT_NOTIFY")
        self.profile("SCMP_ACT_WHAT")
        self.refused("/linux/seccomp/syscalls/0: action: unknown action")
        self.profile()
        self.config["linux"]["seccomp"]["listenerPath"] = "/run/x"
        self.refused("/linux/seccomp/listenerPath")
        self.profile()
        self.config["linux"]["seccomp"]["architectures"] = ["SCMP_ARCH_Z80"]
        self.refused("SCMP_ARCH_Z80")
        self.profile(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])
        self.refused("/linux/seccomp/syscalls/0/args/0/index")
        self.profile()
        self.config["linux"]["seccomp"]["flags"] = ["SECCOMP_FILTER_FLAG_NEW"]
        self.refused("SECCOMP_FILTER_FLAG_NEW")


def receive_terminal(listener):
    connection, _ = listener.accept()
    with connection:
        text, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
        (_, _, data), = ancillary
        return text, array.array("i", data)[0]


class Terminal(ContainerCase):
    def setUp(self):
        super().setUp()
        self.socket = str(self.bundle / "tty.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket)
        self.listener.listen()
        self.listener.settimeout(20)
        self.addCleanup(self.listener.close)

    def read(self, master, end):
        got = b""
        while end not in got:
            ready, _, _ = select.select([master], [], [], 20)
            self.assertTrue(ready, got)
            got += os.read(master, 4096)
        return got.decode()

    def test_console_socket(self):
        self.config["process"].update(terminal=True, consoleSize={"height": 33, "width": 77})
        with self.created("tty; stty size; ls -ln /dev/console; [ -t 0 ] && [ -t 2 ] && echo end; sleep 100; exit 5",
                          "--console-socket", self.socket):
            text, master = receive_terminal(self.listener)
            self.assertTrue(text)
            self.ok("start", self.id)
            got = self.read(master, b"end")
            self.assertIn("/dev/pts/0", got)
            self.assertIn("33 77", got)
            self.assertRegex(got, r"crw--w---- .*136, +0")
            os.write(master, b"\x03")  # the controlling terminal: an interrupt reaches the shell's job
            until(lambda: self.status() == "stopped")
            os.close(master)

    def test_exec(self):
        with self.running():
            process = self.bundle / "process.json"
            process.write_text('{"args":["sh","-c","tty; stty size; echo end; exec cat"],"cwd":"/","terminal":true,'
                               '"env":["PATH=/bin"],"consoleSize":{"height":5,"width":6}}')
            self.ok("exec", "--process", process, "--detach", "--console-socket", self.socket, "--pid-file",
                    self.bundle / "pid", self.id)
            _, master = receive_terminal(self.listener)
            got = self.read(master, b"end")
            self.assertIn("/dev/pts/0", got)
            self.assertIn("5 6", got)
            pid = int((self.bundle / "pid").read_text())
            os.close(master)  # hangs up
            # We are its reaper, and the end of the pid namespace waits for all of its processes to be reaped.
            self.assertEqual(until(lambda: os.waitpid(pid, os.WNOHANG)[0]), pid)

    def foreground(self, *command):
        """The command with a terminal of ours: its exit status and what it showed."""
        pid, master = pty.fork()
        if pid == 0:
            os.execv(command[0], [str(c) for c in command])
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 55, 0, 0))
        return pid, master

    def test_relay(self):
        self.config["process"]["terminal"] = True
        self.sh("echo ready; read x; echo got $x; stty size; exit 6")
        self.write()
        pid, master = self.foreground(self.minictr, "--root", self.root, "run", "--bundle", self.bundle, self.id)
        self.read(master, b"ready")
        os.write(master, b"word\n")
        got = self.read(master, b"44 55")
        self.assertIn("got word", got)
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 6)
        os.close(master)

    def test_relay_without_a_terminal(self):
        self.config["process"]["terminal"] = True
        self.sh("read x; echo got $x; cat; echo end")
        self.write()
        done = self.ctr("run", "--bundle", self.bundle, self.id, stdin=None, input="word\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("got word\n", done.stdout)
        self.assertIn("end", done.stdout)

    def test_much_output(self):
        self.config["process"]["terminal"] = True
        self.args("seq", "20000")
        self.write()
        start = time.monotonic()
        done = self.ctr("run", "--bundle", self.bundle, self.id)
        self.assertEqual(done.stdout.split(), [str(i) for i in range(1, 20001)])
        self.assertLess(time.monotonic() - start, 20)
