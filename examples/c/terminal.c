/* SPDX-License-Identifier: Apache-2.0
 *
 * Terminals. The init child's comes from rootfs_console; this is what is left: the one of an `exec`, making a terminal the
 * controlling one, and handing its master to the engine.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

int terminal_open(const struct process *p, int *master, struct rootfs_error *err)
{
	struct stat st;
	struct statfs fs;
	int unlock = 0;
	/* The container wrote this path: it is a terminal only if it is the multiplexer of a devpts. O_NONBLOCK, so that
	 * whatever else is there cannot hold us. */
	int fd = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_errno(err, "open", "/dev/pts/ptmx of the container");
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2) ||
	    (unsigned long)fs.f_type != DEVPTS_SUPER_MAGIC) {
		close(fd);
		return fail(err, ROOTFS_ERR_UNSAFE, 0, "open", "/dev/pts/ptmx of the container is no terminal multiplexer");
	}
	fcntl(fd, F_SETFL, O_RDWR);
	if (ioctl(fd, TIOCSPTLCK, &unlock) < 0) {
		close(fd);
		return fail_errno(err, "ioctl", "unlock the terminal");
	}
	if (p->rows > 0 || p->columns > 0) {
		struct winsize size = {p->rows, p->columns, 0, 0};
		ioctl(fd, TIOCSWINSZ, &size);
	}
	*master = fd;
	return 0;
}

int terminal_take(int master, const struct process *p, struct rootfs_error *err)
{
	/* By the master, not by a name in the container's /dev/pts, which could by now be anything. */
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return fail_errno(err, "ioctl", "open the terminal");
	/* rootfs_console has done it for init; in a user namespace without the id it cannot be done, nor need be. */
	if (fchown(slave, p->uid, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM && errno != EROFS) {
		close(slave);
		return fail_errno(err, "fchown", "terminal to user %u", p->uid);
	}
	if (ioctl(slave, TIOCSCTTY, 0) < 0) {
		close(slave);
		return fail_errno(err, "ioctl", "make the terminal the controlling one");
	}
	for (int fd = 0; fd < 3; fd++)
		if (dup2(slave, fd) < 0)
			return fail_errno(err, "dup2", "terminal onto descriptor %d", fd);
	close(slave);
	return 0;
}

int terminal_send(int console_socket, int master, struct rootfs_error *err)
{
	/* What every engine expects since runc: one message with the descriptor, its text the terminal's name. */
	static const char name[] = "/dev/ptmx";
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec text = {(void *)name, sizeof(name) - 1};
	struct msghdr msg = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &master, sizeof(int));
	if (sendmsg(console_socket, &msg, MSG_NOSIGNAL) < 0)
		return fail_errno(err, "sendmsg", "--console-socket");
	return 0;
}
