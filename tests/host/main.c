/* host LIBRARY SCRATCH [NAME]: runs the cases, each in a process of its own, and prints a line for each. */
#define _GNU_SOURCE
#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

#define SECONDS 60
#define SKIPPED 77

struct rootfs_error error = ROOTFS_ERROR_INIT;
char *library, *scratch;
static int said[2]; /* what a failed or skipped case has to say */

static void say(const char *format, va_list args, const char *place)
{
	char text[4096];
	int n = snprintf(text, sizeof text, "%s", place);

	n += vsnprintf(text + n, sizeof text - (size_t)n, format, args);
	if (write(said[1], text, strlen(text)) < 0)
		abort();
	(void)n;
}

void check_failed(const char *file, int line, const char *format, ...)
{
	char place[128];
	va_list args;

	snprintf(place, sizeof place, "%s:%d: ", file, line);
	va_start(args, format);
	say(format, args, place);
	_exit(1);
}

void skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args, "");
	_exit(SKIPPED);
}

double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int in_child(void (*fn)(void), int seconds)
{
	struct pollfd ended;
	pid_t pid = fork();
	int status;

	if (pid < 0)
		check_failed(__FILE__, __LINE__, "fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn();
		_exit(0);
	}
	ended.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	ended.events = POLLIN;
	if (poll(&ended, 1, seconds * 1000) != 1) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		close(ended.fd);
		return -1;
	}
	close(ended.fd);
	waitpid(pid, &status, 0);
	return status;
}

void as_child(void (*fn)(void), int seconds)
{
	int status = in_child(fn, seconds);

	if (status == -1)
		check_failed(__FILE__, __LINE__, "the child hung for %d s", seconds);
	if (WIFSIGNALED(status))
		check_failed(__FILE__, __LINE__, "the child was killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
}

static int run(const struct test_case *c)
{
	char text[4200];
	double start = now_ms();
	ssize_t n;
	int status;

	if (pipe(said))
		abort();
	status = in_child(c->run, SECONDS);
	close(said[1]);
	n = read(said[0], text, sizeof text - 1);
	text[n > 0 ? n : 0] = 0;
	close(said[0]);
	if (status == 0) {
		printf("ok   %s (%.0f ms)\n", c->name, now_ms() - start);
		return 0;
	}
	if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		printf("skip %s: %s\n", c->name, text);
		return 1;
	}
	if (status == -1)
		printf("FAIL %s: hung for %d s\n", c->name, SECONDS);
	else if (WIFSIGNALED(status))
		printf("FAIL %s: killed by signal %d (%s)\n", c->name, WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		printf("FAIL %s: %s\n", c->name, text);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct test_case *const tables[] = {
#ifndef OTHER_LIBC /* what opens the shared library, and C++ */
		load_cases, fault_cases, cxx_cases,
#endif
		fork_cases, refuse_cases, state_cases, threads_cases, callback_cases, signal_cases, abi_cases, remote_cases, exec_cases
	};
	int counts[3] = { 0, 0, 0 };

	if (argc < 3)
		return 2;
	library = argv[1];
	scratch = argv[2];
	/* A start by posix_spawn (make's) leaves libc's own signals ignored; its pthread_create sets a handler for the second,
	 * so that a program which makes a thread hands on other ones than a program which does not. */
	for (int sig = 32; sig <= 33; sig++) {
		unsigned long none[4] = { 0 };

		syscall(SYS_rt_sigaction, sig, none, NULL, 8);
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
		for (const struct test_case *c = tables[t]; c->name; c++)
			if (argc < 4 || !fnmatch(argv[3], c->name, 0))
				counts[run(c)]++;
	printf("%d passed, %d failed, %d skipped\n", counts[0], counts[2], counts[1]);
	return counts[2] != 0;
}
