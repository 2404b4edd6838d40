// SPDX-License-Identifier: Apache-2.0
//
// The C floor: what the kernel itself asks for the mounts of a default bundle (`runc spec`). The same kernel calls as a
// prepare and finalize by descriptor, in the best order known, with no check, no configuration and no library: what
// nothing that does this work safely can beat by much.
//
//	floor run ROOTFS [options]     a whole runner: namespaces, mounts, exec of /bin/true, wait
//	floor time ROOTFS [options]    the same, but the child prints the nanoseconds of its mount part in place of the exec
//	floor mounts N DIR             N bind mounts below DIR in the caller's mount namespace: a host with many mounts
//
//	--binds N SOURCE    N extra binds of SOURCE at /m/00000 ...
//	--readonly          those binds are rbind,rprivate,ro
//	--no-cgroup         without the mount at /sys/fs/cgroup
//	--masks N dirs      N masked directories /mask/dirs/00000 ...; or `files`
//
// Two of its choices are not the obvious ones:
//  - cgroup2 is cloned from the host's mount. A new mount of it from the initial cgroup namespace waits for an RCU
//    grace period (10 ms, unless another one just passed), and resets the root flags of the whole host.
//  - No detached mount is closed unattached, since that close waits for a grace period too: the mask's tmpfs itself goes to
//    the first directory, and clones of it to the others.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

// <sys/mount.h> and <linux/mount.h> cannot be included together with every libc.
#define MNT_DETACH 2
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);

#define NOSUID MOUNT_ATTR_NOSUID
#define NODEV MOUNT_ATTR_NODEV
#define NOEXEC MOUNT_ATTR_NOEXEC
#define RDONLY MOUNT_ATTR_RDONLY
#ifndef SYS_open_tree_attr // headers older than Linux 6.15
#define SYS_open_tree_attr 467
#endif
#define COUNT(array) (sizeof(array) / sizeof *(array))

struct extra {
	const char *root;
	int binds, readonly, masks, timed, no_cgroup;
	const char *source, *mask_kind;
};

// The name of a failed call is all that a benchmark needs.
static long must(const char *call, long result)
{
	if (result < 0)
		err(1, "%s", call);
	return result;
}

static int target(int root, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static int clone_tree(int dir, const char *path, unsigned flags)
{
	if (!*path)
		flags |= AT_EMPTY_PATH;
	return (int)must("open_tree", syscall(SYS_open_tree, dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags));
}

static void set_attributes(int mnt, unsigned flags, unsigned long attr, unsigned long propagation)
{
	struct mount_attr set = { .attr_set = attr, .propagation = propagation };
	must("mount_setattr", syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH | flags, &set, sizeof set));
}

// In one call where there is open_tree_attr(2), Linux 6.15; the attributes are of all the mounts where flags have AT_RECURSIVE.
static int clone_with(const char *path, unsigned flags, unsigned long attr, unsigned long propagation)
{
	struct mount_attr set = { .attr_set = attr, .propagation = propagation };
	int mnt = (int)syscall(SYS_open_tree_attr, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags, &set, sizeof set);
	if (mnt < 0 && errno == ENOSYS) {
		mnt = clone_tree(AT_FDCWD, path, flags);
		set_attributes(mnt, flags, attr, propagation);
	}
	return (int)must("open_tree_attr", mnt);
}

