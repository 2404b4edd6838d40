/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of the Go runtime, without threads.
 *
 * A Go runtime has one thread of its own at least, and calls abort() where it cannot make one: under RLIMIT_NPROC, in a full
 * pids cgroup, behind a seccomp filter, or while a pid namespace is pending, when clone(CLONE_THREAD) is EINVAL. A process
 * with threads can enter no user namespace, a child forked from it has the memory of the threads and not the threads, and
 * those that stay behind when the caller enters a mount namespace keep the host's root.
 *
 * This one has none. There is one P, what would keep threads busy beside it is taken out (capi/overlay.sh), and so of the
 * threads of the runtime one works and the others sleep. Each is a context here, a stack with saved registers: what the
 * runtime asks of pthread_create is a context more, and when one goes to sleep (where the runtime would call futex), another
 * one goes on, on the same thread of the host's. It needs two: the caller's, and its first one, which initializes packages
 * and collects garbage. All there is of the runtime between two calls is memory, which a fork copies like any other. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "start.h"

/* What the runtime is told its stacks are; the functions of C that it calls there have a quarter as much besides. */
#define STACK ((size_t)256 * 1024)
#define SLACK (STACK / 4)

/* What a context waits for: that the word at address is not value any more, or for some time; -1 is for ever. Laid out as in
 * capi/overlay.sh. */
struct context_sleep {
	const uint32_t *address;
	uint32_t value;
	int64_t nanoseconds;
	void *g; /* what the runtime has in its thread-local storage when this context runs */
};

static struct context {
	void *stack_pointer;
	const struct context_sleep *sleep; /* NULL: not begun, or the host's own */
	int is_due;                        /* its time is over */
	void *(*function)(void *);
	void *argument;
} contexts[4]; /* the first is that of whoever calls */
#define CONTEXTS ((int)(sizeof contexts / sizeof contexts[0]))

static char stacks[CONTEXTS - 1][STACK + SLACK] __attribute__((aligned(4096)));
static int made = 1;
static struct context *running = contexts;
static void (*set_g)(void *);

void context_switch(void **stack_pointer, void *to, void *g, void (*set_g)(void *));
void context_first(void);
void context_begin(void);

/* Leaves one stack, of which it saves the pointer, for another one that was left here too. */
__asm__(".globl context_switch, context_first\n"
	".hidden context_switch, context_first, context_begin\n"
	".type context_switch, @function\n"
	".type context_first, @function\n");
#if defined(__x86_64__)
#define SAVED 6
__asm__(".pushsection .text\n"
	"context_switch:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	mov %rdx, %rdi\n"
	"	call *%rcx\n" /* changes r14, too */
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size context_switch, .-context_switch\n"
	"context_first:\n"
	"	xor %ebp, %ebp\n"
	"	call context_begin\n"
	"	ud2\n"
	".size context_first, .-context_first\n"
	".popsection\n");
#elif defined(__aarch64__)
#define SAVED 19
__asm__(".pushsection .text\n"
	"context_switch:\n"
	"	sub sp, sp, #160\n"
	"	stp d8, d9, [sp, #0]\n"
	"	stp d10, d11, [sp, #16]\n"
	"	stp d12, d13, [sp, #32]\n"
	"	stp d14, d15, [sp, #48]\n"
	"	stp x19, x20, [sp, #64]\n"
	"	stp x21, x22, [sp, #80]\n"
	"	stp x23, x24, [sp, #96]\n"
	"	stp x25, x26, [sp, #112]\n"
	"	stp x27, x28, [sp, #128]\n"
	"	stp x29, x30, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	mov x0, x2\n"
	"	blr x3\n" /* changes x28, too */
	"	ldp d8, d9, [sp, #0]\n"
	"	ldp d10, d11, [sp, #16]\n"
	"	ldp d12, d13, [sp, #32]\n"
	"	ldp d14, d15, [sp, #48]\n"
	"	ldp x19, x20, [sp, #64]\n"
	"	ldp x21, x22, [sp, #80]\n"
	"	ldp x23, x24, [sp, #96]\n"
	"	ldp x25, x26, [sp, #112]\n"
	"	ldp x27, x28, [sp, #128]\n"
	"	ldp x29, x30, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size context_switch, .-context_switch\n"
	"context_first:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	bl context_begin\n"
	"	brk #1\n"
	".size context_first, .-context_first\n"
	".popsection\n");
