/* What the program that the host executes finds, beside what it finds when a bare C host made the same root: the library
 * has added and taken nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static struct rootfs_request request;
static int output;

static void odd_state(void)
{
	struct rlimit files = { 1024, 20000 };
	sigset_t mask;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = 512;
	CHECK(!setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGSEGV);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	umask(077);
}

static void execute(void)
{
	char *const argv[] = { (char *)"/probe", (char *)"x y", NULL }, *const envp[] = { (char *)"A=b", NULL };

	dup2(output, 1);
	dup2(output, 2);
	execve("/probe", argv, envp);
	_exit(127);
}

static void by_library(void)
{
	own_mounts();
	odd_state();
	WORKS(rootfs_start(&error));
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
	execute();
}

/* The same by hand, as far as the probe can see: no library, no thread. */
static void by_hand(void)
{
	char path[4096];

	own_mounts();
	odd_state();
	snprintf(path, sizeof path, "%s/root", scratch);
	CHECK(!mount(path, path, NULL, MS_BIND | MS_REC, NULL) && !chdir(path), "bind: %s", strerror(errno));
	CHECK(!mount("proc", "proc", "proc", 0, NULL), "proc: %s", strerror(errno));
	CHECK(!syscall(SYS_pivot_root, ".", ".") && !umount2(".", MNT_DETACH), "pivot_root: %s", strerror(errno));
	CHECK(!chdir("/work"), "chdir");
	umask(027);
	execute();
}

static char *run(void (*how)(void), const char *name)
{
	char path[4096];
	static char text[2][65536];
	static int turn;
	ssize_t n;
	int status;

	snprintf(path, sizeof path, "%s/%s", scratch, name);
	output = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	status = in_child(how, 20);
	if (status > 0 && WIFEXITED(status) && WEXITSTATUS(status) != 127)
		_exit(WEXITSTATUS(status));
	CHECK(status == 0, "%s: status %x", name, (unsigned)status);
	n = pread(output, text[turn], sizeof text[0] - 1, 0);
	close(output);
	CHECK(n > 500, "%s printed %zd bytes", name, n);
	text[turn][n] = 0;
	return text[turn++];
}

static void same_as_bare(void)
{
	char command[9000];
	const char *probe = getenv("HOST_PROBE");
	char *ours, *bare;

	need_root();
	if (!probe)
		skip("the static probe was not built");
	small_request(&request);
	snprintf(command, sizeof command, "cp '%s' '%s/root/probe' && mkdir -p '%s/root/work' '%s/root/proc'", probe, scratch, scratch, scratch);
	CHECK(system(command) == 0, "%s", command);
	/* The library replaces a null device of the host's by the container's, and nothing else. */
	close(0);
	open("/dev/null", O_RDWR);
	ours = run(by_library, "probe-ours");
	bare = run(by_hand, "probe-bare");
	for (char *a = ours, *b = bare; *a || *b;) {
		size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");

		CHECK(n == m && !memcmp(a, b, n), "with the library \"%.*s\", bare \"%.*s\"", (int)n, a, (int)m, b);
		a += n + (a[n] != 0);
		b += m + (b[m] != 0);
	}
	CHECK(strstr(ours, "Threads:\t1\n") && strstr(ours, "limit 7: 512 ") && strstr(ours, "Umask:\t0027"), "%s", ours);
}

const struct test_case exec_cases[] = {
	{ "exec: the program finds what it finds under a bare C host", same_as_bare },
	{ NULL, NULL },
};
