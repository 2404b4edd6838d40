"""What the probe printed, as facts that two runtimes can be compared by: (kind, subject, field) -> value.

Numbers that the kernel hands out anew (mount IDs, peer groups, anonymous device numbers) are replaced by what they mean:
the parent's mount point, "shared", the mounts that share one superblock.
"""

import stat
from collections import Counter, defaultdict


def unescape(field):
    return field.encode().decode("unicode_escape")


def parse(text):
    facts, mounts = {}, []
    for line in text.splitlines():
        kind, *fields = line.split("\t")
        if kind == "mount":
            mounts.append(fields[0].split(" "))
        elif kind in ("node", "path"):
            names = ("type", "device", "mode", "owner", "link", "read", "write") if len(fields) > 2 else ("lookup",)
            facts.update({(kind, fields[0], name): value for name, value in zip(names, fields[1:])})
        elif kind in ("cwd", "umask", "unlisted"):
            facts[kind, fields[0] if kind == "unlisted" else "", kind] = fields[-1]
        elif kind == "stdio":
            facts.update({("stdio", fields[0], "device"): fields[1], ("stdio", fields[0], "origin"): fields[2]})
    facts.update(mount_facts(mounts))
    return facts


def mount_facts(mounts):
    # Mounts that lie on the same point are told apart by how much lies below them, then by their order: "/dev", "/dev#2".
    seen, names, by_device = Counter(), {}, defaultdict(list)
    parents = {fields[0]: fields[1] for fields in mounts}

    def depth(fields):
        at, n = fields[0], 0
        while at in parents and parents[at] != at:
            at, n = parents[at], n + 1
        return n

    for fields in sorted(mounts, key=depth):
        point = unescape(fields[4])
        seen[point] += 1
        names[fields[0]] = point if seen[point] == 1 else f"{point}#{seen[point]}"
        by_device[fields[2]].append(names[fields[0]])
    facts = {}
    for fields in mounts:
        name, dash = names[fields[0]], fields.index("-")
        optional, fstype, source = fields[6:dash], fields[dash + 1], unescape(fields[dash + 2])
        values = {
            "parent": names.get(fields[1], "outside"),
            "root": unescape(fields[3]),
            "fs type": fstype,
            "source": source,
            # A real disk keeps its number; of the others only who shares with whom is a fact.
            "superblock": fields[2] if not fields[2].startswith("0:") else " ".join(sorted(by_device[fields[2]])),
            "propagation": " ".join(sorted(x.split(":")[0] for x in optional)) or "private",
        }
        values.update({f"option {o}": "set" for o in fields[5].split(",")})
        values.update({f"super {o}": "set" for o in unescape(fields[dash + 3]).split(",")})
        facts.update({("mount", name, field): value for field, value in values.items()})
        facts["mount", name, "present"] = "yes"
    return facts


def image_facts(rootfs):
    """What is in the image after the run: mount points and device nodes that the set-up made there."""
    facts = {}
    for path in sorted(rootfs.rglob("*")):
        st = path.lstat()
        facts["image", f"/{path.relative_to(rootfs)}", "node"] = f"{stat.filemode(st.st_mode)} {st.st_uid}:{st.st_gid} {st.st_rdev}"
    return facts


def differences(ours, theirs):
    """(kind, subject, field, our value, their value), "-" where one has none. A thing that only one side has is one
    difference, not one for each of its fields."""
    found, only = [], set()
    for kind, subject in dict.fromkeys(key[:2] for key in [*ours, *theirs]):
        sides = [any(k[:2] == (kind, subject) for k in side) for side in (ours, theirs)]
        if not all(sides):
            only.add((kind, subject))
            found.append((kind, subject, "present", *("yes" if side else "-" for side in sides)))
    for key in sorted({*ours, *theirs}):
        if key[:2] not in only and ours.get(key) != theirs.get(key):
            found.append((*key, ours.get(key, "-"), theirs.get(key, "-")))
    return found
