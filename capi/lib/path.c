/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the engine is: beside this library, and nowhere else. Not the working directory, which is the container's or an
 * attacker's, and not the environment, which in a privileged process is the caller's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#ifdef ROOTFS_ENGINE_DIR
/* In a static archive there is no library file to look beside: the program says it, or it is as the archive was built. */
extern const char *rootfs_engine_directory __attribute__((weak));

int path_beside(const char *name, char *path, size_t room, struct rootfs_error *error)
{
	const char *told = &rootfs_engine_directory ? rootfs_engine_directory : NULL;

	if ((size_t)snprintf(path, room, "%s/%s", told ? told : ROOTFS_ENGINE_DIR, name) >= room)
		return fail(error, ROOTFS_ERR_ENGINE, ENAMETOOLONG, "path", "the path of the engine is too long");
	return 0;
}
#else
/* The path of the mapping that holds address, as the kernel has it: absolute in any case. */
static int mapped_path(const void *address, char *path, size_t room)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[PATH_MAX + 128];
	int found = 0;

	if (!maps)
		return 0;
	while (!found && fgets(line, sizeof line, maps)) {
		uintptr_t from, to;
		int at = 0;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &from, &to, &at) < 2 || !at)
			continue;
		if ((uintptr_t)address < from || (uintptr_t)address >= to)
			continue;
		line[strcspn(line, "\n")] = 0;
		found = line[at] == '/' && (size_t)snprintf(path, room, "%s", line + at) < room;
	}
	fclose(maps);
	return found;
}

int path_beside(const char *name, char *path, size_t room, struct rootfs_error *error)
{
	char own[PATH_MAX], real[PATH_MAX];
	const char *from = own;
	Dl_info info;
	char *slash;

	/* dladdr gives the name that the library was opened by. A relative one was meant for the working directory of
	 * that moment, which need not be today's: then the kernel is asked. */
	if (!dladdr((void *)path_beside, &info) || !info.dli_fname)
		return fail(error, ROOTFS_ERR_ENGINE, 0, "dladdr", "cannot tell where librootfs.so itself is");
	if (info.dli_fname[0] == '/')
		from = info.dli_fname;
	else if (!mapped_path((void *)path_beside, own, sizeof own))
		return fail(error, ROOTFS_ERR_ENGINE, 0, "dladdr",
			    "librootfs.so was opened as \"%s\", a relative path, and /proc/self/maps cannot be read to tell where it is",
			    info.dli_fname);
	if (!realpath(from, real))
		return fail(error, ROOTFS_ERR_ENGINE, errno, "realpath",
			    "cannot resolve \"%s\", where librootfs.so was loaded from: %s; the engine is loaded from beside it, so make "
			    "the first call (rootfs_start) before the root is switched", from, strerror(errno));
	slash = strrchr(real, '/');
	*slash = 0;
	if ((size_t)snprintf(path, room, "%s/librootfs/%s", real, name) >= room)
		return fail(error, ROOTFS_ERR_ENGINE, ENAMETOOLONG, "realpath", "the path of librootfs.so is too long");
	return 0;
}
#endif
