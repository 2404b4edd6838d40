/*
 * older|oldest PROGRAM [ARGUMENT...]: the program on a kernel that answers ENOSYS to the calls which the fall-back does without:
 * those of the mount API of 5.2 and what is newer; as "oldest" statx(2) too, which tells a mount's number since 5.8.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	/* From 424 on the numbers are those of every machine: open_tree to fspick, openat2, mount_setattr, fchmodat2, statmount, listmount,
	 * open_tree_attr. */
	static const unsigned newer[] = { SYS_statx, 428, 429, 430, 431, 432, 433, 437, 442, 452, 457, 458, 467 };
	const unsigned first = argc > 1 && !strcmp(argv[1], "oldest") ? 0 : 1;
	struct sock_filter filter[sizeof newer / sizeof *newer * 2 + 2];
	struct sock_fprog program = { 0, filter };

	if (argc < 3) {
		fprintf(stderr, "usage: %s older|oldest PROGRAM [ARGUMENT...]\n", argv[0]);
		return 2;
	}
	filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = first; i < sizeof newer / sizeof *newer; i++) {
		filter[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, newer[i], 0, 1);
		filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	}
	filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("seccomp");
		return 1;
	}
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 1;
}
