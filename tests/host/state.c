/* Before and after each call; the order of calls. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static struct snapshot before, after;

static void handler(int sig) { (void)sig; }

void unusual_host(void)
{
	struct sigaction sa = { .sa_handler = handler };
	struct rlimit files = { 1024, 20000 };
	sigset_t mask;

	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig % 3 == 0)
			sigaction(sig, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sa.sa_handler = handler;
	sa.sa_flags = SA_RESTART | SA_NODEFER;
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGURG, &sa, NULL);
	sigfillset(&mask);
	sigdelset(&mask, SIGTERM);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max > 1024) {
		files.rlim_cur = 1024;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(077);
	setenv("GODEBUG", "gctrace=1,inittrace=1,schedtrace=1", 1);
	setenv("GOMAXPROCS", "64", 1);
	open("/etc/passwd", O_RDONLY);            /* without O_CLOEXEC: the host's business */
	open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static void each_call(void)
{
	struct rootfs_request request;
	char *text;
	int master;

	need_root();
	small_request(&request);
	own_mounts();
	unusual_host();
	snapshot_take(&before);
	WORKS(rootfs_start(&error));
	usleep(50000); /* what the asynchronous start does later must not show either */
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
	WORKS(rootfs_prepare(&request, &error));
	snapshot_take(&after);
	snapshot_same(&before, &after, "cwd stdio");
	CHECK(!strcmp(after.cwd, "/work"), "cwd is %s", after.cwd);
	before = after;
	WORKS(rootfs_console(NULL, &master, &error));
	CHECK(fcntl(master, F_GETFD) == FD_CLOEXEC, "the console's master is not O_CLOEXEC");
	close(master);
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
	WORKS(rootfs_finalize(&error));
	snapshot_take(&after);
	CHECK(after.umask == 027, "umask %o", after.umask);
	snapshot_same(&before, &after, "umask");
	before = after;
	WORKS(rootfs_verify(NULL, &text, &error));
	rootfs_free(text);
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
}

static void each_failing_call(void)
{
	struct rootfs_request request;

	need_root();
	small_request(&request);
	own_mounts();
	unusual_host();
	WORKS(rootfs_start(&error));
	usleep(20000);
	snapshot_take(&before);
	request.config = "{ \"root\": { \"path\": \"/nowhere/at/all\" } }";
	request.config_len = strlen(request.config);
	CHECK(rootfs_prepare(&request, &error) != 0, "prepared nothing");
	CHECK(rootfs_finalize(&error) == ROOTFS_ERR_STATE, "finalized nothing");
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
}

/* Own stdio, so that prepare has nothing of the host's to replace, and the alternate stack of a host that has one. */
static void own_alternate_stack(void)
{
	struct rootfs_request request;
	static char stack[65536];
	stack_t own = { .ss_sp = stack, .ss_size = sizeof stack };

	need_root();
	small_request(&request);
	own_mounts();
	sigaltstack(&own, NULL);
	snapshot_take(&before);
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
	snapshot_take(&after);
	snapshot_same(&before, &after, "cwd stdio umask");
}

static void wrong_order(void)
{
	struct rootfs_request request;
	char *text = (char *)"untouched";
	int master = 7;

	need_root();
	small_request(&request);
	own_mounts();
	REFUSED(rootfs_finalize(&error), ROOTFS_ERR_STATE, "needs rootfs_prepare");
	REFUSED(rootfs_console(NULL, &master, &error), ROOTFS_ERR_STATE, "needs rootfs_prepare");
	CHECK(master == -1, "master is %d after an error", master);
	REFUSED(rootfs_verify(NULL, &text, &error), ROOTFS_ERR_STATE, "rootfs_verify");
	CHECK(text == NULL, "the report is not NULL after an error");
	WORKS(rootfs_prepare(&request, &error));
	REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_STATE, "called before");
	WORKS(rootfs_finalize(&error));
	REFUSED(rootfs_finalize(&error), ROOTFS_ERR_STATE, "after rootfs_finalize");
	REFUSED(rootfs_console(NULL, &master, &error), ROOTFS_ERR_STATE, "after rootfs_finalize");
}

