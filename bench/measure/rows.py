"""The rows of the table. Each function measures one subject and gives its rows."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import tempfile

from . import runtimes as rt
from . import take
from .world import LIB, OUT, Case


@dataclasses.dataclass
class Row:
    what: str
    value: float | None  # None: not measured
    below: float | None = None  # the target: value must be below this,
    above: float | None = None  # or above
    unit: str = ""
    note: str = ""

    @property
    def verdict(self):
        if self.value is None:
            return "not measured"
        if self.below is None and self.above is None:
            return ""
        good = self.value < self.below if self.below is not None else self.value > self.above
        return "pass" if good else "short"


def micros(column):
    value = take.median(column)
    return "?" if value is None else f"{value / 1000:.0f} µs"


def whole_run(world):
    names = [rt.MINICTR_NAME, rt.FLOOR, rt.CRUN, rt.RUNC, rt.BWRAP]
    times = dict(zip(names, take.spawned(3, 250, [rt.command(world, n, Case()) for n in names])))
    ours = times[rt.MINICTR_NAME]
    note = ", ".join(f"{n} {micros(times[n])}" for n in names)
    bare = Case(cgroup=False)
    pair = take.spawned(3, 100, [rt.command(world, n, bare) for n in (rt.MINICTR_NAME, rt.CRUN)])
    return [
        Row("whole run of the default bundle: minictr / crun", take.ratio(ours, times[rt.CRUN]), below=0.5, note=note),
        Row("the same without the cgroup mount: minictr / crun", take.ratio(*pair), note=f"{micros(pair[0])}, {micros(pair[1])}"),
        Row("whole run: minictr / bubblewrap", take.ratio(ours, times[rt.BWRAP]), below=0.9),
        Row("whole run: minictr / runc", take.ratio(ours, times[rt.RUNC]), below=0.15),
        Row("whole run: minictr / floor", take.ratio(ours, times[rt.FLOOR]), below=2.0),
    ]


# umount2(2) waits for a thread of the kernel's, for 20 us where that last ran on this CPU, and for up to 100 where it has to be woken on
# another. With two CPUs that is chance, and not the same one for a child of fork(2) and for the floor's, which shares its parent's memory.
ONE_CPU = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]


def mount_part(world):
    bundle = world.bundle(Case())
    ours = [[*ONE_CPU, world.prepare, mode, bundle] if world.prepare else None for mode in ("warm", "forked", "cold")]
    warm, forked, cold, floor = take.printed(3, 120, [*ours, [*ONE_CPU, *rt.floor(world, Case(), "time")]])
    note = f"{micros(warm)}, floor {micros(floor)}; with the engine's start {micros(cold)}"
    return [
        Row("prepare + finalize, engine warm: ours / floor's mount part", take.ratio(warm, floor), below=1.5, note=note),
        Row("the same in a child of a parent that called rootfs_start", take.ratio(forked, floor), note=micros(forked)),
    ]


def engine_start(world):
    bundle = world.bundle(Case())
    micro = 3000
    ours = [[world.prepare, *mode] if world.prepare else None
            for mode in (("first", bundle), ("early", bundle, micro), ("late", bundle, micro))]
    first, early, late, empty = take.printed(3, 60, [*ours, [OUT / "firstcall", 1, world.empty, "Empty"]])
    return [
        Row("engine start: first call / an empty Go library's first call", take.ratio(first, empty), below=1.15,
            note=f"{micros(first)}, {micros(empty)}"),
        Row("what is left of the start after 3 ms of the host's own work: rootfs_start early, on a thread / late", take.ratio(early, late),
            note=f"{micros(early)}, {micros(late)}"),
    ]


# What an extra mount costs is measured without the cgroup mount: a new cgroup2 waits for an RCU grace period of up to 15 ms in
# one run and not in the next, which would drown what is looked for.
def slopes(world):
    cases = [Case(cgroup=False), Case(cgroup=False, binds=1000), Case(cgroup=False, binds=1000, readonly=True)]
    names = [rt.MINICTR_NAME, rt.FLOOR, rt.CRUN]
    times = take.spawned(2, 48, [rt.command(world, n, c) for c in cases for n in names])
    rows = []
    for kind, offset in (("plain", 3), ("rbind,rprivate,ro", 6)):
        slope = [take.minus(times[offset + i], times[i]) for i in range(3)]
        each = ", ".join(f"{n} {take.median(s) / 1e6:.1f} µs" for n, s in zip(names, slope) if s)
        rows.append(Row(f"each extra bind, {kind} (0 to 1 000): ours / floor", take.ratio(slope[0], slope[1]), below=1.5, note=each))
        rows.append(Row(f"each extra bind, {kind} (0 to 1 000): ours / crun", take.ratio(slope[0], slope[2]), below=0.7))
    return rows


def linear(world):
    cases = [Case(cgroup=False, binds=b) for b in (0, 1000, 10000)]
    times = take.spawned(1, 7, [rt.command(world, n, c) for n in (rt.MINICTR_NAME, rt.FLOOR) for c in cases])

    def growth(zero, thousand, all_):
        if not zero:
            return None
        return take.ratio([t / 10 for t in take.minus(all_, zero)], take.minus(thousand, zero))

    theirs = growth(*times[3:])
    return [Row("cost per bind, 10 000 against 1 000", growth(*times[:3]), below=1.2, note=f"the floor's: {theirs:.2f}")]


@contextlib.contextmanager
def host(mounts):
    """A mount namespace with so many mounts more, and the words that run a command in it."""
    with tempfile.TemporaryDirectory(dir=OUT) as where:
        script = f'mount -t tmpfs many "{where}" && "{OUT}/floor" mounts {mounts} "{where}" && echo ready && exec cat'
        keeper = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            if keeper.stdout.readline() != b"ready\n":
                raise RuntimeError("a host with many mounts could not be made")
            yield ["nsenter", f"--mount=/proc/{keeper.pid}/ns/mnt"]
        finally:
            keeper.stdin.close()
            keeper.wait()


def big_host(world):
    bundle = world.bundle(Case())
    # The start of the engine and the copy of the mount table are not in it: both programs time themselves, in the child.
    with host(20) as small, host(20000) as big:
        def on_both(*command):
            return [[*ONE_CPU, *enter, *command] if command[0] else None for enter in (small, big)]

        floors = on_both(*rt.floor(world, Case(), "time"))
        commands = [*on_both(world.prepare, "warm", bundle), *on_both(world.prepare, "parts", bundle), *floors]
        ours20, ours20000, parts20, parts20000, floor20, floor20000 = take.printed(1, 12, commands)
        lent20, lent20000 = take.printed(2, 40, on_both(world.prepare, "lent", bundle, world.rootfs))
    theirs = take.ratio(floor20000, floor20)
    note = f"the floor's: {theirs:.1f}; {micros(ours20)}, {micros(ours20000)}; floor {micros(floor20)}, {micros(floor20000)}"
    return [
        Row("prepare + finalize, a host with 20 000 mounts against 20", take.ratio(ours20000, ours20), below=1.1, note=note),
        Row("the same with 20 000: ours / floor", take.ratio(ours20000, floor20000)),
        Row("20 000 against 20, all steps but the two in which the kernel walks its mounts", take.ratio(parts20000, parts20),
            note=f"{micros(parts20)}, {micros(parts20000)}"),
        Row("20 000 against 20, the namespace cloned from one with few mounts, the root lent; with the clone", take.ratio(lent20000, lent20),
            below=1.1, note=f"{micros(lent20)}, {micros(lent20000)}"),
    ]


def masks(world):
    cases = [Case(cgroup=False), *(Case(cgroup=False, masks=500, mask_kind=kind) for kind in ("dirs", "files"))]
    names = [rt.MINICTR_NAME, rt.CRUN, rt.FLOOR]
    times = take.spawned(2, 48, [rt.command(world, n, c) for c in cases for n in names])
    rows = []
    for kind, offset in (("directory", 3), ("file", 6)):
        each = [take.minus(times[offset + i], times[i]) for i in range(3)]
        note = ", ".join(f"{n} {take.median(e) / 5e5:.1f} µs" for n, e in zip(names, each) if e)
        rows.append(Row(f"each masked {kind} (of 500): ours / crun", take.ratio(each[0], each[1]), below=0.8, note=note))
    return rows


def memory(world):
    peak = None
    if world.prepare:
        out = subprocess.run([world.prepare, "cold", world.bundle(Case())], check=True, capture_output=True, text=True).stdout
        peak = int(out.split()[1]) / 1024
    engine = LIB / "librootfs" / "librootfs-engine.so"
    size = engine.stat().st_size / 1e6 if engine.exists() else None
    return [
        Row("peak resident set of the init child at exec", peak, below=12, unit=" MB"),
        Row("the engine's file", size, below=4, unit=" MB"),
    ]


def marked_calls(args):
    """System calls between the marks, on the thread that makes the marks."""
    with tempfile.NamedTemporaryFile(dir=OUT) as log:
        subprocess.run(["strace", "-f", "-qq", "-o", log.name, *map(str, args)], check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, BENCH_MARK="1"))
        thread, count = None, 0
        for line in pathlib.Path(log.name).read_text(encoding="utf-8", errors="replace").splitlines():
            tid, _, call = line.partition(" ")
            call = call.lstrip()
            if re.match(r'write\(-1, "(begin|end)"', call):
                thread = tid if '"begin"' in call else None
            elif tid == thread and not call.startswith(("<...", "---", "+++")):
                count += 1
        return count


def system_calls(world):
    floor = marked_calls(rt.floor(world, Case(), "time"))
    ours = marked_calls([world.prepare, "warm", world.bundle(Case())]) if world.prepare else None
    return [Row("system calls of prepare + finalize: ours / floor", ours / floor if ours else None, below=2.0001,
                note=f"{ours}, floor {floor}")]


def throughput(world):
    commands = [rt.command(world, n, Case()) for n in (rt.MINICTR_NAME, rt.CRUN, rt.FLOOR)]
    times = [[], [], []]
    for _ in range(3):
        for column, command in zip(times, commands):
            if command:
                column.append(take.many(200, 8, command))
    note = ", ".join(f"{n} {200e9 / take.median(c):.0f}/s" for n, c in zip((rt.MINICTR_NAME, rt.CRUN, rt.FLOOR), times) if c)
    return [Row("200 containers, 8 at a time: containers per second, ours / crun", take.ratio(times[1], times[0]), above=1.5, note=note)]


ALL = (whole_run, mount_part, engine_start, slopes, linear, big_host, masks, memory, system_calls, throughput)
