/* Defects of the engine, put in by a build of it for tests (build tag rootfs_fault): each must be an error, and the host
 * lives on. HOST_FAULT names that build's librootfs.so.0. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

typedef int prepare_fn(const struct rootfs_request *, struct rootfs_error *);
typedef int start_fn(struct rootfs_error *);

static void *call(const char *name)
{
	const char *path = getenv("HOST_FAULT");
	void *handle;
	void *fn;

	if (!path)
		skip("no engine with faults was built");
	handle = dlopen(path, RTLD_NOW);
	CHECK(handle, "%s", dlerror());
	fn = dlsym(handle, name);
	CHECK(fn, "%s", name);
	return fn;
}

static void fault(struct rootfs_request *request, const char *kind)
{
	*request = (struct rootfs_request)ROOTFS_REQUEST_INIT;
	request->config = kind;
	request->config_len = strlen(kind);
}

/* Each kind in this process; afterwards a true call works and nothing of the host's is lost. */
static void becomes_error(const char *kind, const char *text)
{
	struct snapshot before, after;
	struct rootfs_request request;
	prepare_fn *prepare = (prepare_fn *)call("rootfs_prepare");

	need_root();
	own_mounts();
	fault(&request, kind);
	CHECK(prepare(&request, &error), "no error");
	snapshot_take(&before);
	for (int i = 0; i < 3; i++) {
		memset(error.message, 0, sizeof error.message);
		REFUSED(prepare(&request, &error), ROOTFS_ERR_INTERNAL, text);
		CHECK(!strcmp(error.operation, "panic") && strstr(error.message, "goroutine") && strstr(error.message, "fault"),
		      "no stack in: %s", error.message);
	}
	snapshot_take(&after);
	snapshot_same(&before, &after, "");
	small_request(&request);
	WORKS(prepare(&request, &error));
}

static void nil_pointer(void) { becomes_error("fault nil", "nil pointer dereference"); }
static void bad_address(void) { becomes_error("fault address", "invalid memory address"); }
static void explicit_panic(void) { becomes_error("fault panic", "on purpose"); }
static void division(void) { becomes_error("fault division", "divide by zero"); }

/* The collector, which a huge document needs, runs in a context of its own, and goroutines, of which the library has none, might
 * take more: all of them on this thread. */
static void collector(void)
{
	prepare_fn *prepare = (prepare_fn *)call("rootfs_prepare");
	struct rootfs_request request;

	fault(&request, "fault garbage");
	for (int i = 0; i < 5; i++)
		REFUSED(prepare(&request, &error), ROOTFS_ERR_INTERNAL, "garbage collected");
	fault(&request, "fault collect");
	for (int i = 0; i < 20; i++)
		REFUSED(prepare(&request, &error), ROOTFS_ERR_INTERNAL, "collected");
	CHECK(count_tasks() == 1, "%d threads", count_tasks());
}

/* And in a child, of what its parent has left there. */
static void collector_in_child(void)
{
	start_fn *start = (start_fn *)call("rootfs_start");

	WORKS(start(&error));
	for (int i = 0; i < 5; i++)
		as_child(collector, 30);
}

/* The helper's defect reaches the parent. */
static void in_helper(void)
{
	prepare_fn *validate = (prepare_fn *)call("rootfs_validate");
	struct rootfs_request request;

	fault(&request, "fault nil");
	REFUSED(validate(&request, &error), ROOTFS_ERR_INTERNAL, "nil pointer dereference");
	fault(&request, "fault exit");
	REFUSED(validate(&request, &error), ROOTFS_ERR_INTERNAL, "without an answer");
	CHECK(strstr(error.message, "last words"), "%s", error.message);
	fault(&request, "fault kill");
	REFUSED(validate(&request, &error), ROOTFS_ERR_INTERNAL, "signal 9");
}

const struct test_case fault_cases[] = {
	{ "fault: a nil pointer in the engine", nil_pointer },
	{ "fault: a bad address in the engine", bad_address },
	{ "fault: a panic in the engine", explicit_panic },
	{ "fault: a division by zero in the engine", division },
	{ "fault: the collector works, and goroutines do", collector },
	{ "fault: the same in children of the process that started the engine", collector_in_child },
	{ "fault: in the helper", in_helper },
	{ NULL, NULL },
};