/* A request that is wrong changes nothing: the right one may follow. One that failed half way is final. */
static void prepare_after_failure(void)
{
	struct rootfs_request request, wrong;

	need_root();
	small_request(&request);
	own_mounts();
	wrong = request;
	wrong.config = "{ \"root\": 5 }";
	wrong.config_len = strlen(wrong.config);
	REFUSED(rootfs_prepare(&wrong, &error), ROOTFS_ERR_INVALID, "/root");
	CHECK(!strcmp(error.pointer, "/root"), "pointer %s", error.pointer);
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
}

/* verify of another root: the engine is started outside, then this thread enters. */
static void verify_in_other_root(void)
{
	struct rootfs_request request;
	char *report, *found;
	int ready[2], done[2], mounts;
	char byte = 0, path[64];
	pid_t child;

	need_root();
	small_request(&request);
	CHECK(!pipe(ready) && !pipe(done), "pipe");
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		own_mounts();
		if (rootfs_prepare(&request, &error) || rootfs_finalize(&error) || write(ready[1], &byte, 1) != 1 ||
		    read(done[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 1, "the container was not set up");
	WORKS(rootfs_start(&error));
	snprintf(path, sizeof path, "/proc/%d/ns/mnt", child);
	mounts = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(mounts >= 0 && !setns(mounts, CLONE_NEWNS), "setns: %s", strerror(errno));
	umask(23); /* the container's own is its processes' matter: this process stands in for one */
	WORKS(rootfs_verify(&request, &report, &error));
	found = strstr(report, "\"deviations\": []");
	CHECK(found, "%s", report);
	rootfs_free(report);
	CHECK(write(done[1], &byte, 1) == 1, "write");
	waitpid(child, NULL, 0);
}

static long status_field(const char *name)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long value = -1;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			value = strtol(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return value;
}

static int count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	int n = 0;

	for (int c; f && (c = fgetc(f)) != EOF;)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

/* Nothing grows with the number of calls: not the parent that asks the helper, not the process that uses the engine, whose
 * collector begins at 64 MiB. */
static void nothing_grows(void)
{
	struct rootfs_request request, wrong;
	struct snapshot end;
	long size, resident;
	int mappings;
	char *text;

	need_root();
	small_request(&request);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 30; i++) {
			WORKS(rootfs_plan(&request, &text, &error));
			rootfs_free(text);
		}
		if (round == 0) {
			size = status_field("VmSize:");
			mappings = count_mappings();
			snapshot_take(&before);
		}
	}
	snapshot_take(&end);
	snapshot_same(&before, &end, "");
	CHECK(status_field("VmSize:") == size && count_mappings() == mappings, "VmSize %ld -> %ld kB, mappings %d -> %d", size,
	      status_field("VmSize:"), mappings, count_mappings());
	long_request(&wrong);
	for (int i = 0; i < 400; i++) {
		REFUSED(rootfs_prepare(&wrong, &error), ROOTFS_ERR_INVALID, "/linux/maskedPaths/0");
		if (i % 20 == 0) {
			WORKS(rootfs_verify(&request, &text, &error));
			rootfs_free(text);
		}
		if (i == 100)
			snapshot_take(&before);
	}
	snapshot_take(&end);
	snapshot_same(&before, &end, "");
	resident = status_field("VmRSS:");
	CHECK(resident > 0 && resident < 100 * 1024, "%ld kB resident after 400 calls", resident);
}

const struct test_case state_cases[] = {
	{ "state: limits, descriptors, signals, mask, stack, umask, cwd, environment as before each call", each_call },
	{ "state: the same after calls that fail", each_failing_call },
	{ "state: the host's alternate signal stack stays", own_alternate_stack },
	{ "state: nothing grows with the number of calls", nothing_grows },
	{ "order: calls in the wrong order and twice", wrong_order },
	{ "order: a refused request changes nothing, the next prepare works", prepare_after_failure },
	{ "namespaces: verify in another container's root", verify_in_other_root },
	{ NULL, NULL },
};
