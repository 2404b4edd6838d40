"""What two outcomes of one case have different."""

from facts import differences


def is_mask(facts, name):
    """Whether a mount is what a masked path is covered with: the null device, or an empty file system of the size nothing."""
    def has(field):
        return facts.get(("mount", name, field))
    if has("root") and (has("root") == "/null" or has("root").endswith("/dev/null")):
        return True
    return has("fs type") == "tmpfs" and has("source") == "tmpfs" and (
        (has("super size=4k") and has("super nr_inodes=1")) or has("super size=0k")
        or (has("super ro") and not any(k[:2] == ("mount", name) and k[2].startswith(("super size", "super mode", "super uid")) for k in facts)))


def settle(facts, common):
    """The facts without those that follow from others: who shares a superblock counts among the mounts that both have and that
    are no masks, and the entries of a directory are in the tree."""
    settled = {}
    for (kind, subject, field), value in facts.items():
        if kind == "mount" and field == "superblock" and value.startswith("/"):
            value = " ".join(n for n in value.split() if n in common)
        if kind == "path" and field == "read" and value.endswith(" entries"):
            value = "entries"
        if field == "write" and value == "EMFILE":
            value = "yes"  # but for the message queues of a container before, which the kernel is about to take down
        settled[kind, subject, field] = value
    return settled


def compare(ours, theirs):
    """The differences of two outcomes, as (kind, subject, field, ours, theirs)."""
    if ours.refused and theirs.refused:
        return []
    if ours.refused or theirs.refused:
        return [("run", "", "refused", ours.refused or "no", theirs.refused or "no")]
    names = [[k[1] for k in side.facts if k[0] == "mount" and k[2] == "present"] for side in (ours, theirs)]
    common = {n for n in names[0] if n in names[1] and not is_mask(ours.facts, n) and not is_mask(theirs.facts, n)}
    found = differences(settle(ours.facts, common), settle(theirs.facts, common))
    mine, other = ([n for n in side if n in common] for side in names)
    if mine != other:
        found.append(("mount", "", "order", " ".join(mine), " ".join(other)))
    return found
