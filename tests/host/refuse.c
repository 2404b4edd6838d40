/* Where a process is limited: what needs none of it works; where address space or a file is missing, an error says what to do,
 * never an abort, and after the cause is gone the next call works. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static struct rootfs_request request;

static void works_in_child(void)
{
	own_mounts();
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
}

/* The engine has no thread, so nothing here stands in its way. */
static void pending_pid_namespace(void)
{
	struct snapshot before, after;

	need_root();
	small_request(&request);
	own_mounts();
	CHECK(!unshare(CLONE_NEWPID), "unshare: %s", strerror(errno));
	snapshot_take(&before);
	WORKS(rootfs_start(&error));
	/* Its first process must be the host's child, not a helper of the library. */
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_STATE, "pid namespace is pending");
	/* And the container's /proc is to be that of its processes. */
	REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_STATE, "fork once more");
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
	as_child(works_in_child, 20);
	/* It has an init, or had one, and is still not this process's own. */
	REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_STATE, "fork once more");
}

/* As an ordinary user whose processes are counted: root's are not held to the limit. */
#define NOBODY 61234
static void process_limit(void)
{
	struct rlimit none = { 1, 1 };
	struct snapshot before, after;
	char *report;

	need_root();
	small_request(&request);
	CHECK(!setresuid(NOBODY, NOBODY, 0), "setresuid");
	CHECK(!setrlimit(RLIMIT_NPROC, &none), "setrlimit");
	/* Capabilities lift the limit: they went with the uid 0. */
	CHECK(fork() == -1 && errno == EAGAIN, "the limit is none");
	snapshot_take(&before);
	WORKS(rootfs_start(&error));
	WORKS(rootfs_verify(&request, &report, &error));
	rootfs_free(report);
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

static char pids[256];

static void in_pids_cgroup(void)
{
	char path[300];

	snprintf(path, sizeof path, "%s/cgroup.procs", pids);
	CHECK(!write_file(path, "0"), "cgroup.procs: %s", strerror(errno));
	snprintf(path, sizeof path, "%s/pids.max", pids);
	CHECK(!write_file(path, "1"), "pids.max: %s", strerror(errno));
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
	CHECK(count_tasks() == 1, "%d threads", count_tasks());
}

/* In a cgroup below root, which is removed; -1 where none can be made there. By descriptor: the child takes the mounts away. */
static int in_cgroup_of(const char *root)
{
	int status = -1, dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[32], probe[300];

	snprintf(name, sizeof name, "rootfs-test-%d", getpid());
	snprintf(pids, sizeof pids, "%s/%s", root, name);
	if (dir >= 0 && !mkdirat(dir, name, 0755)) {
		snprintf(probe, sizeof probe, "%s/pids.max", pids);
		if (access(probe, W_OK) == 0)
			status = in_child(in_pids_cgroup, 30);
		CHECK(!unlinkat(dir, name, AT_REMOVEDIR), "rmdir %s: %s", pids, strerror(errno));
	}
	close(dir);
	return status;
}

static void pids_cgroup(void)
{
	char own[280];
	int status;

	need_root();
	small_request(&request);
	own_mounts();
	status = in_cgroup_of("/sys/fs/cgroup/pids");
	if (status < 0)
		status = in_cgroup_of("/sys/fs/cgroup");
	if (status < 0) {
		/* Nothing mounted: a hierarchy of its own. */
		snprintf(own, sizeof own, "%s/pids-cgroup", scratch);
		mkdir(own, 0755);
		if (mount("pids", own, "cgroup", 0, "pids"))
			skip("no pids cgroup can be made: %s", strerror(errno));
		status = in_cgroup_of(own);
	}
	if (status > 0 && WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	CHECK(status == 0, "status %x", status);
}

static void refuse_clone(int err)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof filter / sizeof filter[0], filter };

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp: %s",
	      strerror(errno));
}

static void seccomp_eperm(void)
{
	need_root();
	small_request(&request);
	own_mounts();
	refuse_clone(EPERM);
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_SYSTEM, "no process can be made");
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
}

static void seccomp_enosys(void)
{
	need_root();
	small_request(&request);
	own_mounts();
	refuse_clone(ENOSYS);
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
}

