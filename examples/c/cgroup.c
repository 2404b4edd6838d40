/* SPDX-License-Identifier: Apache-2.0
 *
 * A container's cgroups on v1, v2 and both: made, joined, emptied and removed through the file system, below the
 * path that the config names. systemd is not asked; --systemd-cgroup is refused before anything gets here.
 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define CGROUP_MOUNT "/sys/fs/cgroup"

size_t hierarchies(struct hierarchy list[HIERARCHIES_MAX])
{
	struct statfs fs;
	size_t n = 0;
	if (statfs(CGROUP_MOUNT, &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC) {
		list[0] = (struct hierarchy){strdup(CGROUP_MOUNT), strdup(""), true};
		return 1;
	}
	/* Where v1 is mounted is a convention of thirty years' standing; reading mountinfo instead would cost more the
	 * more mounts the host has. */
	FILE *file = fopen("/proc/self/cgroup", "re");
	char *line = NULL;
	size_t size = 0;
	while (file != NULL && n < HIERARCHIES_MAX && getline(&line, &size, file) > 0) {
		char *controllers = strchr(line, ':'), *end = controllers ? strchr(controllers + 1, ':') : NULL;
		if (end == NULL)
			continue;
		*end = '\0';
		controllers++;
		const char *name = *controllers == '\0'                       ? "unified" :
				   strncmp(controllers, "name=", 5) == 0 ? controllers + 5 :
									   controllers;
		char *mount = format_text(CGROUP_MOUNT "/%s", name);
		if (access(mount, F_OK) == 0)
			list[n++] = (struct hierarchy){mount, strdup(controllers), *controllers == '\0'};
		else
			free(mount);
	}
	free(line);
	if (file != NULL)
		fclose(file);
	return n;
}

bool has_controller(const struct hierarchy *h, const char *name)
{
	size_t len = strlen(name);
	for (const char *p = h->controllers; *p != '\0'; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, name, len) == 0 && (p[len] == ',' || p[len] == '\0'))
			return true;
	return false;
}

char *cgroup_directory(const struct hierarchy *h, const struct container *c)
{
	return format_text("%s/%s", h->mount, c->cgroup);
}

/* A new cpuset has no CPU and no memory node, and nobody can join it before it has. */
static void inherit_cpuset(const char *directory, const char *parent)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	for (size_t i = 0; i < 2; i++) {
		struct rootfs_error ignored = ROOTFS_ERROR_INIT;
		char *from = format_text("%s/%s", parent, files[i]), *to = format_text("%s/%s", directory, files[i]);
		char text[1024] = {0};
		int fd = open(from, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
			(void)write_text(AT_FDCWD, to, text, &ignored); /* if it matters, joining says so */
		if (fd >= 0)
			close(fd);
		free(from);
		free(to);
	}
}

/* On v2 a controller works in a cgroup only when its parent hands it down. */
static void delegate_controllers(const char *directory)
{
	static const char *const controllers[] = {"+cpuset", "+cpu", "+io", "+memory", "+pids"};
	char *file = format_text("%s/cgroup.subtree_control", directory);
	struct rootfs_error ignored = ROOTFS_ERROR_INIT;
	for (size_t i = 0; i < sizeof(controllers) / sizeof(*controllers); i++)
		(void)write_text(AT_FDCWD, file, controllers[i], &ignored); /* the write of a limit tells what is missing */
	free(file);
}

static int make_directory(const struct hierarchy *h, const char *path, struct rootfs_error *err)
{
	char *directory = format_text("%s/%s", h->mount, path), *parent = strdup(h->mount);
	int result = 0;
	for (char *p = directory + strlen(h->mount) + 1; result == 0; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char saved = *p;
		*p = '\0';
		if (h->v2)
			delegate_controllers(parent);
		if (mkdir(directory, 0755) == 0) {
			if (has_controller(h, "cpuset"))
				inherit_cpuset(directory, parent);
		} else if (errno != EEXIST) {
			result = fail_errno(err, "mkdir", "cgroup %s", directory);
		}
		free(parent);
		parent = strdup(directory);
		*p = saved;
		if (saved == '\0')
			break;
	}
	free(directory);
	free(parent);
	return result;
}

