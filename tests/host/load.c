/* Loading the library and finding the engine: what is not there starts nothing, what is not ours runs nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

typedef int start_fn(struct rootfs_error *);
typedef int validate_fn(const struct rootfs_request *, struct rootfs_error *);

static void linking_starts_nothing(void)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	CHECK(count_tasks() == 1, "%d threads", count_tasks());
	while (fgets(line, sizeof line, maps))
		CHECK(!strstr(line, "librootfs-engine"), "the engine is mapped");
	fclose(maps);
}

/* A copy of the installed files below scratch, for a case that spoils them. */
static void copy_libraries(const char *name, char *path, size_t room)
{
	char command[8192], from[4096];

	snprintf(from, sizeof from, "%s", library);
	snprintf(path, room, "%s/%s/librootfs.so.0", scratch, name);
	snprintf(command, sizeof command, "rm -rf '%s/%s' && mkdir -p '%s/%s' && cp -r '%s/.' '%s/%s/'", scratch, name, scratch, name,
		 dirname(from), scratch, name);
	CHECK(system(command) == 0, "%s", command);
}

static void *open_library(const char *path, int how)
{
	void *handle = dlopen(path, RTLD_NOW | how);

	CHECK(handle, "%s", dlerror());
	return handle;
}

static start_fn *start_of(void *handle) { return (start_fn *)dlsym(handle, "rootfs_start"); }

static void opened_local(void)
{
	char path[4096];

	copy_libraries("local", path, sizeof path);
	WORKS(start_of(open_library(path, RTLD_LOCAL))(&error));
}

static void opened_global(void)
{
	char path[4096];

	copy_libraries("global", path, sizeof path);
	WORKS(start_of(open_library(path, RTLD_GLOBAL))(&error));
	CHECK(!dlsym(RTLD_DEFAULT, "crosscall2") && !dlsym(RTLD_DEFAULT, "rootfs_go_call"), "the engine's symbols are visible");
}

static void opened_and_closed(void)
{
	char path[4096];
	void *handle;

	copy_libraries("closed", path, sizeof path);
	for (int i = 0; i < 3; i++) {
		handle = open_library(path, RTLD_LOCAL);
		WORKS(start_of(handle)(&error));
		dlclose(handle);
	}
}

/* Two copies of the library are two Go runtimes, which would not do if they had threads, or kept handlers between calls. */
typedef int verify_fn(const struct rootfs_request *, char **, struct rootfs_error *);

static void loaded_twice(void)
{
	char path[2][4096], *report;
	struct rootfs_request request;
	struct snapshot before, after;
	verify_fn *verify[2];

	need_root();
	small_request(&request);
	for (int i = 0; i < 2; i++) {
		copy_libraries(i ? "second" : "first", path[i], sizeof path[i]);
		verify[i] = (verify_fn *)dlsym(open_library(path[i], RTLD_LOCAL), "rootfs_verify");
	}
	snapshot_take(&before);
	for (int i = 0; i < 10; i++) {
		WORKS(verify[i & 1](&request, &report, &error));
		free(report);
	}
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
}

static void other_go_library(void)
{
	struct rootfs_request request;
	const char *other = getenv("HOST_GO_LIBRARY");

	if (!other)
		skip("no other Go library was built");
	small_request(&request);
	open_library(other, RTLD_LOCAL);
	REFUSED(rootfs_start(&error), ROOTFS_ERR_ENGINE, "imports the package");
	WORKS(rootfs_validate(&request, &error)); /* the helper is another process */
}

static void spoil(const char *path, const char *name, const char *from, off_t size)
{
	char target[4200], command[9000], own[4096];

	snprintf(own, sizeof own, "%s", path);
	snprintf(target, sizeof target, "%s/librootfs/%s", dirname(own), name);
	CHECK(!unlink(target), "unlink %s: %s", target, strerror(errno));
	if (from) {
		snprintf(command, sizeof command, "cp '%s' '%s'", from, target);
		CHECK(system(command) == 0, "%s", command);
		if (size >= 0)
			CHECK(!truncate(target, size), "truncate");
	}
}

