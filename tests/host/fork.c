/* Hosts that fork: with many threads, after a validate, after the engine was loaded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static struct rootfs_request request;

static void set_up_once(void)
{
	own_mounts();
	WORKS(rootfs_prepare(&request, &error));
	WORKS(rootfs_finalize(&error));
}

static void validate_then_fork(void)
{
	char *text;

	need_root();
	small_request(&request);
	for (int i = 0; i < 3; i++) {
		WORKS(rootfs_validate(&request, &error));
		WORKS(rootfs_plan(&request, &text, &error));
		rootfs_free(text);
		WORKS(rootfs_features(&text, &error));
		rootfs_free(text);
		CHECK(count_tasks() == 1, "%d threads in the parent", count_tasks());
		as_child(set_up_once, 20);
	}
}

static void in_new_pid_namespace(void)
{
	if (unshare(CLONE_NEWPID))
		skip("unshare(CLONE_NEWPID): %s", strerror(errno));
	as_child(set_up_once, 20);
}

static void started_then_fork(void)
{
	need_root();
	small_request(&request);
	WORKS(rootfs_start(&error));
	for (int i = 0; i < 50; i++)
		as_child(set_up_once, 20);
	as_child(in_new_pid_namespace, 20);
}

static void *verify_once(void *unused)
{
	struct rootfs_error own = ROOTFS_ERROR_INIT;
	char *text;

	(void)unused;
	if (!rootfs_verify(&request, &text, &own))
		rootfs_free(text);
	return NULL;
}

/* The calls before were those of threads, this one's and others': one that still lives, and one that has ended. */
static void used_then_fork(void)
{
	pthread_t thread;

	need_root();
	small_request(&request);
	verify_once(NULL);
	pthread_create(&thread, NULL, verify_once, NULL);
	pthread_join(thread, NULL);
	for (int i = 0; i < 20; i++)
		as_child(set_up_once, 20);
	verify_once(NULL);
	as_child(started_then_fork, 60); /* and its children */
}

static void refused_in_fork(void)
{
	char *text;
	int master;

	REFUSED(rootfs_start(&error), ROOTFS_ERR_FORKED, "forked");
	REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_FORKED, "forked");
	REFUSED(rootfs_console(NULL, &master, &error), ROOTFS_ERR_FORKED, "forked");
	REFUSED(rootfs_finalize(&error), ROOTFS_ERR_FORKED, "forked");
	REFUSED(rootfs_verify(NULL, &text, &error), ROOTFS_ERR_FORKED, "forked");
}

static void refused_in_new_pid_namespace(void)
{
	if (unshare(CLONE_NEWPID))
		skip("unshare(CLONE_NEWPID): %s", strerror(errno));
	as_child(refused_in_fork, 10);
}

/* What is prepared is the parent's root, and to be finalized by the parent. */
static void prepared_then_fork(void)
{
	struct rootfs_request wrong;

	need_root();
	small_request(&request);
	own_mounts();
	/* One that is refused before it has changed anything is none. */
	long_request(&wrong);
	REFUSED(rootfs_prepare(&wrong, &error), ROOTFS_ERR_INVALID, "/linux/maskedPaths/0");
	as_child(set_up_once, 20);
	WORKS(rootfs_prepare(&request, &error));
	as_child(refused_in_fork, 10);
	as_child(refused_in_new_pid_namespace, 10);
	WORKS(rootfs_finalize(&error));
	as_child(refused_in_fork, 10);
}

static _Atomic int stop;
static _Atomic unsigned between_calls; /* microseconds */

/* A fork while another thread is anywhere inside the library, or not: then the child works. */
static void *keep_calling(void *unused)
{
	while (!atomic_load(&stop)) {
		verify_once(unused);
		usleep(atomic_load(&between_calls));
	}
	return NULL;
}

static void works_or_refused(void)
{
	int code;

	own_mounts();
	code = rootfs_prepare(&request, &error);
	if (code == ROOTFS_ERR_FORKED)
		_exit(91);
	WORKS(code);
	WORKS(rootfs_finalize(&error));
	_exit(92);
}

static void fork_during_call(void)
{
	int works = 0, refused = 0, status;
	pthread_t threads[2];

	need_root();
	small_request(&request);
	atomic_store(&between_calls, 100);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, keep_calling, NULL);
	for (int i = 0; i < 400 && (i < 100 || !works || !refused); i++) {
		if (i % 50 == 49 && !works) /* on a slow machine somebody is always inside */
			atomic_store(&between_calls, 2 * atomic_load(&between_calls));
		status = in_child(works_or_refused, 10);
		CHECK(status >= 0 && WIFEXITED(status) && (WEXITSTATUS(status) == 91 || WEXITSTATUS(status) == 92), "status %x", (unsigned)status);
		works += WEXITSTATUS(status) == 92;
		refused += WEXITSTATUS(status) == 91;
		usleep((unsigned)i % 10 * 50);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK(works && refused, "%d work, %d are refused", works, refused);
}

