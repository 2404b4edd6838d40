/* The calls that run in the helper: the host must notice nothing of its process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static _Atomic int children;

static void on_child(int sig)
{
	(void)sig;
	atomic_fetch_add(&children, 1);
}

static void nothing_noticed(void)
{
	struct sigaction sa = { .sa_handler = on_child };
	struct snapshot before, after;
	struct rootfs_request request;
	char *text;

	small_request(&request);
	sigaction(SIGCHLD, &sa, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	CHECK(open("/etc/passwd", O_RDONLY) >= 0, "open");
	snapshot_take(&before);
	WORKS(rootfs_validate(&request, &error));
	WORKS(rootfs_plan(&request, &text, &error));
	CHECK(strstr(text, "\"op\": \"root\""), "%s", text);
	rootfs_free(text);
	WORKS(rootfs_features(&text, &error));
	CHECK(text[0] == '{', "%s", text);
	rootfs_free(text);
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
	CHECK(atomic_load(&children) == 0, "%d SIGCHLD", atomic_load(&children));
	CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a child is left");
}

static void child_signal_ignored(void)
{
	struct rootfs_request request;

	small_request(&request);
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 5; i++)
		WORKS(rootfs_validate(&request, &error));
}

static _Atomic int stop, reaped;

/* A host whose main loop reaps whatever there is. */
static void *reap_all(void *unused)
{
	(void)unused;
	while (!atomic_load(&stop)) {
		if (waitpid(-1, NULL, WNOHANG) > 0)
			atomic_fetch_add(&reaped, 1);
		usleep(50);
	}
	return NULL;
}

static void greedy_reaper(void)
{
	struct rootfs_request request;
	pthread_t thread;

	small_request(&request);
	pthread_create(&thread, NULL, reap_all, NULL);
	for (int i = 0; i < 20; i++)
		WORKS(rootfs_validate(&request, &error));
	atomic_store(&stop, 1);
	pthread_join(thread, NULL);
	CHECK(atomic_load(&reaped) == 0, "the host's wait(-1) got %d children", atomic_load(&reaped));
}

/* The helper sees the caller's mount namespace and working directory. */
static void same_view(void)
{
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	char path[4096], config[5000];

	need_root();
	own_mounts();
	snprintf(path, sizeof path, "%s/view", scratch);
	mkdir(path, 0755);
	CHECK(!mount("tmpfs", path, "tmpfs", 0, NULL), "mount: %s", strerror(errno));
	snprintf(config, sizeof config, "{ \"root\": { \"path\": \"%s/inside\" } }", path);
	request.config = config;
	request.config_len = strlen(config);
	CHECK(rootfs_validate(&request, &error) != 0, "there is no root yet");
	strcat(path, "/inside");
	CHECK(!mkdir(path, 0755), "mkdir");
	WORKS(rootfs_validate(&request, &error));
}

static void in_new_user_and_mount_namespace(void)
{
	struct rootfs_request request;
	char *text;

	small_request(&request);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		skip("no user namespaces: %s", strerror(errno));
	WORKS(rootfs_validate(&request, &error));
	WORKS(rootfs_plan(&request, &text, &error));
}

/* Descriptors 0 to 6 closed, or all taken: places are given without collisions. */
static void odd_descriptors(void)
{
	struct rootfs_request request;

	small_request(&request);
	for (int fd = 3; fd < 20; fd++)
		dup2(0, fd);
	WORKS(rootfs_validate(&request, &error));
	for (int fd = 4; fd < 20; fd++)
		close(fd);
	close(0);
	close(2);
	close(3);
	WORKS(rootfs_validate(&request, &error));
	close(1);
	CHECK(rootfs_validate(&request, &error) == 0, "with no stdio at all: %s", error.message);
}

static void big_document(void)
{
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	size_t size = 10 << 20;
	char *config = malloc(size + 1);

	memset(config, ' ', size);
	request.config = config;
	request.config_len = size;
	CHECK(rootfs_validate(&request, &error) == ROOTFS_ERR_INVALID && error.message[0], "10 MB of blanks: %s", error.message);
	memset(config, '[', size);
	CHECK(rootfs_validate(&request, &error) == ROOTFS_ERR_INVALID && error.message[0], "10 million brackets: %s", error.message);
	small_request(&request);
	memset(config, ' ', size);
	memcpy(config, request.config, request.config_len);
	request.config = config;
	request.config_len = size;
	CHECK(rootfs_validate(&request, &error) == 0 || error.code == ROOTFS_ERR_INVALID, "a small config and 10 MB of blanks: %s",
	      error.message);
	free(config);
}

