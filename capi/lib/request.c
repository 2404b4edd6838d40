/* SPDX-License-Identifier: Apache-2.0
 *
 * Structs that grow: a caller that was built with an older header gives a shorter one, whose missing members are zero; one
 * that was built with a newer header gives a longer one, which is taken if what this library does not know is zero, and
 * refused otherwise, since ignoring it would leave out what was asked for. */
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>

#include "internal.h"

#define ABSURD 65536

static int take(void *to, size_t known, size_t least, const void *from, size_t size, const char *name, struct rootfs_error *error)
{
	const char *bytes = from;

	if (size < least || size > ABSURD)
		return fail(error, ROOTFS_ERR_INVALID, 0, name, "%s.size is %zu: set it with its _INIT macro", name, size);
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return fail(error, ROOTFS_ERR_INVALID, 0, name, "%s has a member at byte %zu that librootfs %s does not know",
				    name, i, rootfs_version());
	memset(to, 0, known);
	memcpy(to, from, size < known ? size : known);
	return 0;
}

int request_take(struct engine_call *call, const struct rootfs_request *request)
{
	struct rootfs_request *r = &call->request;
	int code;

	if (!request)
		return fail(&call->error, ROOTFS_ERR_INVALID, 0, "rootfs_request", "the request is NULL");
	code = take(r, sizeof *r, offsetof(struct rootfs_request, options), request, request->size, "rootfs_request", &call->error);
	if (code)
		return code;
	if (!r->config && r->config_len)
		return fail(&call->error, ROOTFS_ERR_INVALID, 0, "rootfs_request", "config is NULL and config_len is not 0");
	if (!r->options && r->options_len)
		return fail(&call->error, ROOTFS_ERR_INVALID, 0, "rootfs_request", "options is NULL and options_len is not 0");
	if (!r->sources && r->sources_len)
		return fail(&call->error, ROOTFS_ERR_INVALID, 0, "rootfs_request", "sources is NULL and sources_len is not 0");
	/* Lengths that no document has: a caller that passed -1, which would be read as far as memory goes. */
	if (r->config_len > PTRDIFF_MAX || r->options_len > PTRDIFF_MAX || r->sources_len > PTRDIFF_MAX / sizeof *r->sources)
		return fail(&call->error, ROOTFS_ERR_INVALID, 0, "rootfs_request", "a length is larger than memory");
	call->has_request = 1;
	return 0;
}

int terminal_take(struct engine_call *call, const struct rootfs_terminal *terminal)
{
	if (!terminal)
		return 0;
	return take(&call->terminal, sizeof call->terminal, offsetof(struct rootfs_terminal, uid), terminal, terminal->size,
		    "rootfs_terminal", &call->error);
}
