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
//	prepare lent BUNDLE ROOTFS     as warm, in a mount namespace that is cloned from one with few mounts, with ROOTFS (an absolute path)
//	                               as a descriptor; the clone is in the time
//
// Prints the nanoseconds, and the peak resident set of the init child in KiB. Under BENCH_MARK the two calls stand
// between marks.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <rootfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

// A mount namespace with /proc and /sys/fs/cgroup of the caller's and a directory for the root, and nothing else. A host with many
// containers keeps one: its children clone that instead of the host's own, and get what they need of the host as descriptors.
static int few_mounts = -1;

static void make_dirs(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		*at = 0;
		mkdir(path, 0755);
		*at = '/';
	}
	mkdir(path, 0755);
}

static void keep_few_mounts(char *root)
{
	static const char *const kept[] = { "/proc", "/sys/fs/cgroup" };
	char dir[] = "/tmp/few-mounts-XXXXXX", link[64];
	int ready[2];

	if (!mkdtemp(dir) || pipe2(ready, O_CLOEXEC) < 0)
		err(1, "%s", dir);
	pid_t keeper = fork();
	if (!keeper) {
		int bad = unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_SLAVE | MS_REC, NULL) || mount("few", dir, "tmpfs", 0, "mode=755") ||
			  chdir(dir) || mkdir("proc", 0755) || mkdir("sys", 0755) || mkdir("sys/fs", 0755) || mkdir("sys/fs/cgroup", 0755);
		for (int i = 0; i < 2 && !bad; i++)
			bad = mount(kept[i], kept[i] + 1, NULL, MS_BIND, NULL);
		bad = bad || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH);
		if (bad)
			err(1, "a namespace with few mounts");
		make_dirs(root);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (keeper < 0 || read(ready[0], link, 1) != 1)
		errx(1, "no namespace with few mounts");
	snprintf(link, sizeof link, "/proc/%d/ns/mnt", keeper);
	few_mounts = open(link, O_RDONLY | O_CLOEXEC);
	if (few_mounts < 0)
		err(1, "%s", link);
	close(ready[0]);
	kill(keeper, SIGKILL);
	waitpid(keeper, NULL, 0);
	rmdir(dir);
}

static long measure(const char *mode, const struct rootfs_request *request, long micros)
{
	if (!strcmp(mode, "warm") || !strcmp(mode, "parts") || !strcmp(mode, "lent")) {
		start(NULL);
		broken_call();
	}
	if (!strcmp(mode, "parts"))
		return set_up_in_parts(*request);
	long begin = now_ns();
	if (!strcmp(mode, "cold") || !strcmp(mode, "warm") || !strcmp(mode, "forked")) {
		set_up(request);
	} else if (!strcmp(mode, "lent")) {
		if (setns(few_mounts, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0)
			err(1, "a namespace with few mounts");
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
		errx(2, "usage: prepare cold|warm|parts|first|forked BUNDLE, prepare early|late BUNDLE MICROS, or prepare lent BUNDLE ROOTFS");
	char options[4200];
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	request.config = read_config(argv[2], &request.config_len);
	request.options = options;
	request.options_len = (size_t)snprintf(options, sizeof options, "{\"bundle\":\"%s\"}", argv[2]);

	struct rootfs_source root = { ROOTFS_SOURCE_ROOT, -1 };
	if (!strcmp(argv[1], "forked"))
		start(NULL);
	if (!strcmp(argv[1], "lent") && argc > 3) {
		keep_few_mounts(argv[3]);
		root.fd = (int)syscall(SYS_open_tree, AT_FDCWD, argv[3], OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
		if (root.fd < 0)
			err(1, "open_tree %s", argv[3]);
		request.sources = &root;
		request.sources_len = 1;
	}
	if (unshare((root.fd < 0 ? CLONE_NEWNS : 0) | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		err(1, "unshare");
	pid_t pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		struct rusage usage;
		long spent = measure(argv[1], &request, argc > 3 && root.fd < 0 ? atol(argv[3]) : 0);
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
