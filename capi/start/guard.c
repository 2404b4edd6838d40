/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals belong to the host; the Go runtime takes some while the host's thread is inside a call, and no longer.
 *
 * What Go wants and why:
 *  - handlers for SIGSEGV, SIGBUS and SIGFPE: a nil pointer becomes a panic, and the panic an error return;
 *    SIGPIPE: a hook that exits without reading its state must not kill the host;
 *  - SA_ONSTACK on every handler of the host's, since a handler that ran on a goroutine's stack of a few KiB would write
 *    past it; and an alternate stack for the thread;
 *  - those three signals unblocked.
 * All of it is put back when the call returns, unless the host changed it meanwhile from another thread.
 *
 * Raw system calls: the kernel's struct is copied whole, with flags that glibc keeps to itself, and 32 and 33 included. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "start.h"

extern const char __ehdr_start[] __attribute__((visibility("hidden"))), _end[] __attribute__((visibility("hidden")));

struct action {
	unsigned long handler, flags, restorer, mask;
};

static const int go_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGPIPE };
#define GO_SIGNALS ((int)(sizeof go_signals / sizeof go_signals[0]))
#define SIGNALS 64
/* Up to here the handlers of the host get their stack on each stay. The real-time signals after it, of which a host has most
 * often none, are held back instead until the call returns, or a hook runs: asking for each of them would be a third of the
 * system calls of a rootfs_finalize. 32 to 34 are asked for: the C libraries have them for themselves, and they cannot wait. */
#define ASKED 34

static struct action go_actions[GO_SIGNALS]; /* what the runtime installed when it started */

/* What one stay in Go changed, to be put back. One thread at a time is inside (the library's lock), but it may leave for
 * a callback and come back. */
static struct {
	struct action was[SIGNALS + 1], set[SIGNALS + 1];
	unsigned char touched[SIGNALS + 1];
	sigset_t mask;
	stack_t stack, go_stack; /* the thread's alternate one: the host's, and what the runtime put there for this call */
} stay;

static long sigaction_raw(int sig, const struct action *set, struct action *old)
{
	return syscall(SYS_rt_sigaction, sig, set, old, 8);
}

static void mask_raw(int how, const sigset_t *set, sigset_t *old)
{
	syscall(SYS_rt_sigprocmask, how, set, old, 8);
}

/* Those that Go turns into panics, and that the kernel makes deadly where they are blocked. */
static void without_faults(sigset_t *set)
{
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGBUS);
	sigdelset(set, SIGFPE);
}

static int is_handler(const struct action *a)
{
	return a->handler != (unsigned long)SIG_DFL && a->handler != (unsigned long)SIG_IGN;
}

/* Whether a handler is the runtime's: code of this file. */
static int in_engine(const struct action *a)
{
	return a->handler >= (unsigned long)__ehdr_start && a->handler < (unsigned long)_end;
}

static int go_index(int sig)
{
	for (int i = 0; i < GO_SIGNALS; i++)
		if (go_signals[i] == sig)
			return i;
	return -1;
}

static int same(const struct action *a, const struct action *b)
{
	return a->handler == b->handler && a->flags == b->flags;
}

/* Reads and sets in one call, so that a change from another thread of the host is seen on one side or the other. */
static void exchange(int sig, const struct action *to)
{
	stay.set[sig] = *to;
	stay.touched[sig] = !sigaction_raw(sig, to, &stay.was[sig]) && !same(&stay.was[sig], to);
}

static void restore(int sig)
{
	struct action now;

	if (stay.touched[sig] && !sigaction_raw(sig, &stay.was[sig], &now) && !same(&now, &stay.set[sig]))
		sigaction_raw(sig, &now, NULL); /* the host's newer one */
	stay.touched[sig] = 0;
}

/* A handler of the host's must not run on a goroutine's stack. */
static void give_stack(int sig)
{
	struct action now;

	if (!sigaction_raw(sig, NULL, &now) && is_handler(&now) && !(now.flags & SA_ONSTACK)) {
		now.flags |= SA_ONSTACK;
		exchange(sig, &now);
	}
}

