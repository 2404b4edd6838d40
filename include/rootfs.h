/* SPDX-License-Identifier: Apache-2.0
 *
 * librootfs: set up the root file system of a container, with the semantics of the OCI runtime specification.
 *
 *	child:  clone(CLONE_NEWNS | ...)          the host's business
 *	        rootfs_prepare(&request, &err)    mounts, /dev, hooks, pivot_root, working directory
 *	        rootfs_console(...)               where a terminal is wanted
 *	        rootfs_finalize(&err)             read-only parts, sysctls, masked and read-only paths
 *	        setuid, capabilities, seccomp, execve  the host's business
 *
 * THREADS AND FORKS, the whole of it:
 *  - Linking or loading this library starts nothing: no thread, no handler, no descriptor.
 *  - rootfs_start, rootfs_prepare, rootfs_console, rootfs_finalize and rootfs_verify load the engine (a Go runtime) into the
 *    process that calls. It has no thread: it works on the caller's, and between two calls it is memory and nothing else. So a
 *    process with the engine may fork, enter any namespace, limit its threads, as if it had none.
 *  - A child that is forked has the engine as its parent has it. A parent that calls rootfs_start once saves each of its init
 *    children the start. Refused (ROOTFS_ERR_FORKED) is a child that was forked in the middle of a call, from a callback or by
 *    another thread, or after rootfs_prepare, which is for the root of the process that calls it.
 *  - rootfs_validate, rootfs_plan, rootfs_features and rootfs_open_sources may be called in any process, also in one that
 *    forks later and from any thread: they run in a short-lived helper process, of which the host notices nothing. (Not once
 *    the root is switched, where the helper cannot be found, nor while a pid namespace is pending, whose init it would be.)
 *  - A call works on the calling thread alone, which needs 64 KiB of stack. Calls from several threads of one process are
 *    done one after the other.
 *  - When a call returns, resource limits, signal mask, signal handlers, umask (but for rootfs_finalize, which sets it),
 *    environment and open descriptors are as they were; the working directory is the container's after rootfs_prepare.
 *  - A callback runs with the host's signal handlers and mask. It may not call the library (ROOTFS_ERR_STATE), and it must
 *    return: no longjmp, no exception through it. No call may be made from a signal handler.
 *
 * MEMORY: the caller owns what it passes in, and may free it when the call returns. The library keeps no pointer to it,
 * but for on_progress and user, which rootfs_finalize uses too.
 * A string that the library gives out is freed with rootfs_free.
 *
 * GROWTH: each struct begins with its size, set by the caller through its _INIT macro. Members are only ever added at
 * the end, and zero means what it meant before the member was there.
 */
#ifndef ROOTFS_H
#define ROOTFS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ROOTFS_VERSION_MAJOR 0
#define ROOTFS_VERSION_MINOR 1
#define ROOTFS_VERSION_PATCH 0

/* What went wrong, by kind. A call returns 0, or one of these. */
#define ROOTFS_ERR_INVALID     1 /* the configuration or an argument is wrong: `pointer` names the field */
#define ROOTFS_ERR_SYSTEM      2 /* a system call failed: `errnum` and `operation` say which */
#define ROOTFS_ERR_UNSAFE      3 /* refused because what the image or the kernel shows there is not what it must be */
#define ROOTFS_ERR_UNSUPPORTED 4 /* this kernel, or this build, cannot do what was asked */
#define ROOTFS_ERR_CALLBACK    5 /* a callback of the host returned an error: `errnum` is what it returned */
#define ROOTFS_ERR_HOOK        6 /* a hook or command failed or ran out of time */
#define ROOTFS_ERR_STATE       7 /* called in the wrong order, or twice */
#define ROOTFS_ERR_ENGINE      8 /* the engine is missing, is not of this build, or cannot be started here (RLIMIT_AS, a Go
				  * runtime in the process already, ...): the message says which */
