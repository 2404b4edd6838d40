/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine in this process: loaded once, used by one thread at a time, never by a child that was forked later.
 *
 * A fork takes over the memory of the engine and none of its threads: a call there would hang for ever at the first need
 * of one. It is told by a page that the kernel gives a child empty (MADV_WIPEONFORK), which no coincidence of process ids
 * in a new pid namespace can spoil. The check comes before the lock, which another thread may have held when the process
 * was forked. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

static _Atomic pid_t owner;             /* the process that loads or has loaded the engine; 0 where none */
static char *_Atomic mark;              /* the page: 1 in the process that made it, 0 in its children */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic pid_t holder;            /* thread that is inside the engine */
static const struct engine_entry *entry;
static int started;
static _Thread_local stack_t go_stack; /* engine.h */

static int forked(struct rootfs_error *error)
{
	return fail(error, ROOTFS_ERR_FORKED, 0, "engine", "this process was forked after its parent loaded the engine (rootfs_start, "
		    "rootfs_prepare or another call of the init child), whose threads do not exist here: make those calls in the "
		    "init child only; rootfs_validate, rootfs_plan, rootfs_features and rootfs_open_sources are safe in a parent");
}

/* Makes this process the owner, or finds that it is, or refuses. */
static int claim(struct rootfs_error *error)
{
	pid_t self = getpid(), was = 0;
	char *page;

	if (!atomic_compare_exchange_strong(&owner, &was, self)) {
		if (was != self)
			return forked(error);
		/* Another thread is at the few lines below; in a child whose pid is the parent's by chance, it never was. */
		for (int i = 0; !(page = atomic_load(&mark)) && i < 100000; i++)
			sched_yield();
		return page && *page ? 0 : forked(error);
	}
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		int err = errno;

		atomic_store(&owner, 0);
		return fail(error, ROOTFS_ERR_SYSTEM, err, "mmap", "mmap: %s", strerror(err));
	}
	/* A kernel before 4.14 has no such advice; the process id is all there is then. */
	(void)madvise(page, 4096, MADV_WIPEONFORK);
	*page = 1;
	atomic_store(&mark, page);
	return 0;
}

/* After a failed start nothing of Go is in this process: a child may try with better luck ("fork once more"). */
static void unclaim(void)
{
	char *page = atomic_exchange(&mark, NULL);

	atomic_store(&owner, 0);
	munmap(page, 4096);
}

static int enter(struct rootfs_error *error)
{
	pid_t self = (pid_t)syscall(SYS_gettid);
	int code;

	for (;;) {
		code = claim(error);
		if (code)
			return code;
		if (atomic_load(&holder) == self)
			return fail(error, ROOTFS_ERR_STATE, 0, "callback", "a callback may not call the library");
		pthread_mutex_lock(&lock);
		if (atomic_load(&owner))
			break;
		/* The thread that was in here failed and gave up the claim of both. */
		pthread_mutex_unlock(&lock);
	}
	atomic_store(&holder, self);
	return 0;
}

static void leave(void)
{
	atomic_store(&holder, 0);
	pthread_mutex_unlock(&lock);
}

static int load(struct rootfs_error *error)
{
	char path[4096];
	int code = 0;

	if (started)
		return 0;
	if (!entry)
		code = path_beside("librootfs-engine.so", path, sizeof path, error);
	if (!code)
		code = engine_open(path, &entry, error);
	if (code)
		unclaim();
	else
		started = 1;
	return code;
}

int process_start(struct rootfs_error *error)
{
	int code = enter(error);

	if (code)
		return code;
	code = load(error);
	leave();
	return code;
}

int process_run(struct engine_call *call)
{
	int code = enter(&call->error);

	if (code)
		return code;
	code = load(&call->error);
	if (!code) {
		call->go_stack = &go_stack;
		code = entry->run(call);
	}
	leave();
	return code;
}
