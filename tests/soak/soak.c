/* SPDX-License-Identifier: Apache-2.0
 *
 * soak load ROOTFS COUNT PARALLEL	sets up COUNT containers, PARALLEL at a time, from one parent, and measures the parent
 * soak mounts ROOTFS COUNT HOST	sets up one container with COUNT mounts on a host with HOST more mounts, and measures it
 *
 * Prints "name=value" pairs; tests/soak/run judges them. The parent has a mount namespace that stands for the host, its mounts
 * shared as systemd makes them, so that a mount that leaks from a container is counted.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rootfs.h"

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* A string that grows. */
struct text {
	char *bytes;
	size_t len, room;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	for (;;) {
		va_list args;
		va_start(args, format);
		int n = vsnprintf(t->bytes + t->len, t->room - t->len, format, args);
		va_end(args);
		if (t->len + n < t->room) {
			t->len += n;
			return;
		}
		t->room = (t->room + n) * 2 + 1024;
		t->bytes = realloc(t->bytes, t->room);
		if (!t->bytes)
			die("realloc");
	}
}

/* A container as `runc spec` has it, and `extra` more mounts: binds of a directory, below /m. */
static struct text config(const char *rootfs, int extra)
{
	struct text t = { 0 };
	add(&t, "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"%s\",\"readonly\":true},\"process\":{\"cwd\":\"/\"},"
		"\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"}],"
		"\"maskedPaths\":[\"/proc/kcore\",\"/proc/keys\",\"/proc/timer_list\",\"/sys/firmware\",\"/proc/scsi\"],"
		"\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]},\"mounts\":["
		"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"]},"
		"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=65536k\"]},"
		"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
		"{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}", rootfs);
	for (int i = 0; i < extra; i++)
		add(&t, ",{\"destination\":\"/m/%d\",\"type\":\"bind\",\"source\":\"/proc\",\"options\":[\"bind\",\"ro\",\"nosuid\"]}", i);
	add(&t, "]}");
	return t;
}

/* What a child tells its parent: small enough for one atomic write. */
struct report {
	double prepare, finalize; /* milliseconds */
	int code;
	char message[1024];
};

static void child(const struct text *c, int pipe)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	struct report r = { 0 };
	request.config = c->bytes;
	request.config_len = c->len;
	double t = now();
	r.code = rootfs_prepare(&request, &err);
	r.prepare = now() - t;
	if (!r.code) {
		t = now();
		r.code = rootfs_finalize(&err);
		r.finalize = now() - t;
	}
	snprintf(r.message, sizeof r.message, "%.1000s", err.message);
	if (write(pipe, &r, sizeof r) != sizeof r || r.code)
		_exit(3);
	char *argv[] = { "true", NULL };
	execv("/bin/true", argv);
	_exit(4);
}

static pid_t start(const struct text *c, int pipe)
{
	pid_t pid = syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid < 0)
		die("clone");
	if (pid == 0)
		child(c, pipe);
	return pid;
}

static long lines(const char *file)
{
	FILE *f = fopen(file, "re");
	long n = 0;
	int byte;
	if (!f)
		die(file);
	while ((byte = getc(f)) != EOF)
		n += byte == '\n';
	fclose(f);
	return n;
}

static long entries(const char *dir)
{
	DIR *d = opendir(dir);
	long n = -2; /* . and .. */
	if (!d)
		die(dir);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static long resident(void)
{
	long total, pages;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2)
		die("statm");
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void measure(const char *when)
{
	char children[64];
	snprintf(children, sizeof children, "/proc/self/task/%d/children", getpid());
	FILE *f = fopen(children, "re");
	int left = f ? getc(f) != EOF : -1;
	if (f)
		fclose(f);
	printf("%s.fds=%ld %s.mounts=%ld %s.tmp=%ld %s.rss_kib=%ld %s.children=%d\n", when, entries("/proc/self/fd"), when,
	       lines("/proc/self/mountinfo"), when, entries("/tmp"), when, resident(), when, left);
	fflush(stdout);
}

/* The namespace that stands for the host, with a /tmp in which nobody else is at work. */
static void become_host(void)
{
	if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("", "/", NULL, MS_REC | MS_SHARED, NULL) || mount("tmpfs", "/tmp", "tmpfs", 0, NULL))
		die("unshare");
}

static void load(const char *rootfs, int count, int parallel)
{
	struct text c = config(rootfs, 0);
	int pipes[2], running = 0, started = 0, failed = 0;
	double begin = now(), prepare = 0, finalize = 0;
	if (pipe2(pipes, O_CLOEXEC))
		die("pipe2");
	measure("start");
	for (int done = 0; done < count;) {
		for (; running < parallel && started < count; running++, started++)
			start(&c, pipes[1]);
		int status;
		struct report r;
		pid_t pid = wait(&status);
		if (pid < 0)
			die("wait");
		running--;
		done++;
		/* A child that died without a word, as none should, leaves nothing in the pipe. */
		if (!WIFEXITED(status) || WEXITSTATUS(status) > 4 || read(pipes[0], &r, sizeof r) != sizeof r) {
			failed++;
			fprintf(stderr, "a child died: status %x\n", status);
			continue;
		}
		prepare += r.prepare;
		finalize += r.finalize;
		if (r.code) {
			if (failed++ < 5)
				fprintf(stderr, "error %d: %s\n", r.code, r.message);
		}
		if (done == count / 10)
			measure("tenth");
	}
	measure("end");
	printf("count=%d parallel=%d failed=%d ms=%.0f prepare_ms=%.3f finalize_ms=%.3f\n", count, parallel, failed, now() - begin,
	       prepare / count, finalize / count);
}

static void many_mounts(const char *rootfs, int count, int host)
{
	const char *dir = "/tmp/soak-host";
	if (mkdir(dir, 0755) && errno != EEXIST)
		die(dir);
	if (mount("tmpfs", dir, "tmpfs", 0, NULL))
		die("tmpfs");
	/* Doubling by recursive binds would nest; a bind each is what a host with many containers has. */
	for (int i = 0; i < host; i++) {
		char path[64];
		snprintf(path, sizeof path, "%s/%d", dir, i);
		if (mkdir(path, 0755) || mount("/proc", path, NULL, MS_BIND, NULL))
			die(path);
	}
	struct text c = config(rootfs, count);
	int pipes[2], status;
	struct report r = { 0 };
	if (pipe2(pipes, O_CLOEXEC))
		die("pipe2");
	measure("start");
	double begin = now();
	start(&c, pipes[1]);
	double forked = now() - begin;
	if (read(pipes[0], &r, sizeof r) != sizeof r)
		die("read");
	wait(&status);
	measure("end");
	if (r.code)
		fprintf(stderr, "error %d: %s\n", r.code, r.message);
	printf("count=%d host=%d failed=%d clone_ms=%.1f prepare_ms=%.1f finalize_ms=%.1f\n", count, host,
	       r.code || status != 0, forked, r.prepare, r.finalize);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: soak load|mounts ROOTFS COUNT PARALLEL|HOST\n");
		return 2;
	}
	become_host();
	if (!strcmp(argv[1], "load"))
		load(argv[2], atoi(argv[3]), atoi(argv[4]));
	else
		many_mounts(argv[2], atoi(argv[3]), atoi(argv[4]));
	return 0;
}
