"""The table: for a terminal, and as Markdown for docs/performance.md."""

import os
import shutil
import subprocess

from .world import TREE

BEGIN, END = "<!-- made by bench/run --docs: begin -->", "<!-- end -->"


def machine():
    """The machine, as far as it matters to another one's owner."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown CPU")
    return f"{os.cpu_count()} CPUs ({model}), Linux {'.'.join(os.uname().release.split('.')[:2])}"


def load():
    """How busy the machine is: figures from a busy one are worth less."""
    return f"load average {os.getloadavg()[0]:.1f} at the beginning"


def versions():
    found = []
    for name in ("crun", "runc", "bwrap"):
        if shutil.which(name):
            found.append(subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0])
    return ", ".join(found)


def value(row):
    if row.value is None:
        return "-"
    if row.unit or row.value >= 10:
        return f"{row.value:.1f}{row.unit}"
    close = row.below is not None and round(row.value, 2) == row.below  # two digits would not show on which side it is
    return f"{row.value:.3f}" if close else f"{row.value:.2f}"


def target(row):
    if row.below is not None:
        return f"{'at most' if row.below > 2 and row.below < 2.1 else 'below'} {row.below:g}{row.unit}".replace("2.0001", "2")
    return f"above {row.above:g}" if row.above is not None else ""


def text(rows):
    wide = max(len(r.what) for r in rows)
    lines = []
    for r in rows:
        lines.append(f"{r.what:{wide}}  {value(r):>8}  {target(r):12}  {r.verdict:12}  {r.note}".rstrip())
    return "\n".join(lines)


def markdown(rows, when, load):
    lines = [f"Measured on {machine()}; {versions()}; {when}; {load}.", ""]
    lines += ["| what | ratio | must reach | | the figures behind it |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {r.what} | {value(r)} | {target(r)} | {r.verdict} | {r.note} |" for r in rows]
    return "\n".join(lines)


def write_docs(rows, picture, when, load):
    """Puts the table between its marks in docs/performance.md, and the plot beside it."""
    path = TREE / "docs" / "performance.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{markdown(rows, when, load)}\n{END}{after}", encoding="utf-8")
    if picture:
        (TREE / "docs" / "performance.svg").write_text(picture, encoding="utf-8")
