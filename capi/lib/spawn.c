/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a program so that the host does not notice: no SIGCHLD, no child that its wait(-1) could reap or that an ignored
 * SIGCHLD would take away, no descriptor of its kept open.
 *
 * The kernel sets a process's exit signal to SIGCHLD when it execs, so what this library waits for must not exec: a minder
 * is cloned with exit signal 0, which only a wait with __WALL sees. It forks the program, minds the time, reaps it, and
 * hands its status on. Both are made as vfork does (memory shared, the parent suspended): cheap in a host of any size, and
 * no lock that another thread holds can matter, since they make system calls only. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

#ifndef HELPER_SECONDS
#define HELPER_SECONDS 30 /* a plan takes milliseconds; this bounds what a hung file system does to the caller */
#endif
#define STACK (64 * 1024)

struct job {
	const char *path;
	const int *fds;
	int diagnostics;
	char *stacks; /* two: the minder's, the program's */
};

/* In the child until exec: descriptors to their places, everything else closed, signals as for a new program. */
static int run_program(void *p)
{
	const struct job *job = p;
	char *const argv[] = { (char *)job->path, NULL }, *const envp[] = { NULL };
	struct sigaction fresh = { .sa_handler = SIG_DFL };
	int high[SPAWN_FDS + 1], ceiling = 3 + SPAWN_FDS;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* First out of the way of each other, then into place. */
	for (int i = 0; i <= SPAWN_FDS; i++) {
		int fd = i < SPAWN_FDS ? job->fds[i] : job->diagnostics;

		high[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, ceiling);
		if (fd >= 0 && high[i] < 0)
			_exit(126);
	}
	for (int fd = 0; fd < ceiling; fd++) {
		int from = fd < 3 ? high[SPAWN_FDS] : high[fd - 3];

		if (from < 0)
			close(fd);
		else if (dup2(from, fd) < 0)
			_exit(126);
	}
	if (syscall(SYS_close_range, ceiling, ~0U, 0))
		for (long fd = ceiling, end = sysconf(_SC_OPEN_MAX); fd < end; fd++)
			close((int)fd);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		sigaction(sig, &fresh, NULL); /* only ignored ones matter: exec resets the others */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(job->path, argv, envp);
	_exit(errno == ENOENT ? 127 : 126);
}

/* The minder. All signals are blocked in it; it returns the program's exit status, or 128 and its signal. */
static int mind(void *p)
{
	struct job *job = p;
	struct sigaction fresh = { .sa_handler = SIG_DFL };
	struct timespec patience = { HELPER_SECONDS, 0 };
	sigset_t child;
	int pid, status;

	/* Its own table of handlers: with SIGCHLD ignored its child would vanish unreaped. */
	sigaction(SIGCHLD, &fresh, NULL);
	pid = clone(run_program, job->stacks + (size_t)2 * STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, job);
	if (pid < 0)
		return 125;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	/* A signal that was sent before is kept, since it is blocked: none can be missed between the two calls. */
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (sigtimedwait(&child, NULL, &patience) < 0 && errno == EAGAIN) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return 124;
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + (WTERMSIG(status) & 63);
}

enum pending pid_namespace_pending(void)
{
	char own[64], next[64];
	ssize_t n = readlink("/proc/thread-self/ns/pid", own, sizeof own);
	ssize_t m = n > 0 ? readlink("/proc/thread-self/ns/pid_for_children", next, sizeof next) : n;

	if (n > 0 && m < 0)
		return PENDING_WITHOUT_INIT;
	return n != m || (n > 0 && memcmp(own, next, (size_t)n)) ? PENDING : NOT_PENDING;
}

static int refuse(struct rootfs_error *error, const char *path, int status)
{
	switch (status) {
	case 124:
		return fail(error, ROOTFS_ERR_SYSTEM, ETIMEDOUT, "helper", "%s did not end within %d seconds", path, HELPER_SECONDS);
	case 125:
		return fail(error, ROOTFS_ERR_SYSTEM, EAGAIN, "clone", "no process can be made for %s (RLIMIT_NPROC, pids cgroup)", path);
	case 126:
		return fail(error, ROOTFS_ERR_ENGINE, EACCES, "execve", "%s, beside librootfs.so, cannot be executed", path);
	default:
		return fail(error, ROOTFS_ERR_ENGINE, ENOENT, "execve", "%s, beside librootfs.so, is missing", path);
	}
}

int spawn_helper(const char *path, const int fds[SPAWN_FDS], int diagnostics, int *status, struct rootfs_error *error)
{
	struct job job = { path, fds, diagnostics, NULL };
	int pid, err, wait_status = 0;
	sigset_t all, old;

	/* Its first process must be the host's: the namespace would die with ours. */
	if (pid_namespace_pending() == PENDING_WITHOUT_INIT)
		return fail(error, ROOTFS_ERR_STATE, 0, "clone", "a pid namespace is pending in this process, and a helper "
			    "process would become its init: make this call before, or in the child that is to be its init");
	job.stacks = mmap(NULL, (size_t)2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (job.stacks == MAP_FAILED)
		return fail(error, ROOTFS_ERR_SYSTEM, errno, "mmap", "mmap: %s", strerror(errno));
	/* No handler of the host's may run in a process that shares its memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(mind, job.stacks + STACK, CLONE_VM | CLONE_VFORK, &job);
	err = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid > 0)
		while (waitpid(pid, &wait_status, __WALL) < 0 && errno == EINTR)
			;
	munmap(job.stacks, (size_t)2 * STACK);
	if (pid < 0)
		return fail(error, ROOTFS_ERR_SYSTEM, err, "clone", "no process can be made for %s: %s", path, strerror(err));
	*status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
	return *status >= 124 && *status <= 127 ? refuse(error, path, *status) : 0;
}
