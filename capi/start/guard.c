/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals belong to the host; the Go runtime takes some while the host's thread is inside a call, and no longer.
 *
 * What Go wants and why:
 *  - handlers for SIGSEGV and SIGBUS, and an alternate stack for them: a nil pointer becomes a panic, and the panic an error return;
 *  - both unblocked, since the kernel makes them deadly where they are not.
 * It would have SIGFPE, which code of Go's never raises (it looks at a divisor itself), and SIGPIPE: all that the engine writes to are
 * files (a hook's standard input is one in memory).
 * All of it is put back when the call returns, unless the host changed it meanwhile from another thread. Other signals are the
 * host's all the while: its handlers run at once, on the stack of whatever runs. Those of goroutines have room for that
 * (capi/overlay.sh).
 *
 * Raw system calls: the kernel's struct is copied whole, with flags that glibc keeps to itself. */
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

static const int go_signals[] = { SIGSEGV, SIGBUS };
#define GO_SIGNALS ((int)(sizeof go_signals / sizeof go_signals[0]))
#define SIGNALS 64

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
	for (int i = 0; i < GO_SIGNALS; i++)
		sigdelset(&set, go_signals[i]);
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

/* The calling thread's part: its alternate stack, its mask. */
static void take_thread(void)
{
	sigset_t faults;

	sigaltstack(NULL, &stay.stack);
	if ((stay.stack.ss_flags & SS_DISABLE) && stay.go_stack.ss_sp)
		sigaltstack(&stay.go_stack, NULL);
	sigemptyset(&faults);
	for (int i = 0; i < GO_SIGNALS; i++)
		sigaddset(&faults, go_signals[i]);
	mask_raw(SIG_UNBLOCK, &faults, &stay.mask);
}

static void give_thread_back(void)
{
	int blocked = 0;

	for (int i = 0; i < GO_SIGNALS; i++)
		blocked |= sigismember(&stay.mask, go_signals[i]);
	if (blocked)
		mask_raw(SIG_SETMASK, &stay.mask, NULL);
	if (stay.stack.ss_flags & SS_DISABLE)
		sigaltstack(&stay.stack, &stay.go_stack);
}

void guard_enter(void)
{
	for (int i = 0; i < GO_SIGNALS; i++)
		exchange(go_signals[i], &go_actions[i]);
	take_thread();
}

void guard_leave(void)
{
	give_thread_back();
	for (int i = 0; i < GO_SIGNALS; i++)
		restore(go_signals[i]);
}
