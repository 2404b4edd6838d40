/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the engine of librootfs is: beside minictr, wherever both are installed, and whatever the environment says. The
 * library is part of minictr's own file (librootfs.a), which is no place to look beside by itself.
 */
#include "minictr.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#define BEHIND "../lib/librootfs"

const char *rootfs_engine_directory;

/* Where there is none, the library looks in the place that it was built for. */
void engine_find(const char *started_as)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	/* In a mount of its own, or in memory, the file has no name: entry.c handed on the one it had. */
	const char *own = n > 1 && strncmp(path, "/memfd:", 7) != 0 ? path : started_as;
	const char *slash = strrchr(own, '/');
	if (own[0] != '/' || slash == NULL)
		return;
	char *engine = format_text("%.*s/" BEHIND "/librootfs-engine.so", (int)(slash - own), own);
	if (access(engine, F_OK) == 0) {
		*strrchr(engine, '/') = '\0';
		rootfs_engine_directory = engine;
	} else
		free(engine);
}
