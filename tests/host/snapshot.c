/* What belongs to the host, before and after: read by plain system calls, so that it works in any root. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

int count_tasks(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	if (!dir)
		return -1;
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static int count_children(void)
{
	/* WNOWAIT and __WALL: also one that sends no signal. */
	siginfo_t info = { 0 };

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

static unsigned long hash(unsigned long h, const void *data, size_t size)
{
	const unsigned char *p = data;

	while (size--)
		h = (h ^ *p++) * 1099511628211UL;
	return h;
}

void snapshot_take(struct snapshot *s)
{
	memset(s, 0, sizeof *s);
	for (int fd = 0; fd < SNAPSHOT_FDS; fd++) {
		struct stat st;

		s->fds[fd].flags = fcntl(fd, F_GETFD);
		if (s->fds[fd].flags < 0)
			continue;
		s->fds[fd].open = 1;
		if (!fstat(fd, &st)) {
			s->fds[fd].dev = st.st_dev;
			s->fds[fd].ino = st.st_ino;
		}
	}
	for (int i = 0; i < 16; i++)
		syscall(SYS_prlimit64, 0, i, NULL, s->limits[i]);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &s->mask, 8);
	for (int sig = 1; sig <= 64; sig++)
		syscall(SYS_rt_sigaction, sig, NULL, &s->actions[sig], 8);
	sigaltstack(NULL, &s->stack);
	s->umask = umask(0);
	umask(s->umask);
	if (!getcwd(s->cwd, sizeof s->cwd))
		snprintf(s->cwd, sizeof s->cwd, "%s", strerror(errno));
	s->environment = hash(1469598103934665603UL, &environ, sizeof environ);
	for (char **e = environ; *e; e++) {
		s->environment = hash(s->environment, e, sizeof *e);
		s->environment = hash(s->environment, *e, strlen(*e));
	}
	s->threads = count_tasks();
	s->children = count_children();
}

void snapshot_same(const struct snapshot *a, const struct snapshot *b, const char *except)
{
	for (int fd = 0; fd < SNAPSHOT_FDS; fd++) {
		char path[64], target[256] = "";

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		(void)!readlink(path, target, sizeof target - 1);
		CHECK(!memcmp(&a->fds[fd], &b->fds[fd], sizeof a->fds[fd]) || (fd < 3 && strstr(except, "stdio")),
		      "descriptor %d (%s): open %d -> %d, flags %d -> %d, inode %lu -> %lu", fd, target, a->fds[fd].open, b->fds[fd].open,
		      a->fds[fd].flags, b->fds[fd].flags, (unsigned long)a->fds[fd].ino, (unsigned long)b->fds[fd].ino);
	}
	for (int i = 0; i < 16; i++)
		CHECK(!memcmp(a->limits[i], b->limits[i], sizeof a->limits[i]), "limit %d: %lu -> %lu", i, a->limits[i][0], b->limits[i][0]);
	CHECK(a->mask == b->mask, "signal mask %lx -> %lx", a->mask, b->mask);
	for (int sig = 1; sig <= 64; sig++) {
		/* 33 is glibc's own SIGSETXID: its handler comes with the first thread, so that setuid reaches them all. */
		if (sig == 33)
			continue;
		CHECK(!memcmp(&a->actions[sig], &b->actions[sig], sizeof a->actions[sig]), "signal %d: handler %lx -> %lx, flags %lx -> %lx",
		      sig, a->actions[sig].handler, b->actions[sig].handler, a->actions[sig].flags, b->actions[sig].flags);
	}
	CHECK(a->stack.ss_sp == b->stack.ss_sp && a->stack.ss_flags == b->stack.ss_flags && a->stack.ss_size == b->stack.ss_size,
	      "alternate stack %p -> %p, flags %x -> %x", a->stack.ss_sp, b->stack.ss_sp, a->stack.ss_flags, b->stack.ss_flags);
	CHECK(a->umask == b->umask || strstr(except, "umask"), "umask %o -> %o", a->umask, b->umask);
	CHECK(!strcmp(a->cwd, b->cwd) || strstr(except, "cwd"), "cwd %s -> %s", a->cwd, b->cwd);
	CHECK(a->environment == b->environment, "the environment changed");
	CHECK(a->threads == b->threads, "threads %d -> %d", a->threads, b->threads);
	CHECK(a->children == b->children, "children %d -> %d", a->children, b->children);
}
