/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads for the Go runtime, made before it starts.
 *
 * The runtime calls abort() where it cannot make a thread: under RLIMIT_NPROC, in a full pids cgroup, behind a seccomp
 * filter, or after unshare(CLONE_NEWPID), when clone(CLONE_THREAD) is EINVAL. A library must not kill its host, so the
 * engine is linked with --wrap=pthread_create: all the threads that the runtime needs are made first, parked; where one
 * cannot be, all are dismissed and the call is refused; and when the runtime asks for a thread, a parked one is handed
 * out, which cannot fail. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "start.h"

/* With one P, and without the threads that capi/overlay.sh takes away, the runtime of Go 1.26 asks for one: its first. A
 * collection may ask for another. tests/host holds the number that were handed out against this. */
#define THREADS 2

/* What the runtime is told its stacks are. Its own threads make do with 16 KiB; a small number keeps the reservation small
 * under RLIMIT_AS. */
#define STACK (256 * 1024)

struct slot {
	_Atomic uint32_t state; /* a futex: PARKED until there is work or dismissal */
	_Atomic int tid;
	void *(*fn)(void *);
	void *arg;
};
#define PARKED 0
#define WORK 1
#define DISMISSED 2

static struct slot slots[THREADS];
static _Atomic uint32_t handed_out;
static _Atomic uint32_t open_for_business;

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __real_pthread_attr_getstacksize(const pthread_attr_t *, size_t *);

static void *park(void *p)
{
	struct slot *slot = p;
	void *(*fn)(void *);

	atomic_store(&slot->tid, (int)syscall(SYS_gettid));
	if (slot == &slots[0]) /* pool_shares_fs may wait for it */
		syscall(SYS_futex, &slot->tid, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	while (atomic_load(&slot->state) == PARKED)
		syscall(SYS_futex, &slot->state, FUTEX_WAIT_PRIVATE, PARKED, NULL, NULL, 0);
	if (atomic_load(&slot->state) == DISMISSED)
		return NULL;
	fn = slot->fn;
	return fn(slot->arg);
}

static void wake(struct slot *slot, uint32_t state)
{
	atomic_store(&slot->state, state);
	syscall(SYS_futex, &slot->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* The kernel's own reason: glibc passes it on, musl says EAGAIN whatever it was. */
static int real_reason(int err)
{
	char link[64];

	if (err != EAGAIN)
		return err;
	/* Invalid for the kernel (EINVAL), so it makes nothing, but a filter sees the call before the kernel does. */
	if (syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0) < 0 && (errno == EPERM || errno == ENOSYS))
		return errno;
	/* Pending, and without its first process: the link has no target yet. */
	if (readlink("/proc/thread-self/ns/pid", link, sizeof link) > 0 &&
	    readlink("/proc/thread-self/ns/pid_for_children", link, sizeof link) < 0)
		return EINVAL;
	return err;
}

static int refuse(struct rootfs_error *error, int err)
{
	const char *advice = "threads are limited here (RLIMIT_NPROC, the pids cgroup, or memory): allow 3 more";

	err = real_reason(err);
	if (err == EINVAL)
		advice = "a pid namespace is pending: after unshare(CLONE_NEWPID) or setns to one, fork once more and call in the child";
	else if (err == EPERM || err == ENOSYS)
		advice = "a seccomp filter or security module refuses clone: install it after the last call";
	return start_fail(error, ROOTFS_ERR_THREADS, err, "pthread_create",
			  "no thread can be made in this process: %s; %s", strerror(err), advice);
}

int pool_make(struct rootfs_error *error)
{
	pthread_t threads[THREADS];
	pthread_attr_t attr;
	sigset_t all, old;
	char name[16]; /* TASK_COMM_LEN */
	long least = sysconf(_SC_THREAD_STACK_MIN);
	int err = 0, n;

	memset(slots, 0, sizeof slots);
	pthread_attr_init(&attr);
	/* A host with much thread-local storage has it on each stack. */
	pthread_attr_setstacksize(&attr, STACK + (least > 0 ? ((size_t)least + 4095) / 4096 * 4096 : 0));
	/* Everything blocked, for good: a signal for the process is then never taken by a thread of the runtime. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* A thread begins with the name of the one that makes it. The name is for people, and for a second copy of the library
	 * in this process, which may look for it before a thread has run at all. */
	prctl(PR_GET_NAME, name);
	prctl(PR_SET_NAME, ENGINE_THREAD);
	for (n = 0; n < THREADS; n++) {
		err = __real_pthread_create(&threads[n], &attr, park, &slots[n]);
		if (err)
			break;
	}
	prctl(PR_SET_NAME, name);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (err) {
		for (int i = 0; i < n; i++)
			wake(&slots[i], DISMISSED);
		for (int i = 0; i < n; i++)
			pthread_join(threads[i], NULL);
		return refuse(error, err);
	}
	for (n = 0; n < THREADS; n++)
		pthread_detach(threads[n]);
	atomic_store(&handed_out, 0);
	atomic_store(&open_for_business, 1);
	return 0;
}

/* The runtime's pthread_create. It always asks for a detached thread and never looks at the handle. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	struct slot *slot;
	uint32_t n;

	if (!atomic_load(&open_for_business))
		return EAGAIN;
	n = atomic_fetch_add(&handed_out, 1);
	if (n >= THREADS)
		return __real_pthread_create(thread, attr, fn, arg);
	slot = &slots[THREADS - 1 - n]; /* the youngest first: it has most often not gone to sleep yet */
	slot->fn = fn;
	slot->arg = arg;
	memset(thread, 0, sizeof *thread);
	wake(slot, WORK);
	return 0;
}

/* The runtime's first thread begins with a malloc of two words, and every thread with the free of what it was handed. glibc
 * would make a malloc arena for each thread then (a mapping of 128 MiB, cut down, and its first pages), for nothing: these
 * few bytes are kept instead. */
static _Atomic uint32_t first_given;
static uintptr_t first[2];

void *__real_malloc(size_t);
void *__wrap_malloc(size_t size)
{
	if (size == sizeof first && !atomic_exchange(&first_given, 1))
		return first;
	return __real_malloc(size);
}

void __real_free(void *);
void __wrap_free(void *p)
{
	if (p == first)
		return;
	for (int i = 0; i < THREADS; i++)
		if (p && p == slots[i].arg)
			return;
	__real_free(p);
}

/* Where the calling thread's stack is. For the runtime's first thread it is known; for the host's, glibc would read and
 * parse /proc/self/maps (a twentieth of the start). With zeros the runtime counts on 32 KiB below the caller's frame. */
void __wrap_x_cgo_getstackbound(uintptr_t bounds[2])
{
	static _Atomic uint32_t asked;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	bounds[0] = bounds[1] = 0;
	if (!atomic_exchange(&asked, 1)) {
		bounds[0] = here - STACK / 4 * 3;
		bounds[1] = here;
	}
}

/* The runtime takes the default size for that of the thread it gets, and sets its stack guard by it. */
int __wrap_pthread_attr_getstacksize(const pthread_attr_t *attr, size_t *size)
{
	int err = __real_pthread_attr_getstacksize(attr, size);

	if (!err && *size > STACK)
		*size = STACK;
	return err;
}

int pool_shares_fs(void)
{
	int tid;

	while (!(tid = atomic_load(&slots[0].tid))) /* made, but not scheduled yet */
		syscall(SYS_futex, &slots[0].tid, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	/* Where kcmp is not built in or not allowed there is no telling, and the ordinary host goes on. */
	return syscall(SYS_kcmp, (pid_t)syscall(SYS_gettid), tid, KCMP_FS, 0, 0) <= 0;
}
