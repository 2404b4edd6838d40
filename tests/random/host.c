/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets up one root with librootfs and has it verified: rootfs_prepare, rootfs_finalize, rootfs_verify. Prints the report.
 *
 *	host CONFIG OPTIONS FLAGS     OPTIONS: JSON, as text; FLAGS: CLONE_NEW* of the container, a number. A user namespace's ids are
 *	                              those from 100000 on.
 *
 * Exit status: 0 with a report, 3 when the library refused the config (its message on standard error), 1 for a failure that
 * is not about the config.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <rootfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *read_all(const char *path, size_t *len)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(1 << 20);

	if (!file || !text) {
		perror(path);
		exit(1);
	}
	*len = fread(text, 1, 1 << 20, file);
	fclose(file);
	return text;
}

static int refused(const struct rootfs_error *err)
{
	fprintf(stderr, "%s\n", err->message);
	return err->code == ROOTFS_ERR_ENGINE || err->code == ROOTFS_ERR_INTERNAL ? 1 : 3;
}

static int set_up(const struct rootfs_request *request)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	char *report;

	if (rootfs_prepare(request, &err) || rootfs_finalize(&err))
		return refused(&err);
	if (rootfs_verify(NULL, &report, &err)) {
		fprintf(stderr, "verify: %s\n", err.message);
		return 1;
	}
	puts(report);
	rootfs_free(report);
	return fflush(stdout) ? 1 : 0;
}

static int write_map(pid_t child, const char *name)
{
	static const char map[] = "0 100000 65536";
	char path[64];
	int fd, written;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)child, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	written = fd >= 0 && write(fd, map, sizeof map - 1) == (ssize_t)(sizeof map - 1);
	if (!written)
		perror(path);
	close(fd);
	return written;
}

int main(int argc, char **argv)
{
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	struct rootfs_source sources[64];
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	unsigned long flags;
	int status, ready[2];
	char byte;
	pid_t child;

	if (argc != 4) {
		fprintf(stderr, "usage: host CONFIG OPTIONS FLAGS\n");
		return 2;
	}
	request.config = read_all(argv[1], &request.config_len);
	request.options = argv[2];
	request.options_len = strlen(argv[2]);
	flags = strtoul(argv[3], NULL, 0);
	if (flags & CLONE_NEWUSER) {
		request.sources = sources;
		request.sources_len = sizeof sources / sizeof *sources;
		if (rootfs_open_sources(&request, -1, sources, &request.sources_len, &err))
			return refused(&err);
	}
	if (pipe2(ready, O_CLOEXEC)) {
		perror("pipe2");
		return 2;
	}
	/* Not fork and unshare, which gives a pid namespace to the next child only: /proc would be the host's. */
	child = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (child < 0) {
		perror("clone");
		return 2;
	}
	if (child == 0) {
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1)
			_exit(2);
		if (flags & CLONE_NEWUSER && (setgroups(0, NULL) || setresgid(0, 0, 0) || setresuid(0, 0, 0))) {
			perror("ids");
			_exit(2);
		}
		_exit(set_up(&request));
	}
	close(ready[0]);
	if (!(flags & CLONE_NEWUSER) || (write_map(child, "uid_map") && write_map(child, "gid_map")))
		(void)!write(ready[1], "", 1);
	close(ready[1]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
