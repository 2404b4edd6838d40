/* What a container's first program finds of its process: printed for tests/host/exec.c. Static, and itself does nothing
 * before it looks. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void show_status(void)
{
	static const char *const wanted[] = { "Umask:", "Uid:", "Gid:", "Groups:", "Threads:", "SigPnd:", "ShdPnd:", "SigBlk:",
		"SigIgn:", "SigCgt:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:", "Cpus_allowed:" };
	FILE *f = fopen("/proc/self/status", "re");
	char line[512];

	while (f && fgets(line, sizeof line, f))
		for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
			if (!strncmp(line, wanted[i], strlen(wanted[i])))
				fputs(line, stdout);
}

int main(int argc, char **argv, char **envp)
{
	char cwd[512];
	int flags[512];
	stack_t stack;

	for (int fd = 0; fd < 512; fd++)
		flags[fd] = fcntl(fd, F_GETFL);
	for (int fd = 0; fd < 512; fd++) {
		struct stat st;

		if (flags[fd] >= 0 && !fstat(fd, &st))
			printf("descriptor %d: type %o flags %o\n", fd, st.st_mode & S_IFMT, (unsigned)(flags[fd] & ~O_NOFOLLOW)); /* how it was looked up is no matter */
	}
	for (int i = 0; i < 16; i++) {
		struct rlimit limit;

		getrlimit(i, &limit);
		printf("limit %d: %llu %llu\n", i, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
	}
	for (int i = 0; i < argc; i++)
		printf("argument %s\n", argv[i]);
	for (char **e = envp; *e; e++)
		printf("environment %s\n", *e);
	sigaltstack(NULL, &stack);
	printf("stack %d, cwd %s, nice %d, personality %x, dumpable %d, keepcaps %d, securebits %d, slack %d, session %d, group %d\n",
	       stack.ss_flags, getcwd(cwd, sizeof cwd), getpriority(PRIO_PROCESS, 0), (unsigned)personality(0xffffffff),
	       prctl(PR_GET_DUMPABLE), prctl(PR_GET_KEEPCAPS), prctl(PR_GET_SECUREBITS), prctl(PR_GET_TIMERSLACK), getsid(0) != 0, getpgrp() != 0);
	show_status();
	return 0;
}