static void engine_missing(void)
{
	struct rootfs_request request;
	char path[4096];
	void *handle;

	small_request(&request);
	copy_libraries("missing", path, sizeof path);
	spoil(path, "librootfs-engine.so", NULL, -1);
	handle = open_library(path, RTLD_LOCAL);
	REFUSED(start_of(handle)(&error), ROOTFS_ERR_ENGINE, "missing/librootfs/librootfs-engine.so");
	CHECK(error.errnum == ENOENT && strstr(error.message, scratch), "%s", error.message);
	REFUSED(((validate_fn *)dlsym(handle, "rootfs_validate"))(&request, &error), ROOTFS_ERR_ENGINE, "librootfs-engine.so");
}

static void helper_missing(void)
{
	struct rootfs_request request;
	char path[4096];
	void *handle;

	small_request(&request);
	copy_libraries("helper", path, sizeof path);
	spoil(path, "rootfs-helper", NULL, -1);
	handle = open_library(path, RTLD_LOCAL);
	REFUSED(((validate_fn *)dlsym(handle, "rootfs_validate"))(&request, &error), ROOTFS_ERR_ENGINE, "helper/librootfs/rootfs-helper");
}

/* A file with a constructor that leaves a mark when it is loaded. */
static const char *trap(void)
{
	const char *path = getenv("HOST_TRAP");

	if (!path)
		skip("no trap library was built");
	setenv("HOST_TRAP_MARK", "/tmp/rootfs-host-trap", 1);
	unlink("/tmp/rootfs-host-trap");
	return path;
}

static void no_trap_sprung(void)
{
	CHECK(access("/tmp/rootfs-host-trap", F_OK), "code of a foreign library was run");
}

static void engine_foreign(void)
{
	char path[4096];

	copy_libraries("foreign", path, sizeof path);
	spoil(path, "librootfs-engine.so", trap(), -1);
	REFUSED(start_of(open_library(path, RTLD_LOCAL))(&error), ROOTFS_ERR_ENGINE, "is no engine");
	no_trap_sprung();
}

static void engine_damaged(void)
{
	char path[4096], engine[4200];
	static const off_t sizes[] = { 0, 10, 64, 500 };

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		copy_libraries("damaged", path, sizeof path);
		snprintf(engine, sizeof engine, "%.*s/librootfs/librootfs-engine.so", (int)(strrchr(library, '/') - library), library);
		spoil(path, "librootfs-engine.so", engine, sizes[i]);
		REFUSED(start_of(open_library(path, RTLD_LOCAL))(&error), ROOTFS_ERR_ENGINE, "is no engine");
	}
}

/* Change one digit of the build note. */
static void other_build(const char *path, const char *name)
{
	char file[4200], own[4096];
	static char bytes[8 << 20];
	ssize_t n;
	char *at;
	int fd;

	snprintf(own, sizeof own, "%s", path);
	snprintf(file, sizeof file, "%s/librootfs/%s", dirname(own), name);
	fd = open(file, O_RDWR);
	n = read(fd, bytes, sizeof bytes);
	at = n > 0 ? memmem(bytes, (size_t)n, "librootfs-engine\0\0\0\0", 20) : NULL;
	CHECK(at, "no note in %s", file);
	at[25] = at[25] == '0' ? '1' : '0';
	CHECK(pwrite(fd, at + 25, 1, at + 25 - bytes) == 1, "pwrite");
	close(fd);
}

static void engine_of_other_build(void)
{
	char path[4096];

	copy_libraries("build", path, sizeof path);
	other_build(path, "librootfs-engine.so");
	REFUSED(start_of(open_library(path, RTLD_LOCAL))(&error), ROOTFS_ERR_ENGINE, "another build");
}

