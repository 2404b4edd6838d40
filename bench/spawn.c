// SPDX-License-Identifier: Apache-2.0
//
// Starts commands and times them: a shell's or an interpreter's own fork would cost more than what is measured.
//
//	spawn rounds WARMUPS ROUNDS COMMAND ::: COMMAND ...
//		In each round every command once, one after the other, in an order by chance: what a command leaves in the caches and in the
//		kernel's queues is not always for the same one. Prints a line per round: nanoseconds from before the spawn to after the wait,
//		in the order of the arguments.
//	spawn many COUNT PARALLEL COMMAND
//		COUNT runs, PARALLEL at a time. Prints the nanoseconds of all.
//
// "{}" in an argument becomes the number of the run. A command that fails ends the benchmark.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "clock.h"

extern char **environ;

static posix_spawn_file_actions_t quiet;

static pid_t start(char **argv, long number)
{
	enum { MOST = 65536 };
	static char *filled[MOST], text[64];
	pid_t pid;
	int n = 0;
	snprintf(text, sizeof text, "bench-%d-%ld", (int)getpid(), number);
	for (; argv[n]; n++) {
		if (n == MOST - 1)
			errx(2, "too many arguments");
		filled[n] = strcmp(argv[n], "{}") ? argv[n] : text;
	}
	filled[n] = NULL;
	errno = posix_spawnp(&pid, filled[0], &quiet, NULL, filled, environ);
	if (errno)
		err(1, "%s", filled[0]);
	return pid;
}

static void finish(pid_t wanted, const char *name)
{
	int status;
	if (waitpid(wanted, &status, 0) < 0)
		err(1, "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		errx(1, "%s: wait status %#x", name ? name : "a run", status);
}

static int rounds(int warmups, int count, char **argv)
{
	enum { MOST = 16 };
	char **commands[MOST] = { argv };
	long spent[MOST], number = 0;
	int n = 1, order[MOST];
	for (char **p = argv; *p; p++) {
		if (strcmp(*p, ":::"))
			continue;
		if (n == MOST)
			errx(2, "too many commands");
		*p = NULL;
		commands[n++] = p + 1;
	}
	for (int i = 0; i < n; i++)
		order[i] = i;
	for (int round = -warmups; round < count; round++) {
		for (int left = n; left; left--) {
			int i = rand() % left, k = order[i];
			order[i] = order[left - 1];
			order[left - 1] = k;
			long begin = now_ns();
			finish(start(commands[k], number++), commands[k][0]);
			spent[k] = now_ns() - begin;
		}
		for (int i = 0; round >= 0 && i < n; i++)
			printf("%ld%c", spent[i], i == n - 1 ? '\n' : ' ');
		fflush(stdout);
	}
	return 0;
}

static int many(int count, int parallel, char **argv)
{
	long begin = now_ns();
	int running = 0;
	for (int number = 0; number < count; number++) {
		if (running == parallel)
			finish(-1, NULL);
		else
			running++;
		start(argv, number);
	}
	while (running--)
		finish(-1, NULL);
	printf("%ld\n", now_ns() - begin);
	return 0;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	if (argc > 4 && !strcmp(argv[1], "rounds"))
		return rounds(atoi(argv[2]), atoi(argv[3]), argv + 4);
	if (argc > 4 && !strcmp(argv[1], "many"))
		return many(atoi(argv[2]), atoi(argv[3]), argv + 4);
	errx(2, "usage: spawn rounds WARMUPS ROUNDS COMMAND ::: COMMAND ..., or spawn many COUNT PARALLEL COMMAND");
}
