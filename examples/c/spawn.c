/* SPDX-License-Identifier: Apache-2.0
 *
 * Making the init child: one clone, straight into its new namespaces. Where a user or pid namespace is joined, a helper
 * enters it first: a process cannot move itself into a pid namespace, only its children; and the runtime itself is to stay
 * where it is, with the rights that it has.
 */
#include "minictr.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t spawn_child(uint64_t flags)
{
	/* Not clone3, which common seccomp filters refuse: minictr may run in a container itself. */
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

pid_t spawn_through(int (*enter)(void *, struct rootfs_error *), void *arg, uint64_t flags, struct rootfs_error *err)
{
	int pair[2];
	uint32_t pid = 0;
	if (sync_pair(pair, err) < 0)
		return -1;
	pid_t helper = spawn_child(0);
	if (helper < 0)
		return fail_errno(err, "clone", "helper");
	if (helper == 0) {
		struct rootfs_error own = ROOTFS_ERROR_INIT;
		close(pair[0]);
		/* It stands in the container's namespaces with the runtime's descriptors: nobody there is to trace it, nor
		 * to reach them through /proc (CVE-2016-9962). The child inherits this. */
		prctl(PR_SET_DUMPABLE, 0);
		if (enter(arg, &own) == 0) {
			pid_t child = spawn_child(flags | CLONE_PARENT); /* the runtime's child, not ours */
			if (child == 0) {
				close(pair[1]);
				return 0;
			}
			if (child > 0 && sync_send(pair[1], MSG_PID, (uint32_t)child, &own) == 0)
				_exit(0);
			if (child < 0)
				fail_errno(&own, "clone", "init child");
		}
		sync_send_error(pair[1], &own);
		_exit(1);
	}
	close(pair[1]);
	int result = sync_expect(pair[0], MSG_PID, &pid, err);
	close(pair[0]);
	while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
		;
	return result < 0 ? -1 : (pid_t)pid;
}
