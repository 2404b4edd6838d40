/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets up one root with librootfs and has it verified: rootfs_prepare, rootfs_finalize, rootfs_verify. Prints the report.
 *
 *	host CONFIG OPTIONS FLAGS     OPTIONS: JSON, as text; FLAGS: CLONE_NEW* of the container, a number
 *
 * Exit status: 0 with a report, 3 when the library refused the config (its message on standard error), 1 for a failure that
 * is not about the config.
 */
#define _GNU_SOURCE
#include <errno.h>
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

static int set_up(const char *path, const char *options)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	char *report;

	request.config = read_all(path, &request.config_len);
	request.options = options;
	request.options_len = strlen(options);
	if (rootfs_prepare(&request, &err) || rootfs_finalize(&err)) {
		fprintf(stderr, "%s\n", err.message);
		return err.code == ROOTFS_ERR_ENGINE || err.code == ROOTFS_ERR_INTERNAL ? 1 : 3;
	}
	if (rootfs_verify(NULL, &report, &err)) {
		fprintf(stderr, "verify: %s\n", err.message);
		return 1;
	}
	puts(report);
	rootfs_free(report);
	return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	int status;
	pid_t child;

	if (argc != 4) {
		fprintf(stderr, "usage: host CONFIG OPTIONS FLAGS\n");
		return 2;
	}
	/* Not fork and unshare, which gives a pid namespace to the next child only: /proc would be the host's. */
	child = (pid_t)syscall(SYS_clone, strtoul(argv[3], NULL, 0) | SIGCHLD, 0, 0, 0, 0);
	if (child < 0) {
		perror("clone");
		return 2;
	}
	if (child == 0)
		_exit(set_up(argv[1], argv[2]));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
