/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process becomes between the end of set-up and execve: limits, user and groups, capabilities, labels, seccomp.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/ioprio.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void signals_reset(void)
{
	sigset_t none;
	/* What is ignored stays ignored over execve. Engines ignore SIGPIPE or SIGCHLD for themselves, and posix_spawn, by which
	 * make starts its commands, leaves 32 and 33 ignored, which signal() does not let anyone touch: hence the raw call. */
	static const unsigned long default_action[4]; /* the kernel's sigaction: handler, flags, restorer, mask */
	for (int i = 1; i <= 64; i++)
		if (i != SIGKILL && i != SIGSTOP)
			syscall(SYS_rt_sigaction, i, default_action, NULL, sizeof(default_action[0]));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int identity_rlimits(pid_t pid, const struct process *p, struct rootfs_error *err)
{
	for (size_t i = 0; i < p->rlimits_len; i++)
		if (prlimit(pid, p->rlimits[i].resource, &p->rlimits[i].limit, NULL) < 0) {
			int errnum = errno;
			char pointer[64];
			snprintf(pointer, sizeof(pointer), "/process/rlimits/%zu", i);
			fail_at(err, pointer, "prlimit: %s", strerror(errnum));
			err->code = ROOTFS_ERR_SYSTEM;
			err->errnum = errnum;
			return -1;
		}
	return 0;
}

int labels_open(const struct process *p, int proc, struct rootfs_error *err)
{
	bool apparmor = p->apparmor != NULL && *p->apparmor != '\0' && strcmp(p->apparmor, "unconfined") != 0;
	bool selinux = p->selinux != NULL && *p->selinux != '\0';
	if (!apparmor && !selinux)
		return -1;
	/* thread-self: the kernel takes a label only from the thread that it is for. */
	int fd = -1;
	if (apparmor && access("/sys/kernel/security/apparmor", F_OK) == 0) {
		fd = openat(proc, "thread-self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			fd = openat(proc, "thread-self/attr/exec", O_WRONLY | O_CLOEXEC);
	} else if (selinux && access("/sys/fs/selinux/enforce", F_OK) == 0) {
		fd = openat(proc, "thread-self/attr/exec", O_WRONLY | O_CLOEXEC);
	}
	if (fd >= 0)
		return fd;
	fail_at(err, apparmor ? "/process/apparmorProfile" : "/process/selinuxLabel", "%s is not there on this host",
		apparmor ? "AppArmor" : "SELinux");
	err->code = ROOTFS_ERR_UNSUPPORTED;
	return -2;
}

static int write_label(const struct process *p, int label, struct rootfs_error *err)
{
	bool apparmor = p->apparmor != NULL && *p->apparmor != '\0';
	char *text = apparmor ? format_text("exec %s", p->apparmor) : format_text("%s", p->selinux);
	ssize_t n = write(label, text, strlen(text));
	int result = n == (ssize_t)strlen(text) ? 0 : fail_errno(err, "write", "label \"%s\"", text);
	free(text);
	return result;
}

static int become_user(const struct process *p, struct rootfs_error *err)
{
	/* Capabilities survive the change of user, to be cut down to what was asked right after. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return fail_errno(err, "prctl", "keep capabilities");
	if (setgroups(p->groups_len, p->groups) < 0 && (errno != EPERM || p->groups_len > 0))
		return fail_errno(err, "setgroups",
				  "/process/user/additionalGids (an ordinary user may set none without newgidmap)");
	if (setresgid(p->gid, p->gid, p->gid) < 0)
		return fail_errno(err, "setresgid", "/process/user/gid %u", p->gid);
	if (setresuid(p->uid, p->uid, p->uid) < 0)
		return fail_errno(err, "setresuid", "/process/user/uid %u", p->uid);
	return 0;
}

int identity_apply(const struct process *p, const struct bpf *bpf, int label, struct rootfs_error *err)
{
	if (p->io_class != 0 &&
	    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(p->io_class, p->io_priority)) < 0)
		return fail_errno(err, "ioprio_set", "/process/ioPriority");
	if (label >= 0 && write_label(p, label, err) < 0)
		return -1;
	/* Without no_new_privs the kernel wants CAP_SYS_ADMIN for a filter, so it goes before the capabilities; with it,
	 * last, so that a profile need not allow the calls made here. */
	if (!p->no_new_privs && seccomp_install(bpf, err) < 0)
		return -1;
	if (capabilities_bound(p->caps, err) < 0 || become_user(p, err) < 0 || capabilities_set(p->caps, err) < 0)
		return -1;
	if (p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(err, "prctl", "no_new_privs");
	if (p->no_new_privs && seccomp_install(bpf, err) < 0)
		return -1;
	return 0;
}

void stdio_own(const struct process *p)
{
	/* Pipes and sockets that an engine made as root: /dev/stdout is to open for the container's user too. Files and
	 * devices belong to somebody, and stay as they are. */
	struct stat st;
	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) && st.st_uid != p->uid &&
		    fchown(fd, p->uid, p->gid) < 0 && errno != EPERM && errno != EROFS && errno != EINVAL)
			log_warn("descriptor %d: cannot be given to user %u: %s", fd, p->uid, strerror(errno));
}

/* HOME, where the config gives none: what /etc/passwd of the container says. The specification is silent, but images count
 * on it since the first runtimes did it, and containerd leaves it to the runtime. */
void environment_complete(struct process *p)
{
	size_t n = 0;
	for (; p->env[n] != NULL; n++)
		if (strncmp(p->env[n], "HOME=", 5) == 0)
			return;
	char *home = NULL;
	struct stat st;
	/* The image's file: perhaps a fifo, to be left alone, and perhaps nonsense. */
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	FILE *file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
	for (struct passwd *user; file != NULL && home == NULL && (user = fgetpwent(file)) != NULL;)
		if (user->pw_uid == p->uid && user->pw_dir[0] == '/')
			home = format_text("HOME=%s", user->pw_dir);
	if (file != NULL)
		fclose(file);
	else if (fd >= 0)
		close(fd);
	char **env = allocate(n + 2, sizeof(*env));
	memcpy(env, p->env, n * sizeof(*env));
	env[n] = home != NULL ? home : strdup("HOME=/");
	p->env = env;
}

static int runnable(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EACCES;
		return -1;
	}
	/* Root may execute what has any x bit; execve has the last word for the others. */
	if (!(st.st_mode & 0111)) {
		errno = EACCES;
		return -1;
	}
	return 0;
}

