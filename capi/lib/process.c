/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine in this process: loaded once, used by one thread at a time, and taken over by the children that are forked.
 *
 * The engine is memory without threads, so a fork copies it as it copies the host. Not so when it is in use at that moment,
 * by a thread that the child does not have: the child is refused. It is told by a page that the kernel gives a child empty
 * (MADV_WIPEONFORK), which no coincidence of process ids in a new pid namespace can spoil. A child of a process that has
 * begun to set up its root is refused as well: what the engine knows is about the other process. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

static _Atomic pid_t holder;            /* the thread that is inside: the lock, a futex */
static _Atomic int waiting;             /* threads that want to be */
static _Atomic pid_t *_Atomic mine;     /* the page: the process that has used the engine, 0 in a child that has not yet */
static _Atomic int preparing;           /* rootfs_prepare has begun to work */
static const struct engine_entry *entry;
static int started;

static int forked(struct rootfs_error *error, const char *when)
{
	return fail(error, ROOTFS_ERR_FORKED, 0, "engine", "this process was forked %s: fork before, or make the call there", when);
}

static _Atomic pid_t *own_page(void)
{
	_Atomic pid_t *page = atomic_load(&mine), *none = NULL;

	if (page)
		return page;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return NULL;
	/* A kernel before 4.14 has no such advice; the process id is all there is then. */
	(void)madvise(page, 4096, MADV_WIPEONFORK);
	if (!atomic_compare_exchange_strong(&mine, &none, page)) {
		munmap(page, 4096);
		page = none; /* another thread was faster */
	}
	return page;
}

static int enter(struct rootfs_error *error)
{
	pid_t self = (pid_t)syscall(SYS_gettid), process = getpid(), was;
	_Atomic pid_t *page = own_page();

	if (!page)
		return fail(error, ROOTFS_ERR_SYSTEM, errno, "mmap", "mmap: %s", strerror(errno));
	if (atomic_load(page) != process) {
		/* In this order: a thread of this process that is inside by now has set the page before. */
		if (atomic_load(&holder) && atomic_load(page) != process)
			return forked(error, "in the middle of a call of librootfs, from a callback or by another thread");
		if (atomic_load(&preparing) && atomic_load(page) != process)
			return forked(error, "after its parent had called rootfs_prepare, for the parent's own root");
		atomic_store(page, process);
	}
	for (was = 0; !atomic_compare_exchange_strong(&holder, &was, self); was = 0) {
		if (was == self)
			return fail(error, ROOTFS_ERR_STATE, 0, "callback", "a callback may not call the library");
		atomic_fetch_add(&waiting, 1);
		syscall(SYS_futex, &holder, FUTEX_WAIT_PRIVATE, was, NULL, NULL, 0);
		atomic_fetch_sub(&waiting, 1);
	}
	return 0;
}

static void leave(void)
{
	atomic_store(&holder, 0);
	if (atomic_load(&waiting))
		syscall(SYS_futex, &holder, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
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
	started = !code;
	return code;
}

int process_start(struct rootfs_error *error)
{
	struct engine_call rehearsal = { .op = ENGINE_REHEARSE };
	int code = enter(error), was_started = started;

	if (code)
		return code;
	code = load(error);
	if (!code && !was_started)
		(void)entry->run(&rehearsal);
	leave();
	return code;
}

int process_run(struct engine_call *call)
{
	int code = enter(&call->error);

	if (code)
		return code;
	/* Not asked by a pid 1, which a caller is most often, and which has forked: it takes a hundredth of a whole set-up. */
	if (call->op == ENGINE_PREPARE && getpid() != 1 && pid_namespace_pending())
		code = fail(&call->error, ROOTFS_ERR_STATE, 0, "rootfs_prepare", "a pid namespace is pending in this process (unshare or setns): the "
			    "container's /proc would be that of another one, and a hook could become its init: fork once more, and call in the child");
	if (!code)
		code = load(&call->error);
	if (!code) {
		code = entry->run(call);
		atomic_fetch_or(&preparing, call->begun);
	}
	leave();
	return code;
}
