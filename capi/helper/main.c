/* SPDX-License-Identifier: Apache-2.0
 *
 * rootfs-helper: answers one question of librootfs.so in a process of its own, and ends. Started by remote.c only, with the
 * descriptors of wire.h; it says so when a person starts it. */
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "wire.h"

static _Noreturn void die(const char *why)
{
	fprintf(stderr, "rootfs-helper: %s\nIt is a part of librootfs.so, which starts it; it is of no use by itself.\n", why);
	exit(1);
}

/* The engine lies in this program's own directory, whose absolute path librootfs.so executed. */
static void engine_path(char *path, size_t room)
{
	const char *own = (const char *)getauxval(AT_EXECFN);
	const char *slash = own && *own == '/' ? strrchr(own, '/') : NULL;

	if (!slash || (size_t)snprintf(path, room, "%.*s/librootfs-engine.so", (int)(slash - own), own) >= room)
		die("started by a relative path");
}

static void write_at(const void *data, size_t size, off_t at)
{
	const char *p = data;

	while (size) {
		ssize_t n = pwrite(WIRE_REPLY, p, size, at);

		if (n <= 0)
			die("cannot write the reply");
		p += n;
		at += n;
		size -= (size_t)n;
	}
}

static void send_sources(const struct rootfs_source *sources, size_t count)
{
	union {
		char bytes[CMSG_SPACE(WIRE_BATCH * sizeof(int))];
		struct cmsghdr align;
	} control;

	for (size_t at = 0; at < count;) {
		size_t n = count - at < WIRE_BATCH ? count - at : WIRE_BATCH;
		struct iovec data = { "s", 1 };
		struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes,
					  .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
		struct cmsghdr *head;

		memset(&control, 0, sizeof control);
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			memcpy(CMSG_DATA(head) + i * sizeof(int), &sources[at + i].fd, sizeof(int));
		if (sendmsg(WIRE_FDS, &message, MSG_NOSIGNAL) < 0)
			die("cannot send the descriptors");
		at += n;
	}
}

static const struct wire_request *map_request(void)
{
	const struct wire_request *w;
	struct stat st;

	if (fstat(WIRE_REQUEST, &st) || (size_t)st.st_size < sizeof *w)
		die("there is no request");
	w = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, WIRE_REQUEST, 0);
	if (w == MAP_FAILED || w->config_len > (size_t)st.st_size || w->options_len > (size_t)st.st_size ||
	    sizeof *w + w->config_len + w->options_len != (size_t)st.st_size)
		die("there is no whole request");
	return w;
}

static void take_request(struct engine_call *call, const struct wire_request *w)
{
	static const struct rootfs_source root = { ROOTFS_SOURCE_ROOT, -1 };
	const char *documents = (const char *)(w + 1);

	call->op = w->op;
	call->userns = w->has_userns ? WIRE_USERNS : -1;
	call->has_request = w->has_request;
	call->request.size = sizeof call->request;
	call->request.config = documents;
	call->request.config_len = w->config_len;
	call->request.options = w->has_options ? documents + w->config_len : NULL;
	call->request.options_len = w->options_len;
	call->request.sources = w->has_root ? &root : NULL;
	call->request.sources_len = w->has_root != 0;
	call->sources_room = w->sources_room;
	if (call->sources_room && !(call->sources = calloc(call->sources_room, sizeof *call->sources)))
		die("out of memory");
}

int main(void)
{
	const struct wire_request *w = map_request();
	const struct engine_entry *entry = NULL;
	struct engine_call call;
	struct wire_reply reply;
	char path[PATH_MAX];

	memset(&call, 0, sizeof call);
	memset(&reply, 0, sizeof reply);
	call.error.size = sizeof call.error;
	if (memcmp(w->build, ROOTFS_BUILD, sizeof w->build)) {
		reply.code = fail(&call.error, ROOTFS_ERR_ENGINE, 0, "helper", "rootfs-helper is of another build (%.12s...) than librootfs.so "
				  "(%.12s...)", ROOTFS_BUILD, w->build);
	} else {
		take_request(&call, w);
		engine_path(path, sizeof path);
		reply.code = engine_open(path, &entry, &call.error);
		if (!reply.code)
			reply.code = entry->run(&call);
	}
	reply.done = 1;
	reply.error = call.error;
	if (!reply.code) {
		reply.text_len = call.text ? strlen(call.text) : 0;
		reply.sources_count = call.sources_count;
		write_at(call.text, reply.text_len, sizeof reply);
		write_at(call.sources, call.sources_count * sizeof *call.sources, (off_t)(sizeof reply + reply.text_len));
		send_sources(call.sources, call.sources_count);
	}
	write_at(&reply, sizeof reply, 0);
	/* Not exit: nothing is buffered. */
	_exit(0);
}