static void hard_limits(void)
{
	struct rlimit none = { 0, 0 };
	struct rootfs_request request;

	need_root();
	small_request(&request);
	/* A limit on files must not hurt files in memory silently. */
	signal(SIGXFSZ, SIG_IGN);
	CHECK(!setrlimit(RLIMIT_FSIZE, &none), "setrlimit");
	CHECK(rootfs_validate(&request, &error) == ROOTFS_ERR_SYSTEM && error.errnum == EFBIG, "%d %d: %s", error.code, error.errnum,
	      error.message);
}

#define MANY 600
static void open_sources(void)
{
	static struct rootfs_source sources[MANY + 1];
	static char config[200000];
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	struct snapshot before, after;
	size_t count = MANY + 1;
	struct rlimit files = { 4096, 4096 };
	int n;

	need_root();
	small_request(&request);
	setrlimit(RLIMIT_NOFILE, &files);
	n = snprintf(config, sizeof config,
		     "{ \"root\": { \"path\": \"%s/root\" }, \"linux\": { \"namespaces\": [ { \"type\": \"user\" }, { \"type\": \"mount\" } ],"
		     "\"uidMappings\": [ { \"containerID\": 0, \"hostID\": 0, \"size\": 1 } ],"
		     "\"gidMappings\": [ { \"containerID\": 0, \"hostID\": 0, \"size\": 1 } ] }, \"mounts\": [", scratch);
	for (int i = 0; i < MANY; i++)
		n += snprintf(config + n, sizeof config - (size_t)n, "%s{ \"destination\": \"/m%d\", \"type\": \"bind\", \"source\": \"%s/data\","
			      "\"options\": [ \"bind\" ] }", i ? "," : "", i, scratch);
	snprintf(config + n, sizeof config - (size_t)n, "] }");
	request.config = config;
	request.config_len = strlen(config);
	request.options = NULL;
	snapshot_take(&before);
	WORKS(rootfs_open_sources(&request, -1, sources, &count, &error));
	CHECK(count == MANY, "%zu sources", count);
	for (size_t i = 0; i < count; i++) {
		struct stat st;

		CHECK(sources[i].mount == i && !fstat(sources[i].fd, &st) && S_ISDIR(st.st_mode), "source %zu: mount %u, fd %d", i,
		      sources[i].mount, sources[i].fd);
		CHECK(fcntl(sources[i].fd, F_GETFD) == FD_CLOEXEC, "source %zu is not O_CLOEXEC", i);
		close(sources[i].fd);
	}
	count = 3;
	REFUSED(rootfs_open_sources(&request, -1, sources, &count, &error), ROOTFS_ERR_INVALID, "room for 3");
	/* Not room for all: none is kept. */
	files.rlim_cur = 300;
	setrlimit(RLIMIT_NOFILE, &files);
	count = MANY + 1;
	CHECK(rootfs_open_sources(&request, -1, sources, &count, &error) != 0 && count == 0, "600 descriptors under a limit of 300");
	files.rlim_cur = 4096;
	setrlimit(RLIMIT_NOFILE, &files);
	snapshot_take(&after);
	memcpy(&before.limits, &after.limits, sizeof before.limits);
	snapshot_same(&before, &after, "");
}

#ifdef HELPER_SECONDS
/* With a library that waits for 2 seconds (30 in the product), and an engine that hangs on demand. */
static void hanging_helper(void)
{
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	struct snapshot before, after;
	double start = now_ms();

	request.config = "fault hang";
	request.config_len = strlen(request.config);
	snapshot_take(&before);
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_SYSTEM, "did not end within 2 seconds");
	CHECK(error.errnum == ETIMEDOUT && now_ms() - start < 10000, "errnum %d after %.0f ms", error.errnum, now_ms() - start);
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
}
#endif

