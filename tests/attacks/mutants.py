"""The library with one defence removed, as source patches: against each, the attack that the defence stops must win.

A mutant is never built into the product. tests/attacks/run copies the Go module to a temporary directory, applies the
patch there, and runs the rows of the table that are named. A patch that no longer fits its file is a failed test: the code
has moved on, and the list must follow.
"""

from typing import NamedTuple

BOTH = ("new-api", "fall-back")


class Mutant(NamedTuple):
    name: str            # the defence that is missing
    rows: tuple          # ids of the attacks that must win
    patches: tuple       # (file below rootfs/internal, text, text instead)
    paths: tuple = BOTH  # of the two code paths, those on which the defence is at work


MUTANTS = [
    Mutant("paths are resolved below the root", ("CVE-2015-3627", "CVE-2026-87766", "CVE-2026-41579", "CVE-2026-47766", "CVE-2026-41579-race", "CVE-2015-1335"), (
        ("inroot/inroot.go", "resolve := uint64(unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS)",
         'resolve := uint64(0)\n\tpath = "./" + path'),
        ("inroot/inroot.go", "if links == Plain {\n\t\tresolve", "if false {\n\t\tresolve"),
    ), ("new-api",)),
    Mutant("the fall-back resolves paths below the root",
           ("CVE-2026-41579", "CVE-2026-47766", "CVE-2026-41579-race", "CVE-2026-87766", "CVE-2015-1335", "CVE-2025-24965",
            "CVE-2025-24965-race", "crun-2262"), (
        ("inroot/inroot.go", "fd, err := r.walk(path, flags, links)", 'fd, err := linux.Openat(r.FD, "./"+path, flags, 0)'),
    ), ("fall-back",)),
    Mutant("a mount is attached to the descriptor that was resolved",
           ("CVE-2021-30465", "CVE-2026-41568", "CVE-2026-42306"), (
        ("linux/calls.go", 'return result(unix.Syscall6(unix.SYS_MOVE_MOUNT, uintptr(tree), uintptr(unsafe.Pointer(&empty)), uintptr(target),\n'
         '\t\t\tuintptr(unsafe.Pointer(&empty)), unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH, 0))',
         'buf := make([]byte, 4096)\n\t\tn, _ := unix.Readlink(ProcFD(target), buf)\n\t\t'
         'return unix.MoveMount(tree, "", unix.AT_FDCWD, string(buf[:n]), unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)'),
    ), ("new-api",)),
    Mutant("the fall-back mounts on the descriptor that was resolved", ("CVE-2021-30465", "CVE-2026-41568", "CVE-2026-42306"), (
        ("tree/legacy.go", "\t\t\tpaths[i] = strconv.Itoa(fd)\n",
         "\t\t\tbuf := make([]byte, 4096)\n\t\t\tn, _ := unix.Readlink(\"/proc/thread-self/fd/\"+strconv.Itoa(fd), buf)\n"
         "\t\t\tpaths[i] = string(buf[:n])\n"),
    ), ("fall-back",)),
    Mutant("the fall-back tells a new mount from those before", ("moby-second-look",), (
        ("tree/legacy.go", "if known || !same {", "if known && !same {"),
    ), ("fall-back",)),
    Mutant("a missing target is made below the descriptor of its parent", ("CVE-2024-45310",), (
        ("linux/calls.go", "return unix.Mkdirat(dirfd, path, mode)",
         'buf := make([]byte, 4096)\n\t\tn, _ := unix.Readlink(ProcFD(dirfd), buf)\n\t\t'
         'return unix.Mkdir(string(buf[:n])+"/"+path, mode)'),
    )),
    Mutant("what is missing of a dangling link's target is made below the root", ("CVE-2015-3627", "CVE-2026-41579"), (
        ("inroot/make.go", 'if name == ".." {', 'if false {'),
    )),
    Mutant("proc and sysfs go only on ordinary directories",
           ("CVE-2019-19921", "CVE-2023-27561", "CVE-2023-28642", "CVE-2025-54867", "CVE-2019-19921-race"), (
        ("apply/mount.go", "case errs.Is(err, unix.ELOOP) && !m.PlainTarget:", "case errors.Is(err, unix.ELOOP):"),
    )),
    Mutant("only a procfs covers /proc, and only known files below it are covered", ("CVE-2015-3631", "CVE-2019-16884"), (
        ("apply/proc.go", 'case t.resolved == "/proc" && !isProc:', "case false:"),
        ("apply/proc.go", 'case strings.HasPrefix(t.resolved, "/proc/") && !coverable(t.resolved[len("/proc/"):]):',
         'case strings.HasPrefix(t.resolved, "//"):'),
    )),
    Mutant("the target of a mount is judged with its links undone", ("CVE-2019-16884",), (
        ("apply/mount.go", "if links == inroot.Follow {\n\t\tif resolved, err", "if false {\n\t\tif resolved, err"),
    )),
    Mutant("sysctls are written through a procfs of the library's own", ("CVE-2025-52881", "CVE-2025-52881-race", "CVE-2025-62596"), (
        ("procfs/procfs.go", "fd, err := open(file, unix.O_WRONLY)",
         'fd, err := linux.Openat(unix.AT_FDCWD, "/proc/"+file, unix.O_WRONLY, 0)'),
    )),
    Mutant("a node is a device of the right type and number",
           ("CVE-2025-31133", "CVE-2026-88265"), (
        ("apply/device.go", "if st.Mode&unix.S_IFMT != formatOf[kind] {\n\t\treturn false\n\t}\n\treturn kind == 'p' || ",
         "return true || "),
    )),
    Mutant("a node that is swapped later is verified too", ("CVE-2025-31133-race",), (
        ("apply/device.go", "if st.Mode&unix.S_IFMT != formatOf[kind] {\n\t\treturn false\n\t}\n\treturn kind == 'p' || ",
         "return true || "),
    ), ("new-api",)),
    Mutant("what is adjusted is known to be the node", ("CVE-2025-31133-race",), (
        ("apply/device.go", "if st.Mode&unix.S_IFMT != formatOf[kind] {\n\t\treturn false\n\t}\n\treturn kind == 'p' || ",
         "return true || "),
        ("apply/device.go", "fd, err := linux.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)\n\tif err != nil {\n\t\treturn err",
         "fd, err := linux.Openat(dir, name, unix.O_PATH, 0)\n\tif err != nil {\n\t\treturn err"),
        ("apply/device.go", "if !made {", "if false {"),
    ), ("fall-back",)),
    Mutant("the type of a device is compared, not just its number", ("CVE-2025-31133",), (
        ("apply/device.go", "if st.Mode&unix.S_IFMT != formatOf[kind] {", "if false {"),
    )),
    Mutant("standard streams other than the null device are left alone", ("reOpenDevNull",), (
        ("apply/switchroot.go", "if !isDevice(&st, 'c', 1, 3) {\n\t\t\tcontinue", "if st.Mode == 1 {\n\t\t\tcontinue"),
    )),
    Mutant("the very device that was looked at is opened", ("opened-device",), (
        ("apply/switchroot.go", "fd, err = linux.Open(linux.ProcFD(path), unix.O_RDWR)",
         'fd, err = x.root.Open("/dev/null", unix.O_RDWR|unix.O_NOFOLLOW, inroot.Follow)'),
        ("console/console.go", "fd, err := procfs.Reopen(path, unix.O_RDWR|unix.O_NOCTTY)",
         "fd, err := root.Open(multiplexer, unix.O_RDWR|unix.O_NOCTTY|unix.O_NOFOLLOW, inroot.Plain)"),
    )),
    Mutant("a mask without its source is an error", ("CVE-2025-62161",), (
        ("apply/finalize.go", "fd, err := x.openNull()\n\t\tif err != nil {\n\t\t\treturn err",
         "fd, err := x.openNull()\n\t\tif err != nil {\n\t\t\treturn nil"),
    )),
    Mutant("a console is made after the switch, and never through a link", ("CVE-2015-3629", "CVE-2026-88264", "CVE-2025-52565"), (
        ("apply/apply.go", "case *plan.SwitchRoot:\n", "case *plan.SwitchRoot:\n\t\tif err := x.early(); err != nil {\n\t\t\treturn err\n\t\t}\n"),
        ("apply/console.go", "// Console opens", "func (x *Executor) early() error {\n"
         "\tdir, err := x.root.Parent(\"/dev/console\", inroot.Follow)\n\tif err != nil {\n\t\treturn err\n\t}\n"
         "\tdefer linux.Close(dir)\n\tfd, err := linux.Openat(dir, \"console\", 0o1102, 0o600) // O_RDWR|O_CREAT|O_TRUNC\n"
         "\tlinux.Close(fd)\n\treturn err\n}\n\n// Console opens"),
    )),
    Mutant("the working directory is entered by descriptor", ("CVE-2024-21626",), (
        ("apply/switchroot.go", "fd, _, err := x.root.Dir(s.Path, inroot.Follow)",
         "_ = unix.Mkdir(s.Path, 0o755)\n\tif unix.Chdir(s.Path) == nil {\n\t\treturn nil\n\t}\n\tfd, _, err := x.root.Dir(s.Path, inroot.Follow)"),
    )),
    Mutant("one descriptor is a read-only path's source and target", ("GHSA-3q8j-pf29-vwv8",), (
        ("apply/finalize.go", "return aimed(t.Attach(fd, again), t, fd, s.Path)\n}\n\n// absent",
         "fd2, err := again()\n\tif err != nil {\n\t\treturn nil\n\t}\n\tdefer linux.Close(fd2)\n"
         "\treturn aimed(t.Attach(fd2, again), t, fd2, s.Path)\n}\n\n// absent"),
    )),
    Mutant("a read-only path is read-only before it is attached", ("GHSA-3q8j-pf29-vwv8",), (
        ("apply/finalize.go", "if err := t.Change(tree.Attr{Set: unix.MOUNT_ATTR_RDONLY}); err != nil {", "if err != nil {"),
        ("apply/finalize.go", "return aimed(t.Attach(fd, again), t, fd, s.Path)\n}\n\n// absent",
         "if err := t.Attach(fd, again); err != nil {\n\t\treturn err\n\t}\n\tfd2, err := again()\n\tif err != nil {\n\t\treturn nil\n\t}\n"
         "\tdefer linux.Close(fd2)\n\t_ = tree.At(fd2, s.Path).Change(tree.Attr{Set: unix.MOUNT_ATTR_RDONLY})\n\treturn nil\n}\n\n// absent"),
    ), ("new-api",)),
    Mutant("mounts do not propagate to the host", ("propagation", "getParentMount"), (
        ("apply/root.go", 'if err := linux.Mount("", "/", "", s.HostPropagation, ""); err != nil {', "if err != nil {"),
        ("apply/root.go", "if !x.cut {", "if false {"),
        # Only now, when it is too late: pivot_root(2) itself refuses shared mounts.
        ("apply/switchroot.go", 'if err := linux.PivotRoot(".", "."); err != nil {',
         'if err := linux.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {\n\t\treturn err\n\t}\n'
         '\tif err := linux.PivotRoot(".", "."); err != nil {'),
    )),
    # Either of the two defences holds alone: what does not propagate ends with the namespace, what is undone is undone everywhere.
    Mutant("mounts do not propagate to the host, and those of a failed Prepare are undone", ("leftover",), (
        ("apply/root.go", 'if err := linux.Mount("", "/", "", s.HostPropagation, ""); err != nil {', "if err != nil {"),
        ("apply/root.go", "if !x.cut {", "if false {"),
        ("apply/apply.go", "if err != nil && x.attached && !x.switched {", "if false {"),
    )),
    Mutant("a path is inside the root by components, not by prefix", ("msMoveRoot",), (
        ("apply/hide.go", 'strings.HasPrefix(m.Mountpoint, root+"/")', "strings.HasPrefix(m.Mountpoint, root)"),
    )),
    Mutant("each mount has its own source descriptor", ("runc-3511",), (
        ("apply/mount.go", "fd, lent := x.host.Sources[m.Index]",
         "fd, lent := x.host.Sources[m.Index]\n\tif !lent {\n\t\tfor _, last := range x.host.Sources {\n\t\t\tfd, lent = last, true\n\t\t}\n\t}"),
    )),
    Mutant("copying up follows no link", ("CVE-2025-24965-race",), (
        ("copyup/copyup.go", "in, err := linux.Openat(src, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)",
         "in, err := linux.Openat(src, name, unix.O_RDONLY|unix.O_NONBLOCK, 0)"),
        ("copyup/copyup.go", "if now.Dev != st.Dev || now.Ino != st.Ino {", "if now.Nlink == 0xffff {"),
    )),
    Mutant("copying up copies a link as a link", ("CVE-2025-24965",), (
        ("copyup/copyup.go", "fd, err := linux.Openat(src, name, unix.O_PATH|unix.O_NOFOLLOW, 0)",
         "fd, err := linux.Openat(src, name, unix.O_PATH, 0)"),
        ("copyup/copyup.go", "in, err := linux.Openat(src, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)",
         "in, err := linux.Openat(src, name, unix.O_RDONLY|unix.O_NONBLOCK, 0)"),
        ("copyup/copyup.go", "in, err := linux.Openat(src, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)",
         "in, err := linux.Openat(src, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)"),
    )),
    Mutant("a failed move_mount is an error", ("crun-2262",), (
        ("tree/tree.go", "if err := linux.MoveMount(t.FD, target); err != nil {\n\t\treturn renamed(err, t.name)",
         "if err := linux.MoveMount(t.FD, target); err != nil {\n\t\treturn nil"),
        # The root by mount(2), without which nothing would get as far as the container's own mounts.
        ("apply/root.go", "x.root.FD, x.attached = t.Take(), true\n\treturn nil",
         't.Close()\n\tif err := linux.Mount(s.Source, s.Source, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {\n\t\treturn err\n\t}\n'
         "\tx.attached = true\n\tx.root.FD, err = again()\n\treturn err"),
    ), ("new-api",)),
    Mutant("a bind has its flags before it is attached", ("moby-second-look",), (
        ("apply/mount.go", "\tif m.ExactAttr && !m.Recursive {\n\t\ta =", "\tif false {\n\t\ta ="),
        ("apply/mount.go", "\tif given := t.Given(); m.ExactAttr && given.Set|given.Clear == 0 {\n\t\tif err := t.Exactly(m.Attr, m.Clear); err != nil {\n"
         "\t\t\treturn err\n\t\t}\n\t}\n"
         "\terr = x.finish(m, t, target)\n",
         "\terr = x.finish(m, t, target)\n\tif err == nil && m.ExactAttr {\n\t\tfd, err := x.root.Open(m.Path, unix.O_PATH, inroot.Follow)\n"
         "\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n\t\tfound := tree.At(fd, m.Path)\n\t\tdefer found.Close()\n"
         "\t\tif err := found.Exactly(m.Attr, m.Clear); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n"),
    ), ("new-api",)),
    Mutant("a remount keeps the other flags", ("bubblewrap-770",), (
        ("apply/finalize.go", "\t\terr := t.Change(tree.Attr{Set: unix.MOUNT_ATTR_RDONLY})", "\t\terr := t.Exactly(unix.MOUNT_ATTR_RDONLY, 0)"),
    )),
    Mutant("what stands in for cgroup2 is as read-only", ("CVE-2023-25809",), (
        ("plan/cgroup.go", 'bind.Index, bind.Type, bind.Source, bind.Recursive = -1, "bind", source, true',
         'bind.Index, bind.Type, bind.Source, bind.Recursive = -1, "bind", source, true\n\tbind.Attr = 0'),
    )),
    Mutant("a remount changes no file system of the host's", ("remount",), (
        ("apply/remount.go", "if err == nil && !x.own[id] {", "if err == nil && id == 0 {"),
    )),
    Mutant("a lent tree is no peer of the host's in a user namespace", ("lent-peer",), (
        ("apply/root.go", "\tcase s.UserNS:\n", "\tcase false:\n"),
    ), ("new-api",)),
    Mutant("no descriptor outlives a call", ("descriptor",), (
        ("apply/apply.go", "linux.Close(x.root.FD)\n", ""),
    )),
    Mutant("a NUL byte is refused", ("config",), (
        ("config/reader.go", "case bytes.IndexByte(s, 0) >= 0:", "case bytes.IndexByte(s, 0) > len(s):"),
    )),
]