static int check_path(const char *path, struct rootfs_error *err)
{
	if (strchr(path, ':') != NULL)
		return fail_at(err, "/linux/cgroupsPath",
			       "\"%s\" is of systemd's form; minictr makes cgroups by file system only", path);
	for (const char *p = path; *p != '\0'; p += strcspn(p, "/"), p += strspn(p, "/"))
		if (strncmp(p, "..", strcspn(p, "/")) == 0 && strcspn(p, "/") == 2)
			return fail_at(err, "/linux/cgroupsPath", "\"%s\" leaves the hierarchy", path);
	return 0;
}

int cgroup_create(struct container *c, struct rootfs_error *err)
{
	struct hierarchy list[HIERARCHIES_MAX];
	const char *path = c->config.cgroup_path;
	if (c->options->cgroup_manager == CGROUP_DISABLED) {
		limits_report_unapplied(c);
		return 0;
	}
	if (path == NULL && !c->config.has_resources)
		return 0; /* nothing is asked for: it stays where the runtime is, as config.md allows */
	if (path != NULL && check_path(path, err) < 0)
		return -1;
	c->cgroup = path != NULL ? strdup(path + strspn(path, "/")) : format_text("minictr/%s", c->id);
	size_t n = hierarchies(list);
	for (size_t i = 0; i < n; i++) {
		if (make_directory(&list[i], c->cgroup, err) == 0)
			continue;
		/* An ordinary user without a delegated cgroup: fine as long as nobody relies on a limit. */
		bool denied = err->errnum == EACCES || err->errnum == EPERM || err->errnum == EROFS;
		if (!denied || limits_asked(c))
			return -1;
		/* Bundles all have a device list; without a path none asks for a cgroup. */
		if (path != NULL)
			log_warn("/linux/cgroupsPath: not applied: this user may make no cgroup there");
		cgroup_remove(c);
		c->cgroup = NULL;
		*err = (struct rootfs_error)ROOTFS_ERROR_INIT;
		return 0;
	}
	return n > 0 || !limits_asked(c) ? 0 : fail_at(err, "/linux/resources", "no cgroup file system on this host");
}

int cgroup_join(const struct container *c, pid_t pid, struct rootfs_error *err)
{
	struct hierarchy list[HIERARCHIES_MAX];
	char text[16];
	if (c->cgroup == NULL)
		return 0;
	snprintf(text, sizeof(text), "%d", (int)pid);
	size_t n = hierarchies(list);
	for (size_t i = 0; i < n; i++) {
		char *file = format_text("%s/%s/cgroup.procs", list[i].mount, c->cgroup);
		int result = write_text(AT_FDCWD, file, text, err);
		free(file);
		if (result < 0)
			return -1;
	}
	return 0;
}

int cgroup_processes(const struct container *c, pid_t **pids, size_t *len, struct rootfs_error *err)
{
	struct hierarchy list[HIERARCHIES_MAX];
	*pids = NULL;
	*len = 0;
	if (c->cgroup == NULL || hierarchies(list) == 0)
		return fail(err, ROOTFS_ERR_STATE, 0, "cgroup", "container %s has no cgroup of its own", c->id);
	char *name = format_text("%s/%s/cgroup.procs", list[0].mount, c->cgroup);
	FILE *file = fopen(name, "re");
	int pid;
	if (file == NULL && errno != ENOENT)
		fail_errno(err, "open", "%s", name);
	while (file != NULL && fscanf(file, "%d", &pid) == 1) {
		if (pid <= 0)
			continue; /* 0: of another pid namespace. To kill(2) it would mean ourselves */
		pid_t *more = reallocarray(*pids, *len + 1, sizeof(**pids));
		if (more == NULL)
			break;
		*pids = more;
		(*pids)[(*len)++] = pid;
	}
	free(name);
	if (file != NULL)
		fclose(file);
	return file == NULL && err->code != 0 ? -1 : 0;
}

static void nap(void)
{
	nanosleep(&(struct timespec){0, 5000000}, NULL);
}

int cgroup_kill(const struct container *c, int signal, struct rootfs_error *err)
{
	/* A process that forks while it is killed leaves a child behind: again, until none is there. */
	for (int round = 0; round < 200; round++) {
		pid_t *pids;
		size_t len;
		if (cgroup_processes(c, &pids, &len, err) < 0)
			return -1;
		for (size_t i = 0; i < len; i++)
			if (kill(pids[i], signal) < 0 && errno != ESRCH) {
				free(pids);
				return fail_errno(err, "kill", "a process of container %s", c->id);
			}
		free(pids);
		if (len == 0 || signal != SIGKILL)
			return 0;
		nap();
	}
	return fail(err, ROOTFS_ERR_SYSTEM, EBUSY, "kill", "processes of container %s do not end", c->id);
}

static char *freezer_file(const struct container *c, bool *v2)
{
	struct hierarchy list[HIERARCHIES_MAX];
	size_t n = c->cgroup != NULL ? hierarchies(list) : 0;
	for (size_t i = 0; i < n; i++)
		if (has_controller(&list[i], "freezer") || (list[i].v2 && n == 1)) {
			*v2 = list[i].v2;
			return format_text("%s/%s/%s", list[i].mount, c->cgroup, *v2 ? "cgroup.freeze" : "freezer.state");
		}
	return NULL;
}

bool cgroup_frozen(const struct container *c)
{
	bool v2;
	char *file = freezer_file(c, &v2), first = 0;
	int fd = file != NULL ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	free(file);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, &first, 1);
	close(fd);
	return n == 1 && first == (v2 ? '1' : 'F'); /* FREEZING counts: no process of it will run any more */
}

int cgroup_freeze(const struct container *c, bool freeze, struct rootfs_error *err)
{
	bool v2;
	char *file = freezer_file(c, &v2);
	if (file == NULL)
		return fail(err, ROOTFS_ERR_UNSUPPORTED, 0, "cgroup", "container %s has no cgroup with a freezer", c->id);
	int result = write_text(AT_FDCWD, file, v2 ? (freeze ? "1" : "0") : (freeze ? "FROZEN" : "THAWED"), err);
	free(file);
	return result;
}

/* The container may have made cgroups below its own. */
static int remove_tree(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		char *child = format_text("%s/%s", directory, entry->d_name);
		remove_tree(child);
		free(child);
	}
	if (dir != NULL)
		closedir(dir);
	/* Busy for as long as the kernel still buries the last process. */
	for (int round = 0; rmdir(directory) < 0; round++) {
		if (errno != EBUSY || round == 200)
			return errno;
		nap();
	}
	return 0;
}

void cgroup_remove(const struct container *c)
{
	struct hierarchy list[HIERARCHIES_MAX];
	if (c->cgroup == NULL)
		return;
	size_t n = hierarchies(list);
	for (size_t i = 0; i < n; i++) {
		char *directory = cgroup_directory(&list[i], c);
		int errnum = remove_tree(directory);
		if (errnum != 0 && errnum != ENOENT)
			log_warn("cgroup %s: %s", directory, strerror(errnum));
		free(directory);
	}
}

char *cgroup_v2_path(const struct container *c)
{
	struct hierarchy list[HIERARCHIES_MAX];
	size_t n = c->cgroup != NULL ? hierarchies(list) : 0;
	for (size_t i = 0; i < n; i++)
		if (list[i].v2)
			return cgroup_directory(&list[i], c);
	return NULL;
}
