/* SPDX-License-Identifier: Apache-2.0
 *
 * Namespaces: which are new, which are joined by path, who the user namespace maps, and what its clocks show.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int namespaces_check(struct config *config, struct rootfs_error *err)
{
	bool maps = config->uid_map_len > 0 || config->gid_map_len > 0;
	if (config_new_ns(config, NS_USER) && (config->uid_map_len == 0 || config->gid_map_len == 0))
		return fail_at(err, config->uid_map_len ? "/linux/gidMappings" : "/linux/uidMappings",
			       "a new user namespace needs it");
	if (maps && !config_new_ns(config, NS_USER) && !config->has_id_mapped_mount)
		log_warn("/linux/uidMappings: not applied: there is no new user namespace");
	for (int i = 0; i < NS_KINDS; i++) {
		struct stat own, theirs;
		if (config->ns[i].path == NULL)
			continue;
		char *proc = format_text("/proc/self/ns/%s", ns_types[i].proc);
		bool same = stat(config->ns[i].path, &theirs) == 0 && stat(proc, &own) == 0 &&
			    own.st_ino == theirs.st_ino && own.st_dev == theirs.st_dev;
		free(proc);
		/* setns to the own user namespace is refused by the kernel; to stay in it is what was asked. */
		if (same && i == NS_USER)
			config->ns[i].present = false;
	}
	return 0;
}

uint64_t namespaces_new_flags(const struct config *config)
{
	uint64_t flags = 0;
	for (int i = 0; i < NS_KINDS; i++)
		/* A time namespace made by clone is entered at once, and then takes no offsets any more. */
		if (config_new_ns(config, i) && i != NS_TIME)
			flags |= ns_types[i].flag;
	return flags;
}

int namespaces_join(const struct config *config, uint64_t which, struct rootfs_error *err)
{
	int fds[NS_KINDS];
	/* All are opened before the first is entered: the paths mean what they mean for the runtime. */
	for (int i = 0; i < NS_KINDS; i++) {
		const char *path = config->ns[i].present ? config->ns[i].path : NULL;
		fds[i] = -1;
		if (path == NULL || !(which & ns_types[i].flag))
			continue;
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			return fail_errno(err, "open", "%s namespace %s", ns_types[i].name, path);
	}
	/* The user namespace is the first of the table: it gives the right to enter the others. */
	for (int i = 0; i < NS_KINDS; i++) {
		if (fds[i] < 0)
			continue;
		if (setns(fds[i], (int)ns_types[i].flag) < 0)
			return fail_errno(err, "setns", "%s namespace %s", ns_types[i].name, config->ns[i].path);
		close(fds[i]);
		if (i == NS_USER && namespaces_become_root(err) < 0)
			return -1;
	}
	return 0;
}

int namespaces_become_root(struct rootfs_error *err)
{
	/* setgroups is denied where an ordinary user made the mapping; the groups then map to nobody. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return fail_errno(err, "setgroups", "in the user namespace");
	if (setresgid(0, 0, 0) < 0)
		return fail_errno(err, "setresgid", "group 0 of the user namespace (is it mapped?)");
	if (setresuid(0, 0, 0) < 0)
		return fail_errno(err, "setresuid", "user 0 of the user namespace (is it mapped?)");
	return 0;
}

static int run_map_helper(const char *helper, pid_t child, const struct id_map *maps, size_t len,
			  struct rootfs_error *err)
{
	char **argv = allocate(3 * len + 3, sizeof(*argv));
	extern char **environ;
	size_t n = 0;
	pid_t pid;
	int status = 0;
	argv[n++] = (char *)helper;
	argv[n++] = format_text("%d", (int)child);
	for (size_t i = 0; i < len; i++) {
		argv[n++] = format_text("%u", maps[i].container);
		argv[n++] = format_text("%u", maps[i].host);
		argv[n++] = format_text("%u", maps[i].size);
	}
	errno = posix_spawnp(&pid, helper, NULL, NULL, argv, environ);
	int result = errno ? fail_errno(err, helper, "an ordinary user needs it to map more than one id") : 0;
	if (result == 0 && (waitpid(pid, &status, 0) < 0 || status != 0))
		result = fail(err, ROOTFS_ERR_SYSTEM, 0, helper, "%s refused the mapping, see /etc/subuid and /etc/subgid",
			      helper);
	for (size_t i = 1; i < n; i++)
		free(argv[i]);
	free(argv);
	return result;
}

static int write_map(pid_t child, const char *file, const char *helper, const struct id_map *maps, size_t len,
		     struct rootfs_error *err)
{
	char *path = format_text("/proc/%d/%s", (int)child, file), *text = format_text("%s", "");
	for (size_t i = 0; i < len; i++) {
		char *longer = format_text("%s%u %u %u\n", text, maps[i].container, maps[i].host, maps[i].size);
		free(text);
		text = longer;
	}
	int result = write_text(AT_FDCWD, path, text, err);
	if (result < 0 && err->errnum == EPERM)
		result = run_map_helper(helper, child, maps, len, err);
	free(path);
	free(text);
	return result;
}

int namespaces_map_ids(pid_t child, const struct config *config, struct rootfs_error *err)
{
	/* The kernel lets an ordinary user map his own group only after setgroups is given up: a group may be what
	 * denies him a file (CVE-2014-8989). With the helpers, who may be trusted, it stays allowed. */
	if (geteuid() != 0 && config->gid_map_len == 1 && config->gid_map[0].size == 1 &&
	    config->gid_map[0].host == getegid()) {
		char *path = format_text("/proc/%d/setgroups", (int)child);
		int result = write_text(AT_FDCWD, path, "deny", err);
		free(path);
		if (result < 0)
			return -1;
	}
	if (write_map(child, "uid_map", "newuidmap", config->uid_map, config->uid_map_len, err) < 0)
		return -1;
	return write_map(child, "gid_map", "newgidmap", config->gid_map, config->gid_map_len, err);
}

int namespaces_time_offsets(const struct config *config, struct rootfs_error *err)
{
	if (!config_new_ns(config, NS_TIME))
		return 0;
	/* Unshared for the children first; after the offsets are written, entered. */
	if (unshare((int)ns_types[NS_TIME].flag) < 0)
		return fail_errno(err, "unshare", "time namespace");
	if (config->time_offsets != NULL && *config->time_offsets != '\0' &&
	    write_text(AT_FDCWD, "/proc/self/timens_offsets", config->time_offsets, err) < 0)
		return -1;
	int fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, (int)ns_types[NS_TIME].flag) < 0)
		return fail_errno(err, "setns", "the new time namespace");
	close(fd);
	return 0;
}

int network_loopback_up(struct rootfs_error *err)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return errno == EAFNOSUPPORT ? 0 : fail_errno(err, "socket", "loopback interface");
	int result = ioctl(sock, SIOCSIFFLAGS, &lo);
	if (result < 0)
		result = fail_errno(err, "ioctl", "loopback interface up");
	close(sock);
	return result;
}

bool in_initial_user_namespace(void)
{
	/* What user_namespaces(7) says of the initial one: it maps everything onto itself. */
	char map[64] = {0};
	unsigned inside, outside, size;
	int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true; /* a kernel without user namespaces */
	ssize_t n = read(fd, map, sizeof(map) - 1);
	close(fd);
	return n > 0 && sscanf(map, "%u %u %u", &inside, &outside, &size) == 3 && inside == 0 && outside == 0 &&
	       size == UINT32_MAX;
}