/* The case that breaks a plain Go library: collector and goroutines in a child. Here in the process that loads it. */
static void *busy(void *p)
{
	unsigned seed = (unsigned)(size_t)p;
	char line[128];

	while (!atomic_load(&stop)) {
		void *blocks[64];
		void *handle;
		FILE *f;

		for (int i = 0; i < 64; i++)
			blocks[i] = malloc((size_t)rand_r(&seed) % 9000);
		for (int i = 0; i < 64; i++)
			free(blocks[i]);
		handle = dlopen(seed & 64 ? "libm.so.6" : "libresolv.so.2", RTLD_NOW);
		if (handle)
			dlclose(handle);
		f = fopen("/proc/self/stat", "re");
		if (f && !fgets(line, sizeof line, f))
			line[0] = 0;
		if (f)
			fclose(f);
		usleep(100);
	}
	return NULL;
}

struct forker {
	int rounds, bad;
	char why[256];
};

static int set_up_silently(struct rootfs_error *own)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 100;
	if (rootfs_prepare(&request, own))
		return 101;
	return rootfs_finalize(own) ? 102 : 0;
}

static void *fork_and_set_up(void *p)
{
	struct forker *f = p;

	for (int i = 0; i < f->rounds && !f->bad; i++) {
		struct rootfs_error got = ROOTFS_ERROR_INIT;
		int result[2], status;
		pid_t pid;

		if (pipe2(result, O_CLOEXEC))
			abort();
		pid = fork();
		if (pid == 0) {
			struct rootfs_error own = ROOTFS_ERROR_INIT;
			int code;

			alarm(20);
			code = set_up_silently(&own);
			if (write(result[1], &own, sizeof own) < 0)
				code = 103;
			_exit(code);
		}
		close(result[1]);
		if (read(result[0], &got, sizeof got) != sizeof got)
			got.message[0] = 0;
		close(result[0]);
		waitpid(pid, &status, 0);
		if (status) {
			f->bad++;
			snprintf(f->why, sizeof f->why, "round %d: status %x: %.200s", i, (unsigned)status, got.message);
		}
	}
	return NULL;
}

#define THREADS 16
static void many_threads_fork(void)
{
	const char *wanted = getenv("HOST_FORKS");
	int rounds = (wanted ? atoi(wanted) : 480) / THREADS;
	struct forker forkers[THREADS] = { { 0 } };
	pthread_t busy_threads[THREADS], threads[THREADS];

	need_root();
	small_request(&request);
	for (size_t i = 0; i < THREADS; i++) {
		forkers[i].rounds = rounds;
		pthread_create(&busy_threads[i], NULL, busy, (void *)i);
		pthread_create(&threads[i], NULL, fork_and_set_up, &forkers[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(busy_threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		CHECK(!forkers[i].bad, "forker %d: %s", i, forkers[i].why);
	CHECK(count_tasks() == 1, "%d threads left", count_tasks());
}

static void *validate_often(void *p)
{
	struct forker *f = p;
	struct rootfs_error own = ROOTFS_ERROR_INIT;

	for (int i = 0; i < f->rounds && !f->bad; i++)
		if (rootfs_validate(&request, &own)) {
			f->bad++;
			snprintf(f->why, sizeof f->why, "%.250s", own.message);
		}
	return NULL;
}

static void many_threads_validate(void)
{
	struct forker callers[4] = { { 0 } };
	pthread_t busy_threads[THREADS], threads[4];

	small_request(&request);
	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&busy_threads[i], NULL, busy, (void *)i);
	for (int i = 0; i < 4; i++) {
		callers[i].rounds = 10;
		pthread_create(&threads[i], NULL, validate_often, &callers[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(busy_threads[i], NULL);
	for (int i = 0; i < 4; i++)
		CHECK(!callers[i].bad, "caller %d: %s", i, callers[i].why);
}

/* A child's failure reaches its parent whole, by one write to a pipe. */
static void error_over_pipe(void)
{
	struct rootfs_error got = ROOTFS_ERROR_INIT;
	int ends[2];
	pid_t pid;

	need_root();
	small_request(&request);
	request.config = "{ \"root\": { \"path\": \"/\" }, \"mounts\": [ { \"destination\": \"/x\", \"type\": \"nosuchfs\" } ] }";
	request.config_len = strlen(request.config);
	CHECK(!pipe(ends) && sizeof got <= 4096, "pipe");
	pid = fork();
	if (pid == 0) {
		own_mounts();
		_exit(rootfs_prepare(&request, &error) && write(ends[1], &error, sizeof error) == sizeof error ? 0 : 1);
	}
	CHECK(read(ends[0], &got, sizeof got) == sizeof got, "short read");
	waitpid(pid, NULL, 0);
	CHECK(got.size == sizeof got && got.code && got.operation[0] && got.pointer[0] == '/' && strstr(got.message, got.pointer),
	      "%d %s %s %s", got.code, got.operation, got.pointer, got.message);
}

const struct test_case fork_cases[] = {
	{ "fork: validate, plan and features in the parent, then a child sets up", validate_then_fork },
	{ "fork: children of a process that called rootfs_start set up, also in a new pid namespace", started_then_fork },
	{ "fork: children of one that used the engine, from several threads, and their children", used_then_fork },
	{ "fork: after rootfs_prepare each call in the child is refused at once", prepared_then_fork },
	{ "fork: while other threads are inside the library the child works or is refused at once", fork_during_call },
	{ "fork: 16 threads fork children that set up, beside 16 busy ones", many_threads_fork },
	{ "fork: validate from 4 threads beside 16 busy ones", many_threads_validate },
	{ "fork: an error crosses a pipe whole", error_over_pipe },
	{ NULL, NULL },
};
