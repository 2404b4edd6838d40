/* SPDX-License-Identifier: Apache-2.0
 *
 * A call that only answers a question, answered by rootfs-helper: the host gets no Go runtime, so it may fork afterwards.
 * The helper runs in the caller's namespaces and working directory, with an empty environment. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "wire.h"

/* The descriptors of one call. */
struct channel {
	int request, reply, fds[2], diagnostics;
};

static int write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static int read_at(int fd, void *data, size_t size, off_t at)
{
	char *p = data;

	while (size) {
		ssize_t n = pread(fd, p, size, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int system_error(struct engine_call *call, const char *operation)
{
	return fail(&call->error, ROOTFS_ERR_SYSTEM, errno, operation, "%s, for rootfs-helper: %s", operation, strerror(errno));
}

static int open_channel(struct channel *c, struct engine_call *call)
{
	c->request = memfd_create("rootfs-request", MFD_CLOEXEC);
	c->reply = memfd_create("rootfs-reply", MFD_CLOEXEC);
	c->diagnostics = memfd_create("rootfs-diagnostics", MFD_CLOEXEC);
	c->fds[0] = c->fds[1] = -1;
	if (c->request < 0 || c->reply < 0 || c->diagnostics < 0)
		return system_error(call, "memfd_create");
	if (call->op == ENGINE_OPEN_SOURCES && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c->fds))
		return system_error(call, "socketpair");
	return 0;
}

static void close_channel(struct channel *c)
{
	const int all[] = { c->request, c->reply, c->diagnostics, c->fds[0], c->fds[1] };

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (all[i] >= 0)
			close(all[i]);
}

static int send_request(struct channel *c, struct engine_call *call)
{
	const struct rootfs_request *r = &call->request;
	struct wire_request w;

	memset(&w, 0, sizeof w);
	memcpy(w.build, ROOTFS_BUILD, sizeof w.build);
	w.op = call->op;
	w.has_request = call->has_request;
	w.has_options = r->options != NULL;
	w.has_userns = call->userns >= 0;
	for (size_t i = 0; i < r->sources_len; i++)
		w.has_root |= r->sources[i].mount == ROOTFS_SOURCE_ROOT;
	w.config_len = r->config_len;
	w.options_len = r->options_len;
	w.sources_room = call->sources_room;
	if (write_all(c->request, &w, sizeof w) || write_all(c->request, r->config, r->config_len) ||
	    write_all(c->request, r->options, r->options_len))
		return system_error(call, "write");
	return 0;
}

/* The helper ended without an answer: what it had to say is in its diagnostics. */
static int no_answer(struct channel *c, struct engine_call *call, int status)
{
	char said[2048];
	ssize_t n = pread(c->diagnostics, said, sizeof said - 1, 0);

	said[n > 0 ? n : 0] = 0;
	return fail(&call->error, ROOTFS_ERR_INTERNAL, 0, "helper", "rootfs-helper %s %d without an answer%s%s",
		    status > 128 ? "was ended by signal" : "exited with", status > 128 ? status - 128 : status, *said ? ": " : "", said);
}

static void close_sources(struct engine_call *call, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(call->sources[i].fd);
}

/* Takes count descriptors from the socket. They were all sent before the helper ended. */
static int take_sources(struct channel *c, struct engine_call *call, size_t count)
{
	union {
		char bytes[CMSG_SPACE(WIRE_BATCH * sizeof(int))];
		struct cmsghdr align;
	} control;
	size_t have = 0;

	while (have < count) {
		char byte;
		struct iovec data = { &byte, 1 };
		struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control };
		struct cmsghdr *head;
		size_t n;

		if (recvmsg(c->fds[0], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			break;
		head = CMSG_FIRSTHDR(&message);
		if (!head || head->cmsg_type != SCM_RIGHTS)
			break;
		n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
			if (have < count)
				call->sources[have++].fd = fd;
			else
				close(fd);
		}
		if (message.msg_flags & MSG_CTRUNC)
			break;
	}
	if (have == count)
		return 0;
	close_sources(call, have);
	return fail(&call->error, ROOTFS_ERR_SYSTEM, EMFILE, "recvmsg", "only %zu of %zu descriptors could be taken over: RLIMIT_NOFILE",
		    have, count);
}

static int take_reply(struct channel *c, struct engine_call *call, int status)
{
	struct wire_reply reply;
	off_t at = sizeof reply;
	size_t count;

	if (read_at(c->reply, &reply, sizeof reply, 0) || !reply.done)
		return no_answer(c, call, status);
	call->error = reply.error;
	if (reply.code)
		return reply.code;
	if (reply.text_len) {
		call->text = malloc(reply.text_len + 1);
		if (!call->text)
			return system_error(call, "malloc");
		if (read_at(c->reply, call->text, reply.text_len, at)) {
			free(call->text);
			call->text = NULL;
			return no_answer(c, call, status);
		}
		call->text[reply.text_len] = 0;
		at += (off_t)reply.text_len;
	}
	count = reply.sources_count;
	if (!count)
		return 0;
	if (count > call->sources_room || read_at(c->reply, call->sources, count * sizeof *call->sources, at))
		return no_answer(c, call, status);
	call->sources_count = count;
	return take_sources(c, call, count);
}

int remote_run(struct engine_call *call)
{
	char path[PATH_MAX];
	struct channel c;
	int status = 0, code;

	code = path_beside("rootfs-helper", path, sizeof path, &call->error);
	if (code)
		return code;
	code = open_channel(&c, call);
	if (!code)
		code = send_request(&c, call);
	if (!code) {
		const int fds[SPAWN_FDS] = { c.request, c.reply, c.fds[1], call->userns };

		code = spawn_helper(path, fds, c.diagnostics, &status, &call->error);
	}
	if (!code)
		code = take_reply(&c, call, status);
	close_channel(&c);
	return code;
}