/* A filter of a few years ago: everything that is newer answers err. */
static void refuse_new_calls(int err)
{
	static const unsigned numbers[] = { 312 /* kcmp */, 428, 429, 430, 431, 432, 433 /* the mount calls of 5.2 */, 434, 436, 437 /* openat2 */,
					    438, 439, 441, 442 /* mount_setattr */, 452, 457, 458, 467, 435 /* clone3 */ };
	struct sock_filter filter[sizeof numbers / sizeof numbers[0] + 4];
	unsigned count = sizeof numbers / sizeof numbers[0], n = 0;
	struct sock_fprog program;

	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < count; i++, n++)
		filter[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], (unsigned char)(count - i), 0);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)err);
	program.len = (unsigned short)n;
	program.filter = filter;
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp: %s",
	      strerror(errno));
}

static void works_under_filter(int err)
{
	struct snapshot before, after;

	need_root();
	small_request(&request);
	own_mounts();
	refuse_new_calls(err);
	CHECK(syscall(437, -1, NULL, NULL, 0) < 0 && errno == err, "the filter does not work: %s", strerror(errno));
	WORKS(rootfs_validate(&request, &error));
	snapshot_take(&before);
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
	snapshot_take(&after);
	snapshot_same(&before, &after, "cwd stdio umask");
}

static void new_calls_enosys(void) { works_under_filter(ENOSYS); }
static void new_calls_eperm(void) { works_under_filter(EPERM); }

/* Every size up to where it works: an error or success, never the runtime's own exit. */
static void each_size(int limit, int unit, rlim_t most)
{
	struct rlimit old, small;

	need_root();
	small_request(&request);
	own_mounts();
	getrlimit(limit, &old);
	for (rlim_t mib = 16; mib < 4096; mib += (rlim_t)unit) {
		int code;

		small = old;
		small.rlim_cur = mib << 20;
		CHECK(!setrlimit(limit, &small), "setrlimit");
		code = rootfs_start(&error);
		if (code) {
			CHECK(code == ROOTFS_ERR_ENGINE, "%llu MiB: %d %s", (unsigned long long)mib, code, error.message);
			continue;
		}
		/* At the edge the whole work must be possible. */
		WORKS(rootfs_prepare(&request, &error));
		WORKS(rootfs_finalize(&error));
		CHECK(mib > 16 && mib <= most, "works from %llu MiB", (unsigned long long)mib);
		return;
	}
	CHECK(0, "never worked");
}

static void address_space(void) { each_size(RLIMIT_AS, 16, 2048); }
static void data(void) { each_size(RLIMIT_DATA, 2, 96); }

static void address_space_message(void)
{
	struct rlimit small = { 256 << 20, RLIM_INFINITY };

	CHECK(!setrlimit(RLIMIT_AS, &small), "setrlimit");
	REFUSED(rootfs_start(&error), ROOTFS_ERR_ENGINE, "RLIMIT_AS");
	CHECK(error.errnum == ENOMEM, "errnum %d", error.errnum);
}

/* No descriptor to be had: the error says so, and the next call works. */
static void no_descriptors(void)
{
	struct rlimit old, none;

	need_root();
	small_request(&request);
	own_mounts();
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = 3;
	CHECK(!setrlimit(RLIMIT_NOFILE, &none), "setrlimit");
	syscall(SYS_close_range, 3, ~0U, 0);
	CHECK(rootfs_start(&error) == ROOTFS_ERR_ENGINE && error.errnum == EMFILE, "%d: %s", error.errnum, error.message);
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_SYSTEM, "memfd_create");
	CHECK(!setrlimit(RLIMIT_NOFILE, &old), "setrlimit");
	works_in_child();
}

const struct test_case refuse_cases[] = {
	{ "limits: a pid namespace is pending", pending_pid_namespace },
	{ "limits: RLIMIT_NPROC", process_limit },
	{ "limits: a full pids cgroup", pids_cgroup },
	{ "limits: seccomp answers clone with EPERM", seccomp_eperm },
	{ "limits: seccomp answers clone with ENOSYS", seccomp_enosys },
	{ "limits: seccomp: every newer call answers ENOSYS", new_calls_enosys },
	{ "limits: seccomp: every newer call answers EPERM", new_calls_eperm },
	{ "refused: RLIMIT_AS, each size up to where it works", address_space },
	{ "refused: RLIMIT_DATA, each size up to where it works", data },
	{ "refused: RLIMIT_AS, the message", address_space_message },
	{ "refused: no descriptors", no_descriptors },
	{ NULL, NULL },
};