#define ROOTFS_ERR_FORKED      9 /* this process was forked during a call, or after rootfs_prepare */
#define ROOTFS_ERR_INTERNAL   10 /* a defect of the library: the tail of `message` has the stack */

/* An error: plain bytes, allocated by the caller, smaller than PIPE_BUF, so that a child can hand it to its parent with
 * one atomic write(2). All strings are NUL-terminated. On success the library leaves it alone. */
struct rootfs_error {
	uint32_t size;
	int32_t code;         /* ROOTFS_ERR_* */
	int32_t errnum;       /* errno of the system call, or 0 */
	uint32_t reserved;
	char operation[64];   /* the failing operation: "move_mount", "mknodat", "parse", ... */
	char pointer[512];    /* RFC 6901: "/mounts/3/source" in the config, "options#/bundle" in the host options; or "" */
	char message[3072];   /* "/mounts/3: move_mount(tmpfs -> /dev/shm): no space left on device" */
};
#define ROOTFS_ERROR_INIT { sizeof(struct rootfs_error), 0, 0, 0, { 0 }, { 0 }, { 0 } }

/* One step of rootfs_prepare or rootfs_finalize, told before it is done. Strings live until the callback returns. */
struct rootfs_progress {
	uint32_t size;
	uint32_t index;        /* from 0 */
	uint32_t count;        /* steps of this call */
	uint32_t reserved;
	const char *operation; /* "mount", "device", "mask", ...: the `op` of rootfs_plan */
	const char *target;    /* path inside the container */
	const char *pointer;   /* the field of the config that asked for it, or "" */
};

/* The source of one mount, opened by the host: a descriptor of the file or directory to bind, which must lie in the mount
 * namespace of the caller of rootfs_prepare, or of a detached tree (open_tree(2), rootfs_open_sources), which may come
 * from another.
 *
 * ROOTFS_SOURCE_ROOT in place of the index is for the root itself. What the descriptor stands for is attached at root.path then, where
 * the caller's namespace has any directory for it. A detached tree (open_tree(2), or fsmount(2) of an overlay that the host mounts
 * nowhere else) lets the caller live in a namespace that does not show the root, and so begin in one with few mounts. */
#define ROOTFS_SOURCE_ROOT 0xffffffffu
struct rootfs_source {
	uint32_t mount;        /* index in the config's "mounts", or ROOTFS_SOURCE_ROOT */
	int32_t fd;            /* owned by the caller; rootfs_prepare uses it and leaves it open */
};

/* What to set up. */
struct rootfs_request {
	uint32_t size;
	uint32_t reserved;
	const char *config;    /* OCI config.json, `config_len` bytes of UTF-8, no NUL needed */
	size_t config_len;
	const char *options;   /* host options, JSON (schema/options.json); NULL for none */
	size_t options_len;
	/* Called once by rootfs_prepare, after all mounts and /dev, before createContainer hooks and pivot_root: the time
	 * for the host to have createRuntime and prestart hooks run. 0 goes on; anything else ends rootfs_prepare with
	 * ROOTFS_ERR_CALLBACK. May be NULL. */
	int (*on_mounts_ready)(void *user);
	/* Called before each step of rootfs_prepare, and of rootfs_finalize after it. May be NULL. */
	void (*on_progress)(void *user, const struct rootfs_progress *progress);
	void *user;            /* handed to the callbacks; with on_progress, until rootfs_finalize returned */
	const struct rootfs_source *sources; /* mounts whose source is a descriptor, in any order; NULL for none */
	size_t sources_len;
};
#define ROOTFS_REQUEST_INIT { sizeof(struct rootfs_request), 0, NULL, 0, NULL, 0, NULL, NULL, NULL, NULL, 0 }

