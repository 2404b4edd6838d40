/* SPDX-License-Identifier: Apache-2.0
 *
 * Starts the Go runtime, and enters it.
 *
 * The Go linker makes the runtime start from an ELF constructor. The build renames that section (capi.mk), so that
 * loading this file runs nothing, and the runtime is started here, when the checks that keep it from aborting are done,
 * with arguments and an environment of our own making. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "build.h"
#include "note.h"
#include "start.h"

BUILD_NOTE;

/* The renamed .init_array of the Go archive: one entry, the runtime's start for a library. */
typedef void go_entry(int argc, char **argv, char **envp);
extern go_entry *__start_rootfs_go_entry[];
extern int rootfs_go_call(struct engine_call *call);

int start_fail(struct rootfs_error *error, int code, int errnum, const char *operation, const char *format, ...)
{
	va_list args;

	error->code = code;
	error->errnum = errnum;
	snprintf(error->operation, sizeof error->operation, "%s", operation);
	error->pointer[0] = 0;
	va_start(args, format);
	vsnprintf(error->message, sizeof error->message, format, args);
	va_end(args);
	return code;
}

/* What the runtime takes before its first call: address space, most of it never touched (it uses about 4 MiB), and a part of
 * that as data. Where it cannot have it, it would exit. From its mappings, rounded up; tests/host tries every limit. */
#define ADDRESS_SPACE ((size_t)1408 << 20)
#define DATA ((size_t)64 << 20)

static int check_memory(size_t size, int protection, const char *limit, struct rootfs_error *error)
{
	void *p = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return start_fail(error, ROOTFS_ERR_ENGINE, errno, "mmap", "the engine cannot start: it reserves %zu MiB of memory, nearly all of "
				  "which it leaves untouched, and %s does not allow that here; raise it, and set it again after the last call",
				  size >> 20, limit);
	munmap(p, size);
	return 0;
}

/* What the runtime finds where a program finds its arguments: argv, an environment, and the auxiliary vector.
 *
 * The host's environment is not in it: GODEBUG, GOGC and the like in the environment of some container runtime must not
 * steer this library. What is in it instead fits a process that lives some milliseconds. One P: everything runs on the
 * caller's thread (contexts.c). No collection before 64 MiB, which only a huge document reaches. */
static struct {
	char *argv[2];
	char *envp[4];
	unsigned long auxv[7][2];
} arguments = {
	{ "librootfs", NULL },
	{ "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=64MiB", NULL },
	{ { AT_NULL, 0 } },
};
_Static_assert(sizeof(unsigned long) == sizeof(char *), "the vector is one row of words");

static void make_auxv(void)
{
	/* Not AT_SYSINFO_EHDR: to look through the vDSO takes longer than the few calls for the time that it would save. */
	static const unsigned long same[] = { AT_PAGESZ, AT_SECURE, AT_HWCAP, AT_HWCAP2 };
	static unsigned char seed[16];
	int n = 0;

	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
		unsigned long value = getauxval(same[i]);

		if (value || same[i] == AT_SECURE) {
			arguments.auxv[n][0] = same[i];
			arguments.auxv[n++][1] = value;
		}
	}
	/* Not the host's AT_RANDOM: libc's stack guard is made of those bytes, and a fork has the same ones. */
	if (getrandom(seed, sizeof seed, GRND_NONBLOCK) == sizeof seed) {
		arguments.auxv[n][0] = AT_RANDOM;
		arguments.auxv[n++][1] = (unsigned long)seed;
	}
	arguments.auxv[n][0] = AT_NULL;
}

int engine_start(struct rootfs_error *error)
{
	struct rlimit space;
	int code = 0;

	if (getrlimit(RLIMIT_AS, &space) || space.rlim_cur != RLIM_INFINITY)
		code = check_memory(ADDRESS_SPACE, PROT_NONE, "RLIMIT_AS", error);
	if (!code) /* counted also where the kernel promises no more than there is */
		code = check_memory(DATA, PROT_READ | PROT_WRITE, "RLIMIT_DATA", error);
	if (code)
		return code;
	make_auxv();
	guard_begin_start();
	__start_rootfs_go_entry[0](1, arguments.argv, arguments.envp);
	guard_handlers();
	contexts_run();
	guard_end_start();
	return 0;
}

/* A callback of the host's runs with the host's signal state: it may wait long, and be one that counts on its handlers. */
static int ready(struct engine_call *call)
{
	guard_leave();
	call->ready_result = call->request.on_mounts_ready(call->request.user);
	guard_enter();
	return call->ready_result;
}

static void tell(void (*on_progress)(void *, const struct rootfs_progress *), void *user, const struct rootfs_progress *progress)
{
	guard_leave();
	on_progress(user, progress);
	guard_enter();
}

int engine_run(struct engine_call *call)
{
	int code;

	call->ready = ready;
	call->tell = tell;
	guard_enter();
	code = rootfs_go_call(call);
	guard_leave();
	return code;
}

__attribute__((visibility("default"))) const struct engine_entry rootfs_engine = { ROOTFS_BUILD, engine_start, engine_run };
