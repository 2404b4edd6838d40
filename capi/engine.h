/* SPDX-License-Identifier: Apache-2.0
 *
 * Between librootfs.so, rootfs-helper and the engine. Not installed: the three are always of one build, which the build id
 * checks, so nothing here needs to stay as it is. */
#ifndef ROOTFS_ENGINE_H
#define ROOTFS_ENGINE_H

#include <signal.h>

#include "rootfs.h"

/* Which call a struct engine_call is for. */
#define ENGINE_PREPARE      1
#define ENGINE_CONSOLE      2
#define ENGINE_FINALIZE     3
#define ENGINE_VERIFY       4
#define ENGINE_VALIDATE     5
#define ENGINE_PLAN         6
#define ENGINE_FEATURES     7
#define ENGINE_OPEN_SOURCES 8
#define ENGINE_REHEARSE     9

/* One call: its arguments, brought to the sizes of this build, and its results. */
struct engine_call {
	uint32_t op;
	int32_t has_request;
	struct rootfs_request request;
	struct rootfs_terminal terminal;
	int32_t userns;                 /* ENGINE_OPEN_SOURCES, or -1 */
	int32_t master;                 /* result of ENGINE_CONSOLE */
	/* Set by engine_run: call the host back with the signal state that is the host's. ready keeps what it returned. */
	int (*ready)(struct engine_call *call);
	void (*tell)(void (*on_progress)(void *, const struct rootfs_progress *), void *user, const struct rootfs_progress *progress);
	int32_t ready_result;
	int32_t begun;                  /* result of PREPARE: 1 from where it changes something */
	char *text;                     /* result of VERIFY, PLAN, FEATURES: from malloc, NUL-terminated */
	struct rootfs_source *sources;  /* result of OPEN_SOURCES: room for sources_room, from the caller */
	size_t sources_room, sources_count;
	struct rootfs_error error;      /* filled when the call fails */
};

/* Starts the Go runtime, on this thread and without one of its own (start/contexts.c). 0, or an error code. Called once with
 * success; after a failure it may be called again. */
int engine_start(struct rootfs_error *error);

/* Does one call on this thread. 0, or the code that is also in call->error. */
int engine_run(struct engine_call *call);

/* What librootfs.so finds in the engine, as the entry point of the file: one place where the two meet. */
struct engine_entry {
	char build[65]; /* the hash of the sources in hexadecimal, the same in all three files */
	int (*start)(struct rootfs_error *error);
	int (*run)(struct engine_call *call);
};

/* The ELF note that carries the build id, so that a file can be judged before any of its code is loaded. */
#define ENGINE_NOTE_NAME "librootfs-engine"
#define ENGINE_NOTE_TYPE 1

#endif