static void moved(void)
{
	char path[4096], from[4096], to[4096];

	copy_libraries("before-move", path, sizeof path);
	snprintf(from, sizeof from, "%s/before-move", scratch);
	snprintf(to, sizeof to, "%s/after-move", scratch);
	CHECK(!rename(from, to), "rename");
	snprintf(path, sizeof path, "%s/after-move/librootfs.so.0", scratch);
	WORKS(start_of(open_library(path, RTLD_LOCAL))(&error));
}

/* Packagers strip. */
static void stripped(void)
{
	struct rootfs_request request;
	char path[4096], command[9000];
	void *handle;

	small_request(&request);
	copy_libraries("stripped", path, sizeof path);
	snprintf(command, sizeof command, "strip '%s/stripped/librootfs.so.0' '%s/stripped/librootfs/librootfs-engine.so' "
		 "'%s/stripped/librootfs/rootfs-helper'", scratch, scratch, scratch);
	CHECK(system(command) == 0, "%s", command);
	handle = open_library(path, RTLD_LOCAL);
	WORKS(((validate_fn *)dlsym(handle, "rootfs_validate"))(&request, &error));
	WORKS(start_of(handle)(&error));
}

static void by_symlink(void)
{
	char path[4096], link[4096];

	copy_libraries("linked", path, sizeof path);
	snprintf(link, sizeof link, "%s/elsewhere.so", scratch);
	unlink(link);
	CHECK(!symlink(path, link), "symlink");
	WORKS(start_of(open_library(link, RTLD_LOCAL))(&error));
}

/* An engine lies in wait wherever a careless look-up would go: working directory, LD_LIBRARY_PATH, relative to argv[0]. */
static void hostile_directory(void)
{
	struct rootfs_request request;
	char path[4096], hostile[4200], command[9000];
	const char *foreign = trap();

	small_request(&request);
	copy_libraries("honest", path, sizeof path);
	snprintf(hostile, sizeof hostile, "%s/hostile", scratch);
	snprintf(command, sizeof command, "mkdir -p '%s/librootfs' && cp '%s' '%s/librootfs/librootfs-engine.so' && "
		 "cp '%s' '%s/librootfs-engine.so' && cp /bin/true '%s/librootfs/rootfs-helper'", hostile, foreign, hostile, foreign, hostile,
		 hostile);
	CHECK(system(command) == 0, "%s", command);
	/* Opened by a relative path, then the working directory changes. */
	snprintf(command, sizeof command, "%s/honest", scratch);
	CHECK(!chdir(command), "chdir");
	{
		void *handle = open_library("./librootfs.so.0", RTLD_LOCAL);
		validate_fn *validate = (validate_fn *)dlsym(handle, "rootfs_validate");

		setenv("LD_LIBRARY_PATH", hostile, 1);
		setenv("PATH", hostile, 1);
		CHECK(!chdir(hostile), "chdir");
		WORKS(validate(&request, &error));
		WORKS(start_of(handle)(&error));
	}
	no_trap_sprung();
}

const struct test_case load_cases[] = {
	{ "load: linking starts nothing", linking_starts_nothing },
	{ "load: opened RTLD_LOCAL", opened_local },
	{ "load: opened RTLD_GLOBAL", opened_global },
	{ "load: opened, closed, opened", opened_and_closed },
	{ "load: two copies in one process", loaded_twice },
	{ "load: another Go library in the process", other_go_library },
	{ "load: the engine is missing", engine_missing },
	{ "load: the helper is missing", helper_missing },
	{ "load: a foreign engine, whose constructor must not run", engine_foreign },
	{ "load: a damaged engine", engine_damaged },
	{ "load: an engine of another build", engine_of_other_build },
	{ "load: moved as a whole", moved },
	{ "load: stripped", stripped },
	{ "load: opened by a symbolic link", by_symlink },
	{ "load: a hostile working directory and environment", hostile_directory },
	{ NULL, NULL },
};