char *executable_find(const struct process *p, struct rootfs_error *err)
{
	const char *name = p->args[0], *path = NULL;
	int errnum = ENOENT;
	if (strchr(name, '/') != NULL) {
		if (runnable(name) == 0)
			return strdup(name);
		fail_errno(err, "execve", "%s", name);
		return NULL;
	}
	for (char **e = p->env; *e != NULL; e++)
		if (strncmp(*e, "PATH=", 5) == 0)
			path = *e + 5; /* the container's, never the runtime's; the last one, as a shell would have it */
	if (path == NULL)
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	while (*path != '\0') {
		size_t len = strcspn(path, ":");
		char *candidate = format_text("%.*s%s%s", (int)len, path, len ? "/" : "./", name);
		if (runnable(candidate) == 0)
			return candidate;
		if (errno == EACCES)
			errnum = EACCES;
		free(candidate);
		path += len + (path[len] == ':');
	}
	/* The words by which engines know that they are to answer with status 127. */
	fail(err, ROOTFS_ERR_INVALID, errnum, "execve", "exec: \"%s\": executable file not found in $PATH", name);
	return NULL;
}

void executable_run(const char *path, const struct process *p, struct rootfs_error *err)
{
	execve(path, p->args, p->env);
	fail_errno(err, "execve", "%s", path);
}
