"""Taking times: rounds in which every command runs once, so that what disturbs the machine disturbs all of them."""

import os
import statistics
import subprocess

from .world import OUT

# Part of the rounds that are taken: less than all of them on a slow machine.
share = 1.0


def rounds(count):
    return max(3, round(count * share))


def spawned(warmups, count, commands):
    """Wall times of whole runs, in nanoseconds: one list per command, None for a command that is None."""
    there = [c for c in commands if c]
    args = [str(OUT / "spawn"), "rounds", str(warmups), str(rounds(count))]
    for i, command in enumerate(there):
        args += [":::"] * (i > 0) + command
    lines = _output(args).splitlines()
    columns = iter(list(zip(*([int(n) for n in line.split()] for line in lines))))
    return [next(columns) if c else None for c in commands]


def printed(warmups, count, commands):
    """As spawned, for commands that measure themselves and print their nanoseconds first."""
    columns = [[] if c else None for c in commands]
    for i in range(-warmups, rounds(count)):
        for column, command in zip(columns, commands):
            if command:
                value = int(_output(command).split()[0])
                if i >= 0:
                    column.append(value)
    return columns


def many(count, parallel, command):
    """Nanoseconds of `count` runs, `parallel` at a time."""
    return int(_output([str(OUT / "spawn"), "many", str(count), str(parallel), *command]))


def ratio(ours, theirs):
    """The median of the ratios of pairs."""
    if not ours or not theirs:
        return None
    return statistics.median(a / b for a, b in zip(ours, theirs))


def minus(column, base):
    """What a command took more than its base did in the same round. Kept above zero, which only noise can cross."""
    if not column or not base:
        return None
    return [max(a - b, 1) for a, b in zip(column, base)]


def median(column):
    return statistics.median(column) if column else None


def _output(args):
    # Standard input is a pipe: a host's null device there is more work for a runtime, which puts the container's in its place.
    done = subprocess.run([str(a) for a in args], input="", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, env=dict(os.environ, LC_ALL="C"))
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, args))[:300]}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout
