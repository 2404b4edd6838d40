/* SPDX-License-Identifier: Apache-2.0
 *
 * What a container's process sees of its root, as lines of tab-separated fields on standard output. Linked statically, so
 * that it runs in a root that holds nothing else. Usage: probe [--tree] [PATH...]
 *
 *	mount  <a line of /proc/self/mountinfo>
 *	node   path type major:minor mode uid:gid link      everything below /dev; with --tree, below /
 *	path   path type major:minor mode uid:gid link read write    each PATH of the command line
 *	cwd    path
 *	umask  octal
 *	stdio  fd major:minor origin      where it is a device: on the container's /dev, or elsewhere
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

static char type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	}
	return '?';
}

static void put_node(const char *kind, const char *path, const struct stat *st)
{
	char link[PATH_MAX] = "-";

	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlink(path, link, sizeof(link) - 1);

		link[n < 0 ? 0 : n] = '\0';
	}
	printf("%s\t%s\t%c\t%u:%u\t%04o\t%u:%u\t%s", kind, path, type_letter(st->st_mode), major(st->st_rdev), minor(st->st_rdev),
	       (unsigned)st->st_mode & 07777, st->st_uid, st->st_gid, link);
}

/* What is in there depends on the moment, not on who set the root up. */
static int is_api(const char *dir)
{
	struct statfs fs;

	return !statfs(dir, &fs) && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC || fs.f_type == CGROUP_SUPER_MAGIC ||
				     fs.f_type == CGROUP2_SUPER_MAGIC);
}

static void put_tree(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);

	if (n < 0) {
		printf("unlisted\t%s\t%s\n", dir, strerrorname_np(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", dir[1] ? dir : "", names[i]->d_name);
		if (strcmp(names[i]->d_name, ".") && strcmp(names[i]->d_name, "..") && !lstat(path, &st)) {
			put_node("node", path, &st);
			putchar('\n');
			if (S_ISDIR(st.st_mode) && !is_api(path))
				put_tree(path);
		}
		free(names[i]);
	}
	free(names);
}

/* What reading gives: for a file the start of its text, for a directory the number of its entries, for a device only that it
 * can be opened; else the errno. */
static void put_reading(const char *path, const struct stat *st)
{
	char text[65];
	int fd;
	ssize_t n;

	if (S_ISDIR(st->st_mode)) {
		struct dirent **names;
		int count = scandir(path, &names, NULL, NULL);

		if (count < 0) {
			printf("\t%s", strerrorname_np(errno));
			return;
		}
		printf("\t%d entries", count - 2);
		for (int i = 0; i < count; i++)
			free(names[i]);
		free(names);
		return;
	}
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	n = fd >= 0 && S_ISREG(st->st_mode) ? read(fd, text, sizeof(text) - 1) : 0;
	if (fd < 0 || n < 0) {
		printf("\t%s", strerrorname_np(errno));
	} else if (!S_ISREG(st->st_mode)) {
		printf("\topened");
	} else {
		text[n] = '\0';
		printf("\t\"%.*s\"", (int)strcspn(text, "\n\t"), text);
	}
	if (fd >= 0)
		close(fd);
}

/* What writing gives, without leaving anything: a file is opened without being truncated, in a directory a file is made
 * and removed. */
static void put_writing(const char *path, const struct stat *st)
{
	char file[PATH_MAX];
	int fd;

	if (S_ISDIR(st->st_mode)) {
		snprintf(file, sizeof(file), "%s/.probe", path);
		fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	} else {
		fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	}
	printf("\t%s", fd < 0 ? strerrorname_np(errno) : "yes");
	if (fd >= 0) {
		close(fd);
		if (S_ISDIR(st->st_mode))
			unlink(file);
	}
}

/* The mount table, from a procfs of our own where we may have one: the config need not mount one, and may cover its files. */
static FILE *open_table(void)
{
	int fs = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC), proc, file = -1;

	if (fs >= 0 && !syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) {
		proc = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
		file = openat(proc, "self/mountinfo", O_RDONLY | O_CLOEXEC);
	}
	return file >= 0 ? fdopen(file, "r") : fopen("/proc/self/mountinfo", "re");
}

int main(int argc, char **argv)
{
	char line[8192], cwd[PATH_MAX];
	FILE *table = open_table();
	int tree = argc > 1 && !strcmp(argv[1], "--tree");
	mode_t mask;

	while (table && fgets(line, sizeof(line), table))
		printf("mount\t%s", line);
	if (table)
		fclose(table);
	put_tree(tree ? "/" : "/dev");
	for (int i = 1 + tree; i < argc; i++) {
		struct stat st;

		if (lstat(argv[i], &st)) {
			printf("path\t%s\t%s\n", argv[i], strerrorname_np(errno));
			continue;
		}
		put_node("path", argv[i], &st);
		put_reading(argv[i], &st);
		put_writing(argv[i], &st);
		putchar('\n');
	}
	printf("cwd\t%s\n", getcwd(cwd, sizeof(cwd)) ? cwd : strerrorname_np(errno));
	mask = umask(0);
	printf("umask\t%04o\n", (unsigned)mask);
	for (int fd = 0; fd < 3; fd++) {
		struct stat st, dev;

		/* A pipe is the caller's; /dev/null must be the container's own. */
		if (!fstat(fd, &st) && S_ISCHR(st.st_mode) && !stat("/dev", &dev))
			printf("stdio\t%d\t%u:%u\t%s\n", fd, major(st.st_rdev), minor(st.st_rdev),
			       st.st_dev == dev.st_dev ? "container" : "elsewhere");
	}
	return 0;
}
