/* Before and after each call; the order of calls; threads of the host. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static struct snapshot before, after;

static void handler(int sig) { (void)sig; }

/* A host with a state of its own in every respect, so that "as it was" cannot be "as it is by default". */
static void unusual_host(void)
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
	snapshot_same(&before, &after, "threads");
	WORKS(rootfs_prepare(&request, &error));
	snapshot_take(&after);
	snapshot_same(&before, &after, "threads cwd stdio");
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
	snapshot_same(&before, &after, "threads cwd stdio umask");
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

static struct rootfs_request shared_request;
static struct rootfs_error thread_error = ROOTFS_ERROR_INIT;

static void *other_thread(void *result)
{
	*(int *)result = rootfs_prepare(&shared_request, &thread_error);
	if (!*(int *)result)
		*(int *)result = rootfs_finalize(&thread_error);
	return NULL;
}

/* The thread that calls is the one that works: it unshared, the first one did not. */
static void *alone(void *result)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		*(int *)result = -1;
		return NULL;
	}
	return other_thread(result);
}

static void second_thread(void)
{
	pthread_t thread;
	int result = -1;

	need_root();
	small_request(&shared_request);
	pthread_create(&thread, NULL, alone, &result);
	pthread_join(thread, NULL);
	CHECK(result == 0, "%d: %s", result, thread_error.message);
	CHECK(access("/probe-of-host", F_OK) && access("/etc/passwd", F_OK) == 0, "the first thread's root was switched");
}

static void small_stack(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int result = -1;

	need_root();
	small_request(&shared_request);
	own_mounts();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	CHECK(!pthread_create(&thread, &attr, other_thread, &result), "pthread_create");
	pthread_join(thread, NULL);
	CHECK(result == 0, "%d: %s", result, thread_error.message);
}

static void *call_in_parallel(void *result)
{
	static char *texts[8];
	struct rootfs_error own = ROOTFS_ERROR_INIT;
	int *slot = result;
	int code = rootfs_verify(&shared_request, &texts[*slot], &own);

	*slot = code;
	return NULL;
}

static void many_threads_at_once(void)
{
	pthread_t threads[8];
	int results[8];

	need_root();
	small_request(&shared_request);
	own_mounts();
	for (int i = 0; i < 8; i++) {
		results[i] = i;
		pthread_create(&threads[i], NULL, call_in_parallel, &results[i]);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		CHECK(results[i] == 0, "thread %d: %d", i, results[i]);
	}
}

static int from_callback, state_in_callback;
static struct rootfs_error callback_error = ROOTFS_ERROR_INIT;

static int call_back_in(void *user)
{
	(void)user;
	from_callback = rootfs_finalize(&callback_error);
	return 0;
}

static void callback_calls_library(void)
{
	struct rootfs_request request;

	need_root();
	small_request(&request);
	own_mounts();
	request.on_mounts_ready = call_back_in;
	WORKS(rootfs_prepare(&request, &error));
	CHECK(from_callback == ROOTFS_ERR_STATE && callback_error.code == ROOTFS_ERR_STATE, "%d", from_callback);
	WORKS(rootfs_finalize(&error));
}

/* The callback is the host's own code: it may fork and execute (its hooks, say). */
static int fork_in_callback(void *user)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct rootfs_error own = ROOTFS_ERROR_INIT;

		if (rootfs_finalize(&own) != ROOTFS_ERR_FORKED)
			_exit(99);
		execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
		_exit(98);
	}
	waitpid(pid, &status, 0);
	*(int *)user = status;
	return 0;
}

static void callback_forks(void)
{
	struct rootfs_request request;
	int status = -1;

	need_root();
	small_request(&request);
	own_mounts();
	request.on_mounts_ready = fork_in_callback;
	request.user = &status;
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", (unsigned)status);
}

static void *call_for_ever(void *unused)
{
	struct rootfs_error own = ROOTFS_ERROR_INIT;

	(void)unused;
	for (;;) {
		(void)rootfs_prepare(&shared_request, &own);
		pthread_testcancel();
	}
	return NULL;
}

/* A cancelled thread finishes its call: the lock is free and the signals are the host's afterwards. */
static void cancelled(void)
{
	need_root();
	long_request(&shared_request);
	own_mounts();
	snapshot_take(&before);
	for (int i = 0; i < 20; i++) {
		pthread_t thread;

		pthread_create(&thread, NULL, call_for_ever, NULL);
		usleep(500U * (unsigned)i);
		pthread_cancel(thread);
		pthread_join(thread, NULL);
		REFUSED(rootfs_prepare(&shared_request, &error), ROOTFS_ERR_INVALID, "/linux/maskedPaths/0");
	}
	snapshot_take(&after);
	/* 32 is glibc's own SIGCANCEL: its handler comes with the first pthread_cancel. */
	memcpy(&before.actions[32], &after.actions[32], sizeof before.actions[32]);
	snapshot_same(&before, &after, "threads");
}

static int look_at_state(void *user)
{
	struct snapshot inside;

	snapshot_take(&inside);
	state_in_callback = inside.mask == ((struct snapshot *)user)->mask &&
			    !memcmp(inside.actions, ((struct snapshot *)user)->actions, 33 * sizeof inside.actions[0]) &&
			    !memcmp(&inside.stack, &((struct snapshot *)user)->stack, sizeof inside.stack);
	return 42;
}