/* A terminal: size in characters, owner as seen in the container. */
struct rootfs_terminal {
	uint32_t size;
	uint16_t rows, columns; /* 0, 0: left as the kernel makes it */
	uint32_t uid, gid;      /* owner of the terminal's device */
};
#define ROOTFS_TERMINAL_INIT { sizeof(struct rootfs_terminal), 0, 0, 0, 0 }

/* For programs that link librootfs.a, and for them alone: a program may define this variable, and set it before its first
 * call to the absolute path of the directory that holds the engine (librootfs-engine.so, rootfs-helper). Undefined or NULL:
 * the directory that the archive was built for. librootfs.so looks beside its own file and nowhere else. */
extern const char *rootfs_engine_directory;

/* "0.1.0" of the library that is loaded. Never fails, starts nothing. */
const char *rootfs_version(void);

/* Loads and starts the engine in this process, which the calls below do where it was not done, and makes it read a config of its
 * own, since each of them is faster the second time: 1 ms. In a parent before it forks, it is done for all its children. To have
 * other work overlap with it, call it on a thread of your own; a call that comes meanwhile waits for it. A child of a parent that
 * did not call it, and that has nothing else to wait for, is faster without. */
int rootfs_start(struct rootfs_error *err);

/* Mounts, devices, hooks, switch of the root, working directory: everything up to a root in which the host can still
 * write. The caller stands in the container's namespaces; while a pid namespace is pending (unshare, and no fork yet) it is
 * ROOTFS_ERR_STATE. On an error the process is to exit; with a mount namespace of its own nothing stays behind.
 * err may be NULL. */
int rootfs_prepare(const struct rootfs_request *request, struct rootfs_error *err);

/* Opens a terminal of the container's own devpts, binds it over /dev/console, and gives its master to the caller
 * (O_CLOEXEC, the caller closes it). After rootfs_prepare, before rootfs_finalize. terminal may be NULL. */
int rootfs_console(const struct rootfs_terminal *terminal, int *master, struct rootfs_error *err);

/* Read-only mounts and root, umask, sysctls, read-only and masked paths. Once, after rootfs_prepare. */
int rootfs_finalize(struct rootfs_error *err);

/* Compares what the kernel reports with what the config promised. request NULL: what this process has set up;
 * otherwise that request, in a process that stands in the container's root. A process from outside gets there with
 * rootfs_start (the engine's file cannot be reached from inside), then setns(2) to the container's mount namespace.
 * *report gets JSON ({"deviations": [...], ...}), to be freed with rootfs_free. Returns 0 when the comparison was made, also
 * when it found deviations. */
int rootfs_verify(const struct rootfs_request *request, char **report, struct rootfs_error *err);

/* Checks a request without touching anything, and that a directory is at root.path, unless the root is a source. */
int rootfs_validate(const struct rootfs_request *request, struct rootfs_error *err);

/* The steps that rootfs_prepare and rootfs_finalize would do on this host, as JSON, to be freed with rootfs_free. */
int rootfs_plan(const struct rootfs_request *request, char **json, struct rootfs_error *err);

/* The OCI features document for this kernel and this build, as JSON, to be freed with rootfs_free. */
int rootfs_features(char **json, struct rootfs_error *err);

/* Opens, in a privileged parent, the mount sources that the child cannot reach by itself: idmapped mounts, and every bind
 * source when the config has a user namespace. userns: descriptor of the container's user namespace, or -1. sources has
 * room for *count entries; *count becomes the number filled. Each fd is a detached tree (O_CLOEXEC), to be handed to the
 * child (inherited, or SCM_RIGHTS), set there as the request's `sources`, and closed by the caller. Without open_tree(2), before
 * Linux 5.2, sources that are not idmapped are left out, and the child takes them by their paths. */
int rootfs_open_sources(const struct rootfs_request *request, int userns, struct rootfs_source *sources, size_t *count,
			struct rootfs_error *err);

/* Frees a string that the library gave out. NULL is allowed. */
void rootfs_free(char *string);

#ifdef __cplusplus
}
#endif
#endif
