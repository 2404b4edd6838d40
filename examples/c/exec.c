/* SPDX-License-Identifier: Apache-2.0
 *
 * `exec`: one more process in a running container. It enters the namespaces of the container's first process, by a
 * descriptor of that process, so that all of them are of one container whatever happens to it meanwhile.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct exec {
	struct container c;
	struct process process;
	struct bpf seccomp;
	const char *pid_file, *console_socket, *process_file, *cwd, *user;
	int preserve_fds, console, pidfd, proc, sync;
	bool detach, terminal, no_new_privs;
	char **env;
	size_t env_len;
};

/* The flags of those namespaces of the process that are not ours already; setns refuses to enter the own user namespace. */
static int foreign_namespaces(pid_t pid)
{
	int flags = 0;
	for (int i = 0; i < NS_KINDS; i++) {
		struct stat own, theirs;
		char *path = format_text("/proc/self/ns/%s", ns_types[i].proc);
		char *other = format_text("/proc/%d/ns/%s", (int)pid, ns_types[i].proc);
		if (stat(path, &own) == 0 && stat(other, &theirs) == 0 && own.st_ino != theirs.st_ino)
			flags |= (int)ns_types[i].flag;
		free(path);
		free(other);
	}
	return flags;
}

static int enter(void *arg, struct rootfs_error *err)
{
	struct exec *e = arg;
	int flags = foreign_namespaces(e->c.pid);
	if (flags != 0 && setns(e->pidfd, flags) < 0)
		return fail_errno(err, "setns", "namespaces of container %s", e->c.id);
	return flags & CLONE_NEWUSER ? namespaces_become_root(err) : 0;
}

/* CVE-2024-21626: a working directory that leads out of the container, say through /proc/self/fd. The kernel knows. */
static int go_to(const char *cwd, struct rootfs_error *err)
{
	char where[4096];
	if (chdir(cwd) < 0)
		return fail_errno(err, "chdir", "/process/cwd %s", cwd);
	long n = syscall(SYS_getcwd, where, sizeof(where));
	if (n < 0 || where[0] != '/')
		return fail(err, ROOTFS_ERR_UNSAFE, 0, "chdir", "/process/cwd %s is outside of the container", cwd);
	return 0;
}

static int become(struct exec *e, struct rootfs_error *err)
{
	struct process *p = &e->process;
	int master, label;
	/* The parent has put us into the container's cgroup by then, so that nothing escapes its limits. */
	if (sync_expect(e->sync, MSG_PLACED, NULL, err) < 0)
		return -1;
	label = labels_open(p, e->proc, err);
	if (label == -2)
		return -1;
	close(e->proc); /* before anything of the container's is looked up */
	close(e->pidfd);
	close(e->c.dir);
	if (setsid() < 0)
		return fail_errno(err, "setsid", "session");
	if (p->terminal) {
		if (terminal_open(p, &master, err) < 0 ||
		    (e->console >= 0 ? terminal_send(e->console, master, err) :
				       sync_send_fds(e->sync, MSG_TERMINAL, NULL, 0, &master, 1, err)) < 0 ||
		    terminal_take(master, p, err) < 0)
			return -1;
		close(master);
	}
	umask((mode_t)p->umask);
	environment_complete(p);
	stdio_own(p);
	bool late = go_to(p->cwd, err) < 0;
	if (late && err->errnum != EACCES)
		return -1;
	char *path = late ? NULL : executable_find(p, err);
	if (!late && path == NULL)
		return -1;
	if (identity_rlimits(0, p, err) < 0 &&
	    (err->errnum != EPERM || sync_send(e->sync, MSG_LIMITS, 0, err) < 0 ||
	     sync_expect(e->sync, MSG_CONTINUE, NULL, err) < 0))
		return -1;
	if (identity_apply(p, &e->seccomp, label, err) < 0)
		return -1;
	/* A directory that only the user may enter, on a file system that does not take root's word for it. */
	if (late && (go_to(p->cwd, err) < 0 || (path = executable_find(p, err)) == NULL))
		return -1;
	executable_run(path, p, err);
	return -1;
}

static int attend(struct exec *e, int sock, pid_t pid, int *master, struct rootfs_error *err)
{
	enum message type;
	int n;
	if (cgroup_join(&e->c, pid, err) < 0 || sync_send(sock, MSG_PLACED, 0, err) < 0)
		return -1;
	for (;;) {
		size_t fds_len = 1;
		n = sync_receive(sock, &type, NULL, NULL, NULL, master, &fds_len, err);
		if (n <= 0)
			return n;
		if (type == MSG_LIMITS && (identity_rlimits(pid, &e->process, err) < 0 ||
					   sync_send(sock, MSG_CONTINUE, 0, err) < 0))
			return -1;
	}
}

