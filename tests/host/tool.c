/* tool SCRATCH: one host from validate to finalize, to be run under a tool (a sanitizer, valgrind). 0 when all went well. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

struct rootfs_error error = ROOTFS_ERROR_INIT;
char *library, *scratch;

void check_failed(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	_exit(1);
}

void skip(const char *format, ...)
{
	(void)format;
	_exit(77);
}

int main(int argc, char **argv)
{
	struct rootfs_request request;
	char *text;
	int status;
	pid_t pid;

	if (argc < 2)
		return 2;
	scratch = argv[1];
	small_request(&request);
	WORKS(rootfs_validate(&request, &error));
	WORKS(rootfs_plan(&request, &text, &error));
	rootfs_free(text);
	pid = fork();
	if (pid == 0) {
		own_mounts();
		WORKS(rootfs_prepare(&request, &error));
		WORKS(rootfs_finalize(&error));
		WORKS(rootfs_verify(NULL, &text, &error));
		rootfs_free(text);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
