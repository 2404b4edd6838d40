/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of librootfs.so; rootfs-helper uses engine.c and error.c too. */
#ifndef ROOTFS_INTERNAL_H
#define ROOTFS_INTERNAL_H

#include "engine.h"

/* error.c */
int fail(struct rootfs_error *error, int code, int errnum, const char *operation, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
int error_size_ok(const struct rootfs_error *to);
void error_give(struct rootfs_error *to, const struct rootfs_error *from);

/* request.c: the caller's structs, of whatever version, as those of this build. 0 or ROOTFS_ERR_INVALID. */
int request_take(struct engine_call *call, const struct rootfs_request *request);
int terminal_take(struct engine_call *call, const struct rootfs_terminal *terminal);

/* path.c: the absolute path of name in the directory librootfs/ beside this library. 0 or ROOTFS_ERR_ENGINE. */
int path_beside(const char *name, char *path, size_t room, struct rootfs_error *error);

/* engine.c: checks, loads and starts the engine at path. *entry is kept over a failed start, for the next try. */
int engine_open(const char *path, const struct engine_entry **entry, struct rootfs_error *error);

/* What an engine's file begins with: its ELF header, its segments, its notes. */
struct file_start {
	_Alignas(8) char bytes[2048];
	size_t size;
};

/* loader.c: maps the engine file at fd, whose start has been checked, and finds its entry; path is for messages. 0 or
 * ROOTFS_ERR_ENGINE. */
int loader_map(int fd, const char *path, const struct file_start *file, const struct engine_entry **entry,
	       struct rootfs_error *error);

/* process.c: does the call with the engine in this process. */
int process_start(struct rootfs_error *error);
int process_run(struct engine_call *call);

/* remote.c: does the call with the engine in a process of its own. */
int remote_run(struct engine_call *call);

/* spawn.c: whether the next child of this process begins in another pid namespace, after unshare(2) or setns(2). */
enum pending { NOT_PENDING, PENDING, PENDING_WITHOUT_INIT };
enum pending pid_namespace_pending(void);

/* Runs the helper to its end, with the descriptors of fds as 3, 4, ... (-1: none) and diagnostics as 0, 1, 2.
 * 0, or an error; how the helper ended, as wait status, in *status. */
#define SPAWN_FDS 4
int spawn_helper(const char *path, const int fds[SPAWN_FDS], int diagnostics, int *status, struct rootfs_error *error);

#endif