#endif

static void no_g(void *g)
{
	(void)g; /* the runtime has not begun */
}

static void switch_to(struct context *to)
{
	struct context *from = running;

	running = to;
	context_switch(&from->stack_pointer, to->stack_pointer, to->sleep ? to->sleep->g : NULL, set_g ? set_g : no_g);
}

__attribute__((used)) void context_begin(void)
{
	running->function(running->argument);
}

static int can_run(const struct context *c)
{
	return !c->sleep || c->is_due || __atomic_load_n(c->sleep->address, __ATOMIC_SEQ_CST) != c->sleep->value;
}

/* The latest first: the caller is the last to go on while there is something to do for the runtime. */
static struct context *other_that_can_run(void)
{
	for (int i = made - 1; i >= 0; i--)
		if (&contexts[i] != running && can_run(&contexts[i]))
			return &contexts[i];
	return NULL;
}

/* Nothing happens before somebody's time is over. */
static struct context *sleep_for_one(void)
{
	struct context *first = NULL;
	struct timespec t;

	for (int i = 0; i < made; i++)
		if (contexts[i].sleep && contexts[i].sleep->nanoseconds >= 0 &&
		    (!first || contexts[i].sleep->nanoseconds < first->sleep->nanoseconds))
			first = &contexts[i];
	if (!first) {
		fputs("librootfs: the engine waits for itself\n", stderr);
		abort();
	}
	t.tv_sec = first->sleep->nanoseconds / 1000000000;
	t.tv_nsec = first->sleep->nanoseconds % 1000000000;
	nanosleep(&t, NULL);
	first->is_due = 1;
	return first;
}

/* The runtime's futex (capi/overlay.sh). */
void context_sleep(const struct context_sleep *sleep)
{
	struct context *self = running, *next;

	self->sleep = sleep;
	while (!can_run(self)) {
		next = other_that_can_run();
		if (!next)
			next = sleep_for_one();
		if (next != self)
			switch_to(next);
	}
	self->sleep = NULL;
	self->is_due = 0;
}

void contexts_run(void)
{
	struct context *other;

	while ((other = other_that_can_run()))
		switch_to(other);
}

/* The runtime never looks at the handle, and no function of it returns. */
int __wrap_pthread_create(pthread_t *handle, const pthread_attr_t *attr, void *(*function)(void *), void *argument)
{
	struct context *c;
	void **top;

	(void)attr;
	if (made == CONTEXTS)
		return EAGAIN;
	c = &contexts[made];
	c->function = function;
	c->argument = argument;
	/* As context_switch leaves a stack, returning to context_first; a multiple of 16 from there. */
	top = (void **)(stacks[made - 1] + sizeof stacks[0]) - 3;
	top[0] = (void *)context_first;
	c->stack_pointer = top - SAVED;
	memset(handle, 0, sizeof *handle);
	made++;
	return 0;
}

/* Begins the runtime's first context, with the function that puts a value into its thread-local storage. */
void __real_x_cgo_init(void *g, void (*setg)(void *), void **tlsg, void **tlsbase);
void __wrap_x_cgo_init(void *g, void (*setg)(void *), void **tlsg, void **tlsbase)
{
	set_g = setg;
	__real_x_cgo_init(g, setg, tlsg, tlsbase);
}

/* Where the stack is that the runtime runs on. For its own it is known; for the host's, glibc would read and parse
 * /proc/self/maps (a twentieth of the start). With zeros the runtime counts on 32 KiB below the caller's frame. */
void __wrap_x_cgo_getstackbound(uintptr_t bounds[2])
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0), all = (uintptr_t)stacks;

	bounds[0] = bounds[1] = 0;
	if (here > all && here < all + sizeof stacks) {
		bounds[0] = all + (here - all) / sizeof stacks[0] * sizeof stacks[0] + SLACK;
		bounds[1] = here;
	}
}

/* The runtime takes the default size for that of the thread it gets, and sets its stack guard by it. */
int __wrap_pthread_attr_getstacksize(const pthread_attr_t *attr, size_t *size)
{
	(void)attr;
	*size = STACK;
	return 0;
}

/* Without a key of its own in the host's threads, the runtime lets go of a thread at the end of each call: nothing of it is left
 * in a thread that goes on, or ends, or forks, and the next call may come on another one. */
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
	(void)key;
	(void)destructor;
	return EAGAIN;
}
