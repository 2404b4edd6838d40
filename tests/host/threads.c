/* Threads of the host: which may call, and what happens to them. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "host.h"

static struct snapshot before, after;

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
	snapshot_same(&before, &after, "");
}

/* What takes long before a call can begin can be done on a thread of the host's. */
static void *start_only(void *result)
{
	struct rootfs_error own = ROOTFS_ERROR_INIT;

	*(int *)result = rootfs_start(&own);
	return NULL;
}

static void started_elsewhere(void)
{
	pthread_t thread;
	int result = -1;

	need_root();
	small_request(&shared_request);
	own_mounts();
	pthread_create(&thread, NULL, start_only, &result);
	WORKS(rootfs_prepare(&shared_request, &error)); /* meanwhile, or before, or after */
	pthread_join(thread, NULL);
	CHECK(result == 0, "%d", result);
	WORKS(rootfs_finalize(&error));
	CHECK(count_tasks() == 1, "%d threads", count_tasks());
}

/* The kernel lets a process with several threads into no user namespace, and one whose threads share the root into no mount
 * namespace: a process with the engine is not one. */
static void namespaces_after_start(void)
{
	need_root();
	small_request(&shared_request);
	WORKS(rootfs_start(&error));
	own_mounts();
	WORKS(rootfs_prepare(&shared_request, &error));
	WORKS(rootfs_finalize(&error));
}

static void user_namespace_after_start(void)
{
	char *report;

	WORKS(rootfs_start(&error));
	if (unshare(CLONE_NEWUSER)) {
		CHECK(errno != EINVAL, "EINVAL: for the kernel, this process has threads");
		skip("unshare(CLONE_NEWUSER): %s", strerror(errno));
	}
	small_request(&shared_request);
	WORKS(rootfs_verify(&shared_request, &report, &error));
	rootfs_free(report);
}

const struct test_case threads_cases[] = {
	{ "threads: prepare and finalize from a second thread, in its own namespace", second_thread },
	{ "threads: a stack of 64 KiB", small_stack },
	{ "threads: calls from 8 threads at once", many_threads_at_once },
	{ "threads: cancelled during calls", cancelled },
	{ "threads: rootfs_start on a thread of its own", started_elsewhere },
	{ "namespaces: a mount namespace after rootfs_start", namespaces_after_start },
	{ "namespaces: a user namespace after rootfs_start", user_namespace_after_start },
	{ NULL, NULL },
};