static int run(struct exec *e, struct rootfs_error *err)
{
	int pair[2], master = -1, status = 0;
	e->pidfd = (int)syscall(SYS_pidfd_open, e->c.pid, 0);
	e->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* In this order: the descriptor is of the process that was there when the status was taken. */
	if (e->pidfd < 0 || container_status(&e->c) == STATUS_STOPPED)
		return fail(err, ROOTFS_ERR_STATE, 0, "exec", "container not running: \"%s\" is stopped", e->c.id);
	if (container_status(&e->c) == STATUS_PAUSED)
		return fail(err, ROOTFS_ERR_STATE, 0, "exec", "container \"%s\" is paused", e->c.id);
	if (e->console_socket != NULL && (e->console = unix_connect(-1, e->console_socket, err)) < 0)
		return -1;
	if (sync_pair(pair, err) < 0)
		return -1;
	if (!e->detach)
		signals_block(NULL);
	e->sync = pair[1];
	pid_t pid = spawn_through(enter, e, 0, err);
	if (pid < 0)
		return -1;
	if (pid == 0) {
		struct rootfs_error own = ROOTFS_ERROR_INIT;
		close(pair[0]);
		signals_reset();
		become(e, &own);
		sync_send_error(e->sync, &own);
		_exit(1);
	}
	close(pair[1]);
	int result = attend(e, pair[0], pid, &master, err);
	if (result == 0 && e->pid_file != NULL)
		result = write_pid_file(e->pid_file, pid, err);
	if (result < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return -1;
	}
	if (!e->detach)
		status = wait_for(pid, master);
	return status;
}

/* What is to run: a document of its own (engines), or the container's process with other arguments (people). */
static int load_process(struct exec *e, char **args, struct rootfs_error *err)
{
	if (e->process_file != NULL) {
		size_t len;
		char *text = read_file(AT_FDCWD, e->process_file, &len, err);
		/* The strings of the process point into the document, which so stays until the end. */
		static struct node root;
		root.value = text != NULL ? json_parse(e->process_file, text, len, NULL, err) : NULL;
		if (root.value == NULL)
			return -1;
		return process_parse(&root, &e->process, err);
	}
	if (!e->c.config.has_process)
		return fail_at(err, "/process", "is missing: use --process");
	e->process = e->c.config.process;
	e->process.args = args;
	e->process.terminal = e->terminal;
	e->process.no_new_privs |= e->no_new_privs;
	if (e->cwd != NULL)
		e->process.cwd = e->cwd;
	if (e->cwd != NULL && *e->cwd != '/')
		return fail(err, ROOTFS_ERR_INVALID, 0, "exec", "--cwd %s is not absolute", e->cwd);
	if (e->user != NULL) {
		unsigned uid = 0, gid = 0;
		int n = sscanf(e->user, "%u:%u", &uid, &gid);
		if (n < 1)
			return fail(err, ROOTFS_ERR_INVALID, 0, "exec", "--user %s: UID[:GID], in numbers", e->user);
		e->process.uid = uid;
		e->process.gid = n > 1 ? gid : e->process.gid;
	}
	size_t n = 0;
	while (e->process.env[n] != NULL)
		n++;
	char **env = allocate(n + e->env_len + 1, sizeof(*env));
	memcpy(env, e->process.env, n * sizeof(*env));
	for (size_t i = 0; i < e->env_len; i++)
		env[n + i] = e->env[i];
	e->process.env = env;
	return 0;
}

static int parse(int argc, char **argv, struct exec *e)
{
	enum { PID_FILE = 256, CONSOLE_SOCKET, PRESERVE_FDS, NO_NEW_PRIVS, CWD };
	static const struct option options[] = {
		{"process", required_argument, NULL, 'p'},
		{"detach", no_argument, NULL, 'd'},
		{"tty", no_argument, NULL, 't'},
		{"user", required_argument, NULL, 'u'},
		{"env", required_argument, NULL, 'e'},
		{"cwd", required_argument, NULL, CWD},
		{"pid-file", required_argument, NULL, PID_FILE},
		{"console-socket", required_argument, NULL, CONSOLE_SOCKET},
		{"preserve-fds", required_argument, NULL, PRESERVE_FDS},
		{"no-new-privs", no_argument, NULL, NO_NEW_PRIVS},
		{0},
	};
	e->env = allocate((size_t)argc, sizeof(*e->env));
	for (int c; (c = getopt_long(argc, argv, "+p:dtu:e:", options, NULL)) != -1;) {
		switch (c) {
		case 'p': e->process_file = optarg; break;
		case 'd': e->detach = true; break;
		case 't': e->terminal = true; break;
		case 'u': e->user = optarg; break;
		case 'e': e->env[e->env_len++] = optarg; break;
		case CWD: e->cwd = optarg; break;
		case PID_FILE: e->pid_file = optarg; break;
		case CONSOLE_SOCKET: e->console_socket = optarg; break;
		case PRESERVE_FDS: e->preserve_fds = atoi(optarg); break;
		case NO_NEW_PRIVS: e->no_new_privs = true; break;
		default: return -1;
		}
	}
	return optind;
}

int command_exec(const struct options *o, int argc, char **argv)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct exec e = {.c = {.options = o}, .console = -1};
	int first = parse(argc, argv, &e);
	if (first < 0 || argc == first || (e.process_file == NULL && argc == first + 1)) {
		fprintf(stderr, "usage: minictr exec [--process FILE] [--tty] [--detach] [--user UID[:GID]] [--env N=V] "
				"[--cwd DIR] ID [COMMAND ARGUMENT...]\n");
		return 255;
	}
	e.c.id = argv[first];
	keep_descriptors(e.preserve_fds);
	int status = container_open(&e.c, &err);
	if (status == 0 && (status = container_load_config(&e.c, &err)) == 0 &&
	    (status = load_process(&e, argv + first + 1, &err)) == 0 &&
	    (status = seccomp_compile(&e.c.config, &e.seccomp, &err)) == 0)
		status = run(&e, &err);
	if (status >= 0)
		return status;
	log_error(&err);
	return 255; /* as runc: not what the program would answer with */
}