/* What the runtime installs when it is started, synchronously; of the other signals it leaves its hands (capi/overlay.sh). It
 * sends itself no SIGURG, but has a handler for it. */
static const int started_with[] = { SIGSEGV, SIGBUS, SIGFPE, SIGPIPE, SIGURG };
#define STARTED_WITH ((int)(sizeof started_with / sizeof started_with[0]))

/* The runtime comes up on this thread: nothing of the host's is to run on its stacks. */
void guard_begin_start(void)
{
	sigset_t set;

	sigaltstack(NULL, &stay.stack);
	sigfillset(&set);
	without_faults(&set);
	mask_raw(SIG_SETMASK, &set, &stay.mask);
	for (int i = 0; i < STARTED_WITH; i++)
		sigaction_raw(started_with[i], NULL, &stay.was[started_with[i]]);
}

/* Only what is the runtime's own is taken back. Another thread of the host may have installed a handler meanwhile. */
void guard_handlers(void)
{
	const struct action *any = NULL;

	for (int i = 0; i < STARTED_WITH; i++) {
		int sig = started_with[i], index = go_index(sig);
		struct action now;

		if (sigaction_raw(sig, NULL, &now) || !in_engine(&now))
			continue;
		if (index >= 0) {
			go_actions[index] = now;
			any = &go_actions[index];
		}
		stay.set[sig] = now;
		stay.touched[sig] = 1;
		restore(sig);
	}
	/* One handler serves all of them; a place is empty where the host was faster. */
	for (int i = 0; i < GO_SIGNALS && any; i++)
		if (!go_actions[i].handler)
			go_actions[i] = *any;
}

void guard_end_start(void)
{
	sigaltstack(&stay.stack, NULL);
	mask_raw(SIG_SETMASK, &stay.mask, NULL);
}

/* The mask inside: what is not asked for is blocked, and the faults that Go turns into panics are not. */
static void mask_inside(const sigset_t *was, int hook)
{
	sigset_t set = *was;

	for (int sig = ASKED + 1; sig <= SIGNALS && !hook; sig++)
		sigaddset(&set, sig);
	without_faults(&set);
	mask_raw(SIG_SETMASK, &set, NULL);
}

/* The calling thread's part: its alternate stack, its mask. */
static void take_thread(void)
{
	sigaltstack(NULL, &stay.stack);
	if ((stay.stack.ss_flags & SS_DISABLE) && stay.go_stack.ss_sp)
		sigaltstack(&stay.go_stack, NULL);
	mask_raw(SIG_SETMASK, NULL, &stay.mask);
	mask_inside(&stay.mask, 0);
}

static void give_thread_back(void)
{
	/* First the mask, so that a handler of the host's that was waiting runs while its stack is still there. */
	mask_raw(SIG_SETMASK, &stay.mask, NULL);
	if (stay.stack.ss_flags & SS_DISABLE)
		sigaltstack(&stay.stack, &stay.go_stack);
}

void guard_enter(void)
{
	memset(stay.touched, 0, sizeof stay.touched);
	for (int sig = 1; sig <= ASKED; sig++) {
		int i = go_index(sig);

		if (i >= 0)
			exchange(sig, &go_actions[i]);
		else if (sig != SIGKILL && sig != SIGSTOP)
			give_stack(sig);
	}
	take_thread();
}

void guard_leave(void)
{
	give_thread_back();
	for (int sig = 1; sig <= SIGNALS; sig++)
		restore(sig);
}

void guard_pause(void)
{
	give_thread_back();
	for (int i = 0; i < GO_SIGNALS; i++)
		restore(go_signals[i]);
}

void guard_resume(void)
{
	for (int i = 0; i < GO_SIGNALS; i++)
		exchange(go_signals[i], &go_actions[i]);
	take_thread();
}

void guard_hook(int runs)
{
	if (!runs)
		mask_inside(&stay.mask, 0);
	for (int sig = ASKED + 1; sig <= SIGNALS; sig++)
		if (runs)
			give_stack(sig);
		else
			restore(sig);
	if (runs)
		mask_inside(&stay.mask, 1);
}
