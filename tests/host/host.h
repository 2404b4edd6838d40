/* What the cases of tests/host share. Each case runs in a process of its own, made by main.c: it may unshare, exit, set
 * limits and handlers as it likes. It passes by returning; CHECK ends it as failed, SKIP as skipped. */
#ifndef HOST_H
#define HOST_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rootfs.h"

#ifdef __cplusplus
extern "C" {
#endif

struct test_case {
	const char *name;
	void (*run)(void);
};
/* Each file has a table that ends with a NULL name. */
extern const struct test_case load_cases[], fork_cases[], refuse_cases[], state_cases[], threads_cases[],
	callback_cases[], signal_cases[], abi_cases[], remote_cases[], exec_cases[], fault_cases[], cxx_cases[];

/* state.c: gives this process a state of its own in every respect, so that "as it was" cannot be "as it is by default". */
void unusual_host(void);

void check_failed(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));
void skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define CHECK(condition, ...)                                            \
	do {                                                             \
		if (!(condition))                                        \
			check_failed(__FILE__, __LINE__, #condition ": " __VA_ARGS__); \
	} while (0)
/* The call succeeds; otherwise its error is shown. */
#define WORKS(call)                                                                                                  \
	do {                                                                                                         \
		int works_code = (call);                                                                             \
		if (works_code)                                                                                      \
			check_failed(__FILE__, __LINE__, #call ": %d %s errno %d: %s", works_code, error.operation,  \
				     error.errnum, error.message);                                                   \
	} while (0)
/* The call is refused with this code, in the error too, and the message holds this text. */
#define REFUSED(call, want, text)                                                                                      \
	do {                                                                                                           \
		int refused_code = (call);                                                                             \
		if (refused_code != (want) || error.code != (want) || !strstr(error.message, text))                    \
			check_failed(__FILE__, __LINE__, #call ": %d, error %d, not %s with \"%s\": %s", refused_code, \
				     error.code, #want, text, error.message);                                          \
	} while (0)

extern struct rootfs_error error; /* for the case's own thread */
extern char *library;             /* absolute path of librootfs.so.0 */
extern char *scratch;             /* a directory for the run */

/* A bundle below scratch with a small root, once; its config in *request. Uses proc, tmpfs, devices, masks, read-only. */
void small_request(struct rootfs_request *request);

/* One that keeps the engine busy, and is refused for /linux/maskedPaths/0. */
void long_request(struct rootfs_request *request);

/* A mount namespace of its own, nothing of which leaves it. Skips where that is not allowed. */
void own_mounts(void);
void need_root(void);

/* What a call must leave as it was. */
#define SNAPSHOT_FDS 256
struct snapshot {
	struct { int open, flags; dev_t dev; ino_t ino; } fds[SNAPSHOT_FDS];
	unsigned long limits[16][2];
	unsigned long mask;
	struct { unsigned long handler, flags, restorer, mask; } actions[65];
	stack_t stack;
	unsigned umask;
	char cwd[512];
	unsigned long environment; /* a hash, and of the pointers too */
	int threads, children;
};
void snapshot_take(struct snapshot *s);
/* Ends the case where a and b differ in anything but what except names: "umask", "cwd", "stdio". */
void snapshot_same(const struct snapshot *a, const struct snapshot *b, const char *except);

/* Forks, runs fn in the child, and gives its wait status; kills it after seconds (then -1). */
int in_child(void (*fn)(void), int seconds);
/* in_child, and passing on how it ended: the child's CHECK and SKIP count for the case. */
void as_child(void (*fn)(void), int seconds);

int count_tasks(void);
double now_ms(void);

#ifdef __cplusplus
}
#endif
#endif
