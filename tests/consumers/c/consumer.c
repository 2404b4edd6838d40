/* SPDX-License-Identifier: Apache-2.0
 *
 * A host as others would write it, knowing only the installed library: validates in the parent, then forks a child
 * that sets up the root given on the command line. Prints the mount points that the child sees. */
#define _GNU_SOURCE
#include <rootfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int child(const struct rootfs_request *request, struct rootfs_error *err)
{
	char line[4096], point[4096];
	FILE *table;

	if (rootfs_prepare(request, err) || rootfs_finalize(err)) {
		fprintf(stderr, "%s\n", err->message);
		return 1;
	}
	table = fopen("/proc/self/mountinfo", "re");
	while (table && fgets(line, sizeof(line), table))
		if (sscanf(line, "%*s %*s %*s %*s %4095s", point) == 1)
			puts(point);
	return !table || fclose(table);
}

int main(int argc, char **argv)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	char config[8192];
	pid_t pid;
	int status;

	if (argc != 2)
		return 2;
	request.config = config;
	request.config_len = (size_t)snprintf(config, sizeof(config),
		"{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"%s\"},"
		" \"mounts\": [{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"}],"
		" \"linux\": {\"namespaces\": [{\"type\": \"mount\"}, {\"type\": \"pid\"}]}}", argv[1]);
	if (rootfs_validate(&request, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	if (unshare(CLONE_NEWNS | CLONE_NEWPID)) {
		perror("unshare");
		return 1;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		status = child(&request, &err);
		fflush(NULL);
		_exit(status);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}
