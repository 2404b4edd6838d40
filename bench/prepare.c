// SPDX-License-Identifier: Apache-2.0
//
// A host of librootfs that does nothing but measure it, in an init child as a runtime has it: forked into new mount, pid,
// ipc and uts namespaces.
//
//	prepare cold BUNDLE            rootfs_prepare + rootfs_finalize, the engine not loaded yet
//	prepare warm BUNDLE            the same after rootfs_start and a call with a broken document
//	prepare parts BUNDLE           as warm, but for the steps "root" and "switch-root", in which the kernel walks the host's mounts
//	prepare first BUNDLE           only the call with a broken document: how long the engine takes until it has answered once
//	prepare early BUNDLE MICROS    rootfs_start on a thread of its own, MICROS of the host's own work, then that call; without the
//	                               work's time
//	prepare late BUNDLE MICROS     the same work, then rootfs_start and that call
//	prepare forked BUNDLE          as cold, in a child of a parent that called rootfs_start
//
// Prints the nanoseconds, and the peak resident set of the init child in KiB. Under BENCH_MARK the two calls stand
// between marks.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <rootfs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "clock.h"

static char *read_config(const char *bundle, size_t *len)
{
	char path[4096];
	struct stat st;
	snprintf(path, sizeof path, "%s/config.json", bundle);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		err(1, "%s", path);
	char *text = malloc((size_t)st.st_size + 1);
	if (!text || read(fd, text, (size_t)st.st_size) != st.st_size)
		err(1, "%s", path);
	close(fd);
	*len = (size_t)st.st_size;
	return text;
}

static void fail(const struct rootfs_error *error)
{
	errx(1, "%s: %s", error->operation, error->message);
}

// A call that needs the engine and changes nothing: the document ends in its first byte.
static void broken_call(void)
{
	struct rootfs_error error = ROOTFS_ERROR_INIT;
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	request.config = "{";
	request.config_len = 1;
	if (rootfs_prepare(&request, &error) != ROOTFS_ERR_INVALID)
		fail(&error);
}

static void set_up(const struct rootfs_request *request)
{
	struct rootfs_error error = ROOTFS_ERROR_INIT;
	mark("begin");
	if (rootfs_prepare(request, &error) || rootfs_finalize(&error))
		fail(&error);
	mark("end");
}

// Adds up the time of the steps that are not about the host's mounts. The step that is told is the one that begins.
static struct {
	long since, spent;
	int counted;
} parts;

static void next_part(int counted)
{
	long now = now_ns();
	if (parts.counted)
		parts.spent += now - parts.since;
	parts.since = now;
	parts.counted = counted;
}

static void on_step(void *user, const struct rootfs_progress *step)
{
	(void)user;
	next_part(strcmp(step->operation, "root") && strcmp(step->operation, "switch-root"));
}

static long set_up_in_parts(struct rootfs_request request)
{
	request.on_progress = on_step;
	next_part(1);
	set_up(&request);
	next_part(0);
	return parts.spent;
}

static void *start(void *unused)
{
	(void)unused;
	struct rootfs_error error = ROOTFS_ERROR_INIT;
	if (rootfs_start(&error))
		fail(&error);
	return NULL;
}

// The processor's time, not a sleep: it is there for the engine only on another CPU.
static void work(long micros)
{
	for (long until = now_ns() + micros * 1000; now_ns() < until;)
		;
}

static long measure(const char *mode, const struct rootfs_request *request, long micros)
{
	if (!strcmp(mode, "warm") || !strcmp(mode, "parts")) {
		start(NULL);
		broken_call();
	}
	if (!strcmp(mode, "parts"))
		return set_up_in_parts(*request);
	long begin = now_ns();
	if (!strcmp(mode, "cold") || !strcmp(mode, "warm") || !strcmp(mode, "forked")) {
		set_up(request);
	} else if (!strcmp(mode, "first")) {
		broken_call();
	} else if (!strcmp(mode, "early")) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, start, NULL))
			errx(1, "no thread can be made");
		work(micros);
		broken_call();
		pthread_join(thread, NULL);
	} else if (!strcmp(mode, "late")) {
		work(micros);
		start(NULL);
		broken_call();
	} else {
		errx(2, "unknown mode %s", mode);
	}
	return now_ns() - begin - micros * 1000;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "usage: prepare cold|warm|parts|first|forked BUNDLE, or prepare early|late BUNDLE MICROS");
	char options[4200];
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	request.config = read_config(argv[2], &request.config_len);
	request.options = options;
	request.options_len = (size_t)snprintf(options, sizeof options, "{\"bundle\":\"%s\"}", argv[2]);

	if (!strcmp(argv[1], "forked"))
		start(NULL);
	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		err(1, "unshare");
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		struct rusage usage;
		long spent = measure(argv[1], &request, argc > 3 ? atol(argv[3]) : 0);
		getrusage(RUSAGE_SELF, &usage);
		printf("%ld %ld\n", spent, usage.ru_maxrss);
		fflush(stdout);
		_exit(0);
	}
	int status;
	if (waitpid(pid, &status, 0) < 0)
		err(1, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