/* A source that the parent opened reaches the container. */
static struct rootfs_source passed[4];
static struct rootfs_request passing;

static void use_source(void)
{
	own_mounts();
	WORKS(rootfs_prepare(&passing, &error));
	WORKS(rootfs_finalize(&error));
	CHECK(access("/data/from-parent", F_OK) == 0, "the source is not there");
	CHECK(fcntl(passed[0].fd, F_GETFD) == FD_CLOEXEC, "the source was closed");
}

static void source_from_parent(void)
{
	char path[4096];
	int fd;

	need_root();
	small_request(&passing);
	snprintf(path, sizeof path, "%s/data/from-parent", scratch);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	close(fd);
	snprintf(path, sizeof path, "%s/data", scratch);
	fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
	if (fd < 0)
		skip("no open_tree: %s", strerror(errno));
	passed[0].mount = 3;
	passed[0].fd = fd;
	passing.sources = passed;
	passing.sources_len = 1;
	as_child(use_source, 20);
}

/* The root too, in a mount namespace that has nothing but an empty directory for it: no path of the host's leads anywhere. */
static void use_root(void)
{
	char few[4096];

	own_mounts();
	WORKS(rootfs_start(&error));
	snprintf(few, sizeof few, "%s/few", scratch);
	CHECK((!mkdir(few, 0755) || errno == EEXIST) && !mount("few", few, "tmpfs", 0, NULL) && !chdir(few) && !syscall(SYS_pivot_root, ".", ".") &&
	      !umount2(".", MNT_DETACH), "a namespace with few mounts: %s", strerror(errno));
	CHECK(!mkdir("/none", 0755), "mkdir: %s", strerror(errno));
	WORKS(rootfs_prepare(&passing, &error));
	WORKS(rootfs_finalize(&error));
	CHECK(access("/from-parent", F_OK) == 0 && access("/proc/self", F_OK) == 0, "this is not the root");
	CHECK(access("/data/from-parent", F_OK) == 0, "the source is not there");
	CHECK(fcntl(passed[1].fd, F_GETFD) == FD_CLOEXEC, "the root was closed");
}

static void root_from_parent(void)
{
	static const char *const names[] = { "data", "root" };
	static char config[8192];
	char path[4096], *at, *end;

	need_root();
	small_request(&passing);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%s/from-parent", scratch, names[i]);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
		snprintf(path, sizeof path, "%s/%s", scratch, names[i]);
		passed[i].fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
		if (passed[i].fd < 0)
			skip("no open_tree: %s", strerror(errno));
	}
	passed[0].mount = 3;
	passed[1].mount = ROOTFS_SOURCE_ROOT;
	snprintf(config, sizeof config, "%.*s", (int)passing.config_len, passing.config);
	at = strstr(config, scratch);
	end = strchr(at, '"');
	memmove(at + strlen("/none"), end, strlen(end) + 1); /* the path of the root, where nothing is */
	memcpy(at, "/none", strlen("/none"));
	passing.config = config;
	passing.config_len = strlen(config);
	REFUSED(rootfs_validate(&passing, &error), ROOTFS_ERR_SYSTEM, "/root/path");
	passing.sources = passed;
	passing.sources_len = 2;
	WORKS(rootfs_validate(&passing, &error));
	as_child(use_root, 20);
}

const struct test_case remote_cases[] = {
	{ "helper: no SIGCHLD, no child, no descriptor, nothing changed", nothing_noticed },
	{ "helper: with SIGCHLD ignored", child_signal_ignored },
	{ "helper: beside a thread that reaps every child", greedy_reaper },
	{ "helper: sees the caller's mounts", same_view },
	{ "helper: in a new user and mount namespace", in_new_user_and_mount_namespace },
	{ "helper: with odd and no descriptors", odd_descriptors },
	{ "helper: 10 MB documents", big_document },
	{ "helper: RLIMIT_FSIZE", hard_limits },
	{ "helper: 600 sources opened and handed over", open_sources },
#ifdef HELPER_SECONDS
	{ "helper: one that hangs is ended", hanging_helper },
#endif
	{ "helper: a source by descriptor reaches the container", source_from_parent },
	{ "helper: a root by descriptor, where no path leads to it", root_from_parent },
	{ NULL, NULL },
};
