/* SPDX-License-Identifier: Apache-2.0
 *
 * What parent and child say to each other: a pair of SOCK_SEQPACKET sockets, so that a message is whole or not there.
 *
 *	child                                       parent
 *	(helper only) PID                  ->
 *	                                   <-       PLACED       ids mapped, cgroup joined   } where one of
 *	                                   <-       SOURCES ...  descriptors of mounts       } them is needed
 *	MOUNTS_READY                       ->                    prestart, createRuntime hooks; only if there are any
 *	                                   <-       CONTINUE
 *	TERMINAL                           ->                    run with a terminal
 *	LIMITS                             ->                    only when the child cannot, or there is a pids limit
 *	                                   <-       CONTINUE
 *	CREATED                            ->                    create only; it then waits for `start`
 *	(closed by execve)                                       the program runs
 *
 * At any time the child may send ERROR with its struct rootfs_error and exit. After CREATED the connection made by
 * `start` takes the place of the pair: the child says CONTINUE to the one that it takes; then the same two endings, an
 * error, or closed by execve.
 */
#include "minictr.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX 128 /* below the kernel's SCM_MAX_FD of 253 */

struct header {
	uint32_t type, value;
};

int sync_pair(int pair[2], struct rootfs_error *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno(err, "socketpair", "cannot talk to the child");
	return 0;
}

static int send_packet(int sock, struct header header, const void *data, size_t len, const int *fds, size_t fds_len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = {0};
	struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)data, len}};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = len > 0 ? 2 : 1};
	if (fds_len > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fds_len * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_len * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fds_len * sizeof(int));
	}
	ssize_t n;
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

int sync_send_fds(int sock, enum message type, const void *data, size_t len, const int *fds, size_t fds_len,
		  struct rootfs_error *err)
{
	if (fds_len > FDS_MAX)
		return fail(err, ROOTFS_ERR_INTERNAL, 0, "sendmsg", "%zu descriptors in one message", fds_len);
	if (send_packet(sock, (struct header){type, 0}, data, len, fds, fds_len) < 0)
		return fail_errno(err, "sendmsg", "message %d", type);
	return 0;
}

int sync_send(int sock, enum message type, uint32_t value, struct rootfs_error *err)
{
	if (send_packet(sock, (struct header){type, value}, NULL, 0, NULL, 0) < 0)
		return fail_errno(err, "sendmsg", "message %d", type);
	return 0;
}

void sync_send_error(int sock, const struct rootfs_error *error)
{
	/* Nothing is to be done when it fails: the peer is gone, and closing tells it the rest. */
	(void)send_packet(sock, (struct header){MSG_ERROR, 0}, error, sizeof(*error), NULL, 0);
}

int sync_receive(int sock, enum message *type, uint32_t *value, void *data, size_t *len, int *fds, size_t *fds_len,
		 struct rootfs_error *err)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct header header = {0};
	struct rootfs_error theirs;
	/* The longest thing that ever comes is an error, so it is what the buffer is made for. */
	struct iovec parts[2] = {{&header, sizeof(header)}, {&theirs, sizeof(theirs)}};
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
	if (fds != NULL) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control);
	}
	ssize_t n;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != ECONNRESET)
		return fail_errno(err, "recvmsg", "cannot hear the other process");
	if (n <= 0)
		return 0;
	if ((size_t)n < sizeof(header))
		return fail(err, ROOTFS_ERR_INTERNAL, 0, "recvmsg", "a message of %zd bytes", n);
	if (header.type == MSG_ERROR) {
		if ((size_t)n != sizeof(header) + sizeof(theirs))
			return fail(err, ROOTFS_ERR_INTERNAL, 0, "recvmsg", "an error of %zd bytes", n);
		theirs.message[sizeof(theirs.message) - 1] = '\0';
		*err = theirs;
		return -1;
	}

	size_t room = fds != NULL ? *fds_len : 0, taken = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL && fds != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count && taken < room; i++)
			memcpy(&fds[taken++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	if (fds_len != NULL)
		*fds_len = taken;
	size_t payload = (size_t)n - sizeof(header);
	if (len != NULL) {
		*len = payload < *len ? payload : *len;
		memcpy(data, &theirs, *len);
	}
	*type = header.type;
	if (value != NULL)
		*value = header.value;
	return 1;
}

int sync_expect(int sock, enum message type, uint32_t *value, struct rootfs_error *err)
{
	enum message got;
	int n = sync_receive(sock, &got, value, NULL, NULL, NULL, NULL, err);
	if (n == 0)
		return fail(err, ROOTFS_ERR_STATE, 0, "recvmsg", "the other process has gone");
	if (n > 0 && got != type)
		return fail(err, ROOTFS_ERR_INTERNAL, 0, "recvmsg", "message %d where %d was due", got, type);
	return n < 0 ? -1 : 0;
}

/* A socket's path has 107 characters at most; a path below --root or an engine's console socket can be longer. Through
 * the directory's descriptor only the last part counts. */
static int unix_address(int dir, const char *path, struct sockaddr_un *address, struct rootfs_error *err)
{
	int n;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (dir >= 0)
		n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", dir, path);
	else
		n = snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
	if (n >= (int)sizeof(address->sun_path))
		return fail(err, ROOTFS_ERR_INVALID, 0, "connect", "%s: too long for a socket", path);
	return 0;
}

int unix_connect(int dir, const char *path, struct rootfs_error *err)
{
	struct sockaddr_un address;
	/* Engines' console sockets are streams; our own is told apart by the directory that it is below. */
	int sock = socket(AF_UNIX, (dir >= 0 ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return fail_errno(err, "socket", "%s", path);
	if (unix_address(dir, path, &address, err) < 0 ||
	    (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0 &&
	     fail_errno(err, "connect", "%s", path) < 0)) {
		close(sock);
		return -1;
	}
	return sock;
}

int unix_listen(int dir, const char *name, struct rootfs_error *err)
{
	struct sockaddr_un address;
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return fail_errno(err, "socket", "%s", name);
	if (unix_address(dir, name, &address, err) < 0 ||
	    ((bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(sock, 1) < 0) &&
	     fail_errno(err, "bind", "%s", name) < 0)) {
		close(sock);
		return -1;
	}
	return sock;
}
