/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads for the Go runtime, made before it wants them.
 *
 * The runtime calls abort() where it cannot make a thread: under RLIMIT_NPROC, in a full pids cgroup, behind a seccomp
 * filter, or after unshare(CLONE_NEWPID), when clone(CLONE_THREAD) is EINVAL. A library must not kill its host, so the
 * engine is linked with --wrap=pthread_create: threads are made first, parked; where one cannot be, the call is refused;
 * and when the runtime asks for one, it is handed out, which cannot fail.
 *
 * It asks for one when it starts. There is one P, what would start threads beside it is taken out (capi/overlay.sh), no code of
 * the engine starts a goroutine, and no call comes in while packages are initialized (start.c); but when the collector
 * starts, in a rare moment of the scheduler's, it can want another. That one is made while the runtime comes up, so that
 * nobody waits for it. tests/host counts the threads over many collections. */
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

/* What the runtime is told its stacks are. Its own threads make do with 16 KiB; a small number keeps the reservation small
 * under RLIMIT_AS. */
#define STACK (256 * 1024)

#define THREADS FOR_A_CALL
static struct thread {
	_Atomic uint32_t has_work; /* a futex */
	_Atomic int tid;           /* a futex, too: 0 until the thread runs */
	void *(*fn)(void *);
	void *arg;
} threads[THREADS];
static int made;
static _Atomic uint32_t handed_out;

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __real_pthread_attr_getstacksize(const pthread_attr_t *, size_t *);

static void await(void *futex)
{
	while (!__atomic_load_n((uint32_t *)futex, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, futex, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void set(void *futex, uint32_t value)
{
	__atomic_store_n((uint32_t *)futex, value, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *park(void *p)
{
	struct thread *thread = p;

	set(&thread->tid, (uint32_t)syscall(SYS_gettid));
	await(&thread->has_work);
	return thread->fn(thread->arg);
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
	const char *advice = "threads are limited here (RLIMIT_NPROC, the pids cgroup, or memory): allow 2 more";

	err = real_reason(err);
	if (err == EINVAL)
		advice = "a pid namespace is pending: after unshare(CLONE_NEWPID) or setns to one, fork once more and call in the child";
	else if (err == EPERM || err == ENOSYS)
		advice = "a seccomp filter or security module refuses clone: install it after the last call";
	return start_fail(error, ROOTFS_ERR_THREADS, err, "pthread_create",
			  "no thread can be made in this process: %s; %s", strerror(err), advice);
}

static int make(struct thread *thread)
{
	pthread_t handle;
	pthread_attr_t attr;
	sigset_t all, old;
	char name[16]; /* TASK_COMM_LEN */
	long least = sysconf(_SC_THREAD_STACK_MIN);
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* A host with much thread-local storage has it on each stack. */
	pthread_attr_setstacksize(&attr, STACK + (least > 0 ? ((size_t)least + 4095) / 4096 * 4096 : 0));
	/* Everything blocked, for good: a signal for the process is then never taken by a thread of the runtime. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* A thread begins with the name of the one that makes it. The name is for people, and for a second copy of the library
	 * in this process, which may look for it before the thread has run at all. */
	prctl(PR_GET_NAME, name);
	prctl(PR_SET_NAME, ENGINE_THREAD);
	err = __real_pthread_create(&handle, &attr, park, thread);
	prctl(PR_SET_NAME, name);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

int threads_make(int count, struct rootfs_error *error)
{
	for (; made < count; made++) {
		int err = make(&threads[made]);

		if (err)
			return refuse(error, err);
	}
	return 0;
}

/* The runtime's pthread_create. It always asks for a detached thread and never looks at the handle. */
int __wrap_pthread_create(pthread_t *handle, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	uint32_t n = atomic_fetch_add(&handed_out, 1);

	if (n >= THREADS)
		return __real_pthread_create(handle, attr, fn, arg);
	threads[n].fn = fn;
	threads[n].arg = arg;
	memset(handle, 0, sizeof *handle);
	set(&threads[n].has_work, 1);
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
		if (p && p == threads[i].arg)
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

int threads_share_fs(void)
{
	await(&threads[0].tid);
	/* Where kcmp is not built in or not allowed there is no telling, and the ordinary host goes on. */
	return syscall(SYS_kcmp, (pid_t)syscall(SYS_gettid), threads[0].tid, KCMP_FS, 0, 0) <= 0;
}
