/* Callbacks of the host: what they may do, and what they see. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static struct snapshot before;

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

/* A host of which every trait can be told from a default, and what it is like. */
static void begin_unusual(struct rootfs_request *request)
{
	need_root();
	small_request(request);
	own_mounts();
	unusual_host();
	snapshot_take(&before);
	request->user = &before;
}

static int look_at_state(void *user)
{
	struct snapshot inside;

	snapshot_take(&inside);
	state_in_callback = inside.mask == ((struct snapshot *)user)->mask &&
			    !memcmp(inside.actions, ((struct snapshot *)user)->actions, sizeof inside.actions) &&
			    !memcmp(&inside.stack, &((struct snapshot *)user)->stack, sizeof inside.stack);
	return 42;
}

static void callback_fails(void)
{
	struct rootfs_request request;

	begin_unusual(&request);
	request.on_mounts_ready = look_at_state;
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

		snapshot_take(&inside);
		state_in_progress += memcmp(inside.actions, ((struct snapshot *)user)->actions, sizeof inside.actions) != 0;
		state_in_progress += inside.mask != ((struct snapshot *)user)->mask ||
				     memcmp(&inside.stack, &((struct snapshot *)user)->stack, sizeof inside.stack);
	}
}

static void progress(void)
{
	struct rootfs_request request;

	begin_unusual(&request);
	request.on_progress = on_step;
	WORKS(rootfs_prepare(&request, &error));
	CHECK(steps == last_count && steps > 8 && !out_of_order, "%u of %u steps, %u out of order", steps, last_count, out_of_order);
	memset(&request, 0xff, sizeof request); /* the library keeps nothing of it */
	WORKS(rootfs_finalize(&error));
	CHECK(steps == last_count && steps > 2 && !out_of_order, "%u of %u steps, %u out of order", steps, last_count, out_of_order);
	CHECK(!state_in_progress, "signal state of Go in a callback, %u times", state_in_progress);
}

const struct test_case callback_cases[] = {
	{ "callback: calls into the library are refused", callback_calls_library },
	{ "callback: forks and executes", callback_forks },
	{ "callback: its error ends prepare, it has the host's signal state", callback_fails },
	{ "callback: every step is told, in order", progress },
	{ NULL, NULL },
};
