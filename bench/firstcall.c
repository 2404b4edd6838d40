// SPDX-License-Identifier: Apache-2.0
//
// How long a Go library takes until it has answered its first call, in a process forked for it, as an init child is.
//
//	firstcall COUNT LIBRARY SYMBOL ...     SYMBOL is a void function(void)
//
// Prints a line per round with two numbers per library: nanoseconds of dlopen and the first call, and of dlopen alone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <err.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "clock.h"

static void once(const char *library, const char *symbol, long spent[2])
{
	long begin = now_ns();
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		errx(1, "%s", dlerror());
	void (*call)(void);
	*(void **)&call = dlsym(handle, symbol);
	spent[1] = now_ns() - begin;
	if (!call)
		errx(1, "%s", dlerror());
	call();
	spent[0] = now_ns() - begin;
}

int main(int argc, char **argv)
{
	if (argc < 4 || argc % 2)
		errx(2, "usage: firstcall COUNT LIBRARY SYMBOL ...");
	long *spent = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (spent == MAP_FAILED)
		err(1, "mmap");
	int count = atoi(argv[1]), libraries = (argc - 2) / 2;
	for (int round = 0; round < count; round++) {
		for (int i = 0; i < libraries; i++) {
			int status;
			pid_t pid = fork();
			if (pid < 0)
				err(1, "fork");
			if (!pid) {
				once(argv[2 + 2 * i], argv[3 + 2 * i], spent + 2 * i);
				_exit(0);
			}
			if (waitpid(pid, &status, 0) < 0 || status)
				errx(1, "%s: wait status %#x", argv[2 + 2 * i], status);
		}
		for (int i = 0; i < 2 * libraries; i++)
			printf("%ld%c", spent[i], i == 2 * libraries - 1 ? '\n' : ' ');
	}
	return 0;
}
