"""The plot: wall time of a whole run against the number of extra mounts, one line for each runtime, as SVG."""

import math

from . import runtimes as rt
from . import take
from .world import Case

COUNTS = (1, 10, 100, 1000, 10000)
COLOURS = {rt.MINICTR_NAME: "#0b6e4f", rt.FLOOR: "#777777", rt.CRUN: "#c1440e", rt.RUNC: "#27548a", rt.BWRAP: "#8a4fbe"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 70, 120, 40, 50


def measure(world):
    """{runtime: [(mounts, milliseconds), ...]}"""
    lines = {name: [] for name in rt.ALL}
    for n in COUNTS:
        rounds = 3 if n >= 10000 else 5 if n >= 1000 else 11
        names = [r for r in rt.ALL if not (r == rt.BWRAP and n > 1000)]
        times = take.spawned(1 if n < 10000 else 0, rounds, [rt.command(world, r, Case(cgroup=False, binds=n)) for r in names])
        for name, column in zip(names, times):
            if column:
                lines[name].append((n, take.median(column) / 1e6))
    return lines


def svg(lines, machine):
    values = [ms for points in lines.values() for _, ms in points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def x(n):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(n) / math.log10(COUNTS[-1])

    def y(ms):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(ms) - low) / (high - low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">Wall time of a whole run of /bin/true against the number of bind mounts</text>',
    ]
    for n in COUNTS:
        out.append(f'<line x1="{x(n):.1f}" y1="{TOP}" x2="{x(n):.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{x(n):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n:,}</text>'.replace(",", " "))
    for power in range(low, high + 1):
        at, label = y(10.0**power), f"{10**power:,} ms".replace(",", " ") if power >= 0 else f"{10.0**power:g} ms"
        out.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
    for name, points in lines.items():
        if not points:
            continue
        path = " ".join(f"{x(n):.1f},{y(ms):.1f}" for n, ms in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        out += [f'<circle cx="{x(n):.1f}" cy="{y(ms):.1f}" r="3" fill="{COLOURS[name]}">'
                f"<title>{name}, {n} mounts: {ms:.2f} ms</title></circle>" for n, ms in points]
    for at, name in _labels(lines, y):
        end = lines[name][-1][0]
        out.append(f'<text x="{x(end) + 8:.1f}" y="{at + 4:.1f}" fill="{COLOURS[name]}">{name}</text>')
    out.append(f'<text x="{LEFT}" y="{HEIGHT - 10}" fill="#777777">extra bind mounts; {machine}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _labels(lines, y):
    """Names at the ends of their lines, those that would touch moved apart."""
    ends = sorted((y(points[-1][1]), points[-1][0], name) for name, points in lines.items() if points)
    placed, last = [], {}
    for at, end, name in ends:
        at = max(at, last.get(end, 0) + 14)
        last[end] = at
        placed.append((at, name))
    return placed