static void callback_fails(void)
{
	struct rootfs_request request;

	need_root();
	small_request(&request);
	own_mounts();
	unusual_host();
	snapshot_take(&before);
	request.on_mounts_ready = look_at_state;
	request.user = &before;
	REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_CALLBACK, "returned 42");
	CHECK(error.errnum == 42, "errnum %d", error.errnum);
	CHECK(!strcmp(error.operation, "on_mounts_ready"), "operation %s", error.operation);
	CHECK(state_in_callback, "the callback did not run with the host's signal state");
}

static unsigned steps, last_count, out_of_order, state_in_progress;

static void on_step(void *user, const struct rootfs_progress *p)
{
	if (p->index == 0)
		steps = 0;
	out_of_order += p->index != steps++ || !p->operation[0] || !p->target || !p->pointer || p->size != sizeof *p;
	last_count = p->count;
	if (user) {
		struct snapshot inside;

		/* All but SA_ONSTACK, which handlers keep meanwhile. */
		snapshot_take(&inside);
		for (int sig = 1; sig < 33; sig++)
			state_in_progress += inside.actions[sig].handler != ((struct snapshot *)user)->actions[sig].handler;
		state_in_progress += inside.mask != ((struct snapshot *)user)->mask ||
				     memcmp(&inside.stack, &((struct snapshot *)user)->stack, sizeof inside.stack);
	}
}

static void progress(void)
{
	struct rootfs_request request;

	need_root();
	small_request(&request);
	own_mounts();
	unusual_host();
	snapshot_take(&before);
	request.on_progress = on_step;
	request.user = &before;
	WORKS(rootfs_prepare(&request, &error));
	CHECK(steps == last_count && steps > 8 && !out_of_order, "%u of %u steps, %u out of order", steps, last_count, out_of_order);
	memset(&request, 0xff, sizeof request); /* the library keeps nothing of it */
	WORKS(rootfs_finalize(&error));
	CHECK(steps == last_count && steps > 2 && !out_of_order, "%u of %u steps, %u out of order", steps, last_count, out_of_order);
	CHECK(!state_in_progress, "signal state of Go in a callback, %u times", state_in_progress);
}

/* setuid(2) is done by glibc on every thread, by a signal: the engine's threads must take it. */
static void setuid_after(void)
{
	struct rootfs_request request;
	char line[256];
	FILE *f;
	int threads = 0, mine = 0;

	need_root();
	small_request(&request);
	own_mounts();
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
	CHECK(!setresgid(1234, 1234, 1234) && !setresuid(1234, 1234, 1234), "%s", strerror(errno));
	for (int tid = 1; tid < 4194304; tid++) {
		char path[64];

		snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
		f = fopen(path, "re");
		if (!f) {
			if (tid > getpid() + 2000)
				break;
			if (tid < getpid())
				tid = getpid() - 1;
			continue;
		}
		threads++;
		while (fgets(line, sizeof line, f))
			mine += !strncmp(line, "Uid:\t1234\t1234\t1234\t1234", 24);
		fclose(f);
	}
	CHECK(threads > 1 && threads == mine, "%d threads, %d with the new uid", threads, mine);
}

/* A runtime's threads would keep the host's root if the caller left them behind: told, not done. */
static void unshare_after_start(void)
{
	struct rootfs_request request;

	need_root();
	small_request(&request);
	WORKS(rootfs_start(&error));
	own_mounts();
	if (syscall(SYS_kcmp, getpid(), getpid(), 3, 0, 0) < 0)
		skip("no kcmp");
	REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_STATE, "before the first call");
}

/* And what the kernel says to a host that enters a user namespace too late: documented in docs/embedding.md. */
static void user_namespace_after_start(void)
{
	WORKS(rootfs_start(&error));
	CHECK(unshare(CLONE_NEWUSER) == -1 && errno == EINVAL, "errno %d", errno);
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
	CHECK(mounts >= 0 && setns(mounts, CLONE_NEWNS) == -1 && errno == EINVAL, "setns with shared file system context: %s", strerror(errno));
	CHECK(!unshare(CLONE_FS) && !setns(mounts, CLONE_NEWNS), "setns: %s", strerror(errno));
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
	snapshot_same(&before, &end, "threads");
	resident = status_field("VmRSS:");
	CHECK(resident > 0 && resident < 100 * 1024, "%ld kB resident after 400 calls", resident);
	CHECK(count_tasks() <= 3, "%d threads after 400 calls", count_tasks());
}

const struct test_case state_cases[] = {
	{ "state: limits, descriptors, signals, mask, stack, umask, cwd, environment as before each call", each_call },
	{ "state: the same after calls that fail", each_failing_call },
	{ "state: the host's alternate signal stack stays", own_alternate_stack },
	{ "state: nothing grows with the number of calls", nothing_grows },
	{ "order: calls in the wrong order and twice", wrong_order },
	{ "order: a refused request changes nothing, the next prepare works", prepare_after_failure },
	{ "threads: prepare and finalize from a second thread, in its own namespace", second_thread },
	{ "threads: a stack of 64 KiB", small_stack },
	{ "threads: calls from 8 threads at once", many_threads_at_once },
	{ "callback: calls into the library are refused", callback_calls_library },
	{ "callback: forks and executes", callback_forks },
	{ "threads: cancelled during calls", cancelled },
	{ "callback: its error ends prepare, it has the host's signal state", callback_fails },
	{ "callback: every step is told, in order", progress },
	{ "threads: setuid after finalize reaches all of them", setuid_after },
	{ "namespaces: unshare after rootfs_start is told", unshare_after_start },
	{ "namespaces: a user namespace after rootfs_start is EINVAL", user_namespace_after_start },
	{ "namespaces: verify in another container's root", verify_in_other_root },
	{ NULL, NULL },
};