static void attach(int mnt, int to)
{
	must("move_mount", syscall(SYS_move_mount, mnt, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static int new_mount(const char *type, const char *const *data, unsigned long attr)
{
	int fs = (int)must("fsopen", syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
	for (; *data; data += 2)
		must("fsconfig", syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, data[0], data[1], 0));
	must("fsconfig", syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	int mnt = (int)must("fsmount", syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attr));
	close(fs);
	return mnt;
}

static void attach_and_close(int mnt, int to)
{
	attach(mnt, to);
	close(mnt);
	close(to);
}

static const struct {
	const char *type, *path;
	unsigned long attr;
	const char *data[9];
} mounts[] = {
	{ "proc", "proc", 0, { "source", "proc" } },
	{ "tmpfs", "dev", NOSUID | MOUNT_ATTR_STRICTATIME, { "source", "tmpfs", "mode", "755", "size", "65536k" } },
	{ "devpts", "dev/pts", NOSUID | NOEXEC, { "source", "devpts", "ptmxmode", "0666", "mode", "0620", "gid", "5" } },
	{ "tmpfs", "dev/shm", NOSUID | NOEXEC | NODEV, { "source", "shm", "mode", "1777", "size", "65536k" } },
	{ "mqueue", "dev/mqueue", NOSUID | NOEXEC | NODEV, { "source", "mqueue" } },
	{ "sysfs", "sys", NOSUID | NOEXEC | NODEV | RDONLY, { "source", "sysfs" } },
};

static void make_mounts(int root, const struct extra *x)
{
	for (size_t i = 0; i < COUNT(mounts); i++) {
		if (!strncmp(mounts[i].path, "dev/", 4))
			must("mkdirat", mkdirat(root, mounts[i].path, 0755));
		int to = (int)must("openat2", target(root, mounts[i].path));
		attach_and_close(new_mount(mounts[i].type, mounts[i].data, mounts[i].attr), to);
	}
	int to;
	if (!x->no_cgroup) {
		to = (int)must("openat2", target(root, "sys/fs/cgroup"));
		attach_and_close(clone_with("/sys/fs/cgroup", 0, NOSUID | NOEXEC | NODEV | RDONLY, 0), to);
	}
	char path[32];
	for (int i = 0; i < x->binds; i++) {
		snprintf(path, sizeof path, "m/%05d", i);
		to = (int)must("openat2", target(root, path));
		if (!x->readonly) {
			attach_and_close(clone_tree(AT_FDCWD, x->source, 0), to);
			continue;
		}
		// "rprivate" is of all the mounts of the tree, "ro" of the first alone ("rro" would be of all).
		int mnt = clone_with(x->source, AT_RECURSIVE, 0, MS_PRIVATE);
		set_attributes(mnt, 0, RDONLY, 0);
		attach_and_close(mnt, to);
	}
}

static void make_dev(int root)
{
	static const struct { const char *name; unsigned major, minor; } nodes[] = {
		{ "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
	};
	static const char *const links[][2] = {
		{ "/proc/self/fd", "fd" }, { "/proc/self/fd/0", "stdin" }, { "/proc/self/fd/1", "stdout" },
		{ "/proc/self/fd/2", "stderr" }, { "/proc/kcore", "core" }, { "pts/ptmx", "ptmx" },
	};
	int dev = (int)must("openat2", target(root, "dev"));
	mode_t mask = umask(0);
	for (size_t i = 0; i < COUNT(nodes); i++)
		must("mknodat", mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	for (size_t i = 0; i < COUNT(links); i++)
		must("symlinkat", symlinkat(links[i][0], dev, links[i][1]));
	umask(mask);
	close(dev);
}

static void mask_path(int root, const char *path, int *null, int *empty)
{
	static const char *const none[] = { "source", "tmpfs", "nr_blocks", "1", "nr_inodes", "1", NULL };
	struct stat st;
	int to = target(root, path);
	if (to < 0)
		return;
	must("fstat", fstat(to, &st));
	if (!S_ISDIR(st.st_mode)) {
		if (*null < 0)
			*null = (int)must("openat2", target(root, "dev/null"));
		attach_and_close(clone_tree(*null, "", 0), to);
	} else if (*empty < 0) {
		*empty = new_mount("tmpfs", none, RDONLY);
		attach(*empty, to);
		close(to);
	} else {
		attach_and_close(clone_tree(*empty, "", 0), to);
	}
}

static void prepare(const struct extra *x)
{
	must("mount", mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
	int under = (int)must("open", open(x->root, O_PATH | O_DIRECTORY | O_CLOEXEC));
	int root = clone_tree(under, "", AT_RECURSIVE);
	set_attributes(root, AT_RECURSIVE, 0, MS_PRIVATE);
	attach(root, under);
	close(under);
	make_mounts(root, x);
	make_dev(root);
	// The old root is left on top of the new one, and "." is in it: what pivot_root(2) documents for a put_old of ".".
	int old = (int)must("open", open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	must("fchdir", fchdir(root));
	must("pivot_root", syscall(SYS_pivot_root, ".", "."));
	must("fchdir", fchdir(old));
	must("umount2", umount2(".", MNT_DETACH));
	must("chdir", chdir("/"));
	close(old);
	close(root);
}

static void finalize(const struct extra *x)
{
	static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };
	static const char *const masked[] = {
		"proc/acpi", "proc/asound", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list",
		"proc/timer_stats", "proc/sched_debug", "sys/firmware", "proc/scsi",
	};
	int root = (int)must("open", open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)), null = -1, empty = -1;
	set_attributes(root, 0, RDONLY, 0);
	umask(022);
	for (size_t i = 0; i < COUNT(readonly); i++) {
		int to = target(root, readonly[i]);
		if (to < 0)
			continue;
		int mnt = clone_tree(to, "", AT_RECURSIVE);
		set_attributes(mnt, AT_RECURSIVE, RDONLY, 0);
		attach_and_close(mnt, to);
	}
	for (size_t i = 0; i < COUNT(masked); i++)
		mask_path(root, masked[i], &null, &empty);
	char path[64];
	for (int i = 0; i < x->masks; i++) {
		snprintf(path, sizeof path, "mask/%s/%05d", x->mask_kind, i);
		mask_path(root, path, &null, &empty);
	}
	if (null >= 0)
		close(null);
	if (empty >= 0)
		close(empty);
	close(root);
}

static int child(void *arg)
{
	const struct extra *x = arg;
	mark("begin");
	long begin = now_ns();
	prepare(x);
	finalize(x);
	long spent = now_ns() - begin;
	mark("end");
	if (x->timed) {
		dprintf(1, "%ld\n", spent);
		_exit(0);
	}
	execl("/bin/true", "true", NULL);
	err(1, "exec /bin/true");
}

static int run(const struct extra *x)
{
	static char stack[256 * 1024] __attribute__((aligned(16)));
	int status, pid = clone(child, stack + sizeof stack,
				SIGCHLD | CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS, (void *)x);
	must("clone", pid);
	must("waitpid", waitpid(pid, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int many_mounts(int count, const char *dir)
{
	char path[32];
	must("chdir", chdir(dir));
	must("mkdir", mkdir("source", 0755));
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%05d", i);
		must("mkdir", mkdir(path, 0755));
		must("mount", mount("source", path, NULL, MS_BIND, NULL));
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "mounts"))
		return many_mounts(atoi(argv[2]), argv[3]);
	if (argc < 3 || (strcmp(argv[1], "run") && strcmp(argv[1], "time")))
		errx(2, "usage: floor run|time ROOTFS [--binds N SOURCE] [--readonly] [--no-cgroup] [--masks N dirs|files], "
			"or floor mounts N DIR");
	struct extra x = { .root = argv[2], .timed = !strcmp(argv[1], "time") };
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "--readonly")) {
			x.readonly = 1;
		} else if (!strcmp(argv[i], "--no-cgroup")) {
			x.no_cgroup = 1;
		} else if (!strcmp(argv[i], "--binds") && i + 2 < argc) {
			x.binds = atoi(argv[i + 1]);
			x.source = argv[i + 2];
			i += 2;
		} else if (!strcmp(argv[i], "--masks") && i + 2 < argc) {
			x.masks = atoi(argv[i + 1]);
			x.mask_kind = argv[i + 2];
			i += 2;
		} else {
			errx(2, "unknown option %s", argv[i]);
		}
	}
	return run(&x);
}
