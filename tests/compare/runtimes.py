"""Running one bundle with one runtime, in a mount namespace made for it, so that nothing reaches the machine's own."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

ID = "rootfs-compare"

# The mount table of the namespace that the runtime is started in must be the same when it has ended.
WRAPPER = r"""
set -e
if [ "$1" = cgroup2 ]; then umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; fi
if [ "$2" = shared ]; then mount --make-rshared /; fi
shift 2
before=$(cat /proc/self/mountinfo)
status=0
"$@" || status=$?
[ "$before" = "$(cat /proc/self/mountinfo)" ] || { echo "the runtime left mounts behind" >&2; status=99; }
exit $status
"""


def command(runtime, needs, bundle, state):
    """The command line that runs the bundle in the foreground."""
    extra = ["--cgroup-manager=disabled"] if Path(runtime).name == "crun" else []
    pivot = ["--no-pivot"] if "no-pivot" in needs else []
    return [runtime, *extra, "--root", str(state), "run", *pivot, "--bundle", str(bundle), ID]


def run(runtime, needs, bundle, state):
    """Runs it. Returns the probe's output, or raises RuntimeError with what the runtime said."""
    shutil.rmtree(state, ignore_errors=True)
    argv = command(runtime, needs, bundle, state)
    silent = None
    if "tty" in needs:
        argv = ["script", "--quiet", "--return", "--command", shlex.join(argv), "/dev/null"]
        # At the end of its input script(1) types ^D, which the terminal echoes among the output: input that never ends.
        silent = os.pipe()
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", WRAPPER, "sh",
             "cgroup2" if "cgroup2" in needs else "-", "shared" if "shared" in needs else "-", *argv],
            stdin=silent[0] if silent else subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "LC_ALL": "C"})
    finally:
        for fd in silent or ():
            os.close(fd)
    if done.returncode != 0:
        raise RuntimeError(f"status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.replace("\r\n", "\n")
