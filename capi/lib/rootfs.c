/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of rootfs.h: arguments in, the engine of this process or of the helper, results out. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The one place where something is exported. */
#pragma GCC visibility push(default)
#include "rootfs.h"
#pragma GCC visibility pop

#include "internal.h"

#define TEXT(x) #x
#define NUMBER(x) TEXT(x)

const char *rootfs_version(void)
{
	return NUMBER(ROOTFS_VERSION_MAJOR) "." NUMBER(ROOTFS_VERSION_MINOR) "." NUMBER(ROOTFS_VERSION_PATCH);
}

/* A thread that is cancelled inside the library would leave its lock held and the host's signals with Go. */
static int no_cancel(void)
{
	int was;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was);
	return was;
}

static int in_process(struct engine_call *call)
{
	int was = no_cancel(), code = process_run(call);

	pthread_setcancelstate(was, NULL);
	return code;
}

static int in_helper(struct engine_call *call)
{
	int was = no_cancel(), code = remote_run(call);

	pthread_setcancelstate(was, NULL);
	return code;
}

static void begin(struct engine_call *call, uint32_t op)
{
	memset(call, 0, sizeof *call);
	call->op = op;
	call->userns = call->master = -1;
	call->error.size = sizeof call->error;
}

static int finish(struct engine_call *call, int code, struct rootfs_error *err)
{
	if (code)
		error_give(err, &call->error);
	return code;
}

int rootfs_start(struct rootfs_error *err)
{
	struct rootfs_error error;
	int code, was;

	if (!error_size_ok(err))
		return ROOTFS_ERR_INVALID;
	was = no_cancel();
	code = process_start(&error);
	pthread_setcancelstate(was, NULL);
	if (code)
		error_give(err, &error);
	return code;
}

int rootfs_prepare(const struct rootfs_request *request, struct rootfs_error *err)
{
	struct engine_call call;
	int code;

	if (!error_size_ok(err))
		return ROOTFS_ERR_INVALID;
	begin(&call, ENGINE_PREPARE);
	code = request_take(&call, request);
	if (!code)
		code = in_process(&call);
	return finish(&call, code, err);
}

int rootfs_console(const struct rootfs_terminal *terminal, int *master, struct rootfs_error *err)
{
	struct engine_call call;
	int code;

	if (!error_size_ok(err))
		return ROOTFS_ERR_INVALID;
	begin(&call, ENGINE_CONSOLE);
	code = terminal_take(&call, terminal);
	if (!code && !master)
		code = fail(&call.error, ROOTFS_ERR_INVALID, 0, "rootfs_console", "master is NULL");
	if (!code)
		code = in_process(&call);
	if (master)
		*master = code ? -1 : call.master;
	return finish(&call, code, err);
}

int rootfs_finalize(struct rootfs_error *err)
{
	struct engine_call call;

	if (!error_size_ok(err))
		return ROOTFS_ERR_INVALID;
	begin(&call, ENGINE_FINALIZE);
	return finish(&call, in_process(&call), err);
}

/* The calls that give a string out. */
static int text_call(uint32_t op, int wants_request, const struct rootfs_request *request, char **text, struct rootfs_error *err)
{
	struct engine_call call;
	int code = 0;

	if (!error_size_ok(err))
		return ROOTFS_ERR_INVALID;
	begin(&call, op);
	if (wants_request)
		code = request_take(&call, request);
	if (!code && !text)
		code = fail(&call.error, ROOTFS_ERR_INVALID, 0, "result", "the pointer for the result is NULL");
	if (!code)
		code = op == ENGINE_VERIFY ? in_process(&call) : in_helper(&call);
	if (text)
		*text = code ? NULL : call.text;
	return finish(&call, code, err);
}

int rootfs_verify(const struct rootfs_request *request, char **report, struct rootfs_error *err)
{
	return text_call(ENGINE_VERIFY, request != NULL, request, report, err);
}

int rootfs_plan(const struct rootfs_request *request, char **json, struct rootfs_error *err)
{
	return text_call(ENGINE_PLAN, 1, request, json, err);
}

int rootfs_features(char **json, struct rootfs_error *err)
{
	return text_call(ENGINE_FEATURES, 0, NULL, json, err);
}

int rootfs_validate(const struct rootfs_request *request, struct rootfs_error *err)
{
	struct engine_call call;
	int code;

	if (!error_size_ok(err))
		return ROOTFS_ERR_INVALID;
	begin(&call, ENGINE_VALIDATE);
	code = request_take(&call, request);
	if (!code)
		code = in_helper(&call);
	return finish(&call, code, err);
}

int rootfs_open_sources(const struct rootfs_request *request, int userns, struct rootfs_source *sources, size_t *count,
			struct rootfs_error *err)
{
	struct engine_call call;
	int code;

	if (!error_size_ok(err))
		return ROOTFS_ERR_INVALID;
	begin(&call, ENGINE_OPEN_SOURCES);
	code = request_take(&call, request);
	if (!code && (!count || (*count && !sources)))
		code = fail(&call.error, ROOTFS_ERR_INVALID, 0, "rootfs_open_sources", "count or sources is NULL");
	if (!code) {
		call.userns = userns;
		call.sources = sources;
		call.sources_room = *count < 65536 ? *count : 65536; /* more mounts than a config may have */
		code = in_helper(&call);
	}
	if (count)
		*count = code ? 0 : call.sources_count;
	return finish(&call, code, err);
}

void rootfs_free(char *string)
{
	free(string);
}
