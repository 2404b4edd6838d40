"""Running one bundle with one runtime, in a mount namespace made for it, so that nothing reaches the machine's own."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

ID = "rootfs-compare"

# The mount table of the namespace that the runtime is started in must be the same when it has ended.
WRAPPER = r"""
set -e
if [ "$1" = cgroup2 ]; then umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; fi
if [ "$2" = shared ]; then mount --make-rshared /; fi
for procs in $3; do echo $$ >"$procs"; done
shift 3
before=$(cat /proc/self/mountinfo)
status=0
"$@" || status=$?
[ "$before" = "$(cat /proc/self/mountinfo)" ] || { echo "the runtime left mounts behind" >&2; status=99; }
exit $status
"""


def command(runtime, needs, bundle, state):
    """The command line that runs the bundle in the foreground."""
    name = Path(runtime).name
    if name == "minictr":
        return [runtime, "run", *(["--no-pivot"] if "no-pivot" in needs else []), "--bundle", str(bundle), ID]
    extra = ["--cgroup-manager=disabled"] if name == "crun" else []
    return [runtime, *extra, "--root", str(state), "run", *(["--no-pivot"] if "no-pivot" in needs else []), "-b", str(bundle), ID]


@contextmanager
def own_cgroups(runtime):
    """A cgroup of the container's own in every hierarchy, where runc makes one: minictr leaves cgroups to its caller. Gives
    the files that the runtime's process is to be written to."""
    if Path(runtime).name != "minictr":
        yield []
        return
    made = []
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point, (fstype, _, data) = line.split()[4], line.split(" - ")[1].split()
        if fstype not in ("cgroup", "cgroup2"):
            continue
        name = next((n for n in own if n and set(n.split(",")) <= set(data.split(","))), "")
        path = Path(point + own.get(name, "/").rstrip("/")) / ID
        path.mkdir(exist_ok=True)
        made.append(path)
        for file in ("cpuset.cpus", "cpuset.mems"):  # empty in a new cgroup, and then no process may enter
            if fstype == "cgroup" and (path / file).exists():
                (path / file).write_text((path.parent / file).read_text())
    try:
        yield [path / "cgroup.procs" for path in made]
    finally:
        for path in made:
            path.rmdir()


def run(runtime, needs, bundle, state):
    """Runs it. Returns the probe's output, or raises RuntimeError with what the runtime said."""
    shutil.rmtree(state, ignore_errors=True)
    with own_cgroups(runtime) as procs:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", WRAPPER, "sh",
             "cgroup2" if "cgroup2" in needs else "-", "shared" if "shared" in needs else "-", " ".join(map(str, procs)),
             *command(runtime, needs, bundle, state)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "LC_ALL": "C"})
    if done.returncode != 0:
        raise RuntimeError(f"status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
