/* SPDX-License-Identifier: Apache-2.0
 *
 * `create` and `run`: the parent's side. It checks, makes the container's directory and cgroup, clones the init child into
 * its namespaces, answers what the child asks for (sync.c), and undoes everything when something fails.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct request {
	const char *bundle, *pid_file, *console_socket;
	int preserve_fds;
	bool no_pivot, no_new_keyring, detach, create;
};

static int join_user_and_pid(void *arg, struct rootfs_error *err)
{
	return namespaces_join(arg, ns_types[NS_USER].flag | ns_types[NS_PID].flag, err);
}

static pid_t clone_init(struct birth *b, struct rootfs_error *err)
{
	struct config *config = &b->container->config;
	uint64_t flags = namespaces_new_flags(config);
	if (b->late_cgroup_ns)
		flags &= ~ns_types[NS_CGROUP].flag;
	if (config->ns[NS_USER].path != NULL || config->ns[NS_PID].path != NULL)
		return spawn_through(join_user_and_pid, config, flags, err);
	pid_t pid = spawn_child(flags);
	if (pid < 0)
		fail_errno(err, "clone", "init child in new namespaces");
	return pid;
}

/* Opens for the child the sources of mounts that it cannot reach from its user namespace, or not with its rights. */
static int hand_over_sources(const struct birth *b, int sock, struct rootfs_error *err)
{
	const struct container *c = b->container;
	const struct config *config = &c->config;
	bool userns = config_new_ns(config, NS_USER);
	size_t count = 0;
	struct rootfs_source *sources = NULL;
	/* An ordinary user has no more rights than his child. */
	if (!b->rootless && (config->has_id_mapped_mount || (userns && config->has_binds))) {
		struct json_object *options = json_object_new_object();
		json_object_object_add(options, "bundle", json_object_new_string(c->bundle));
		struct rootfs_request request = ROOTFS_REQUEST_INIT;
		request.config = config->text;
		request.config_len = config->len;
		request.options = json_object_to_json_string(options);
		request.options_len = strlen(request.options);
		char *path = format_text("/proc/%d/ns/user", (int)c->pid);
		int ns = userns ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		count = json_object_array_length(json_object_object_get(config->json.value, "mounts"));
		sources = allocate(count, sizeof(*sources));
		int result = userns && ns < 0 ? fail_errno(err, "open", "%s", path) :
						rootfs_open_sources(&request, ns, sources, &count, err);
		free(path);
		json_object_put(options);
		if (ns >= 0)
			close(ns);
		if (result != 0)
			return -1;
	}
	int result = sync_send(sock, MSG_PLACED, (uint32_t)count, err);
	for (size_t done = 0; result == 0 && done < count;) {
		uint32_t indices[64];
		int fds[64];
		size_t n = 0;
		for (; n < 64 && done < count; n++, done++) {
			indices[n] = sources[done].mount;
			fds[n] = sources[done].fd;
		}
		result = sync_send_fds(sock, MSG_SOURCES, indices, n * sizeof(*indices), fds, n, err);
	}
	for (size_t i = 0; i < count; i++)
		close(sources[i].fd);
	free(sources);
	return result;
}

static int place(struct birth *b, int sock, struct rootfs_error *err)
{
	struct container *c = b->container;
	if (c->config.process.has_oom_score) {
		char *path = format_text("/proc/%d/oom_score_adj", (int)c->pid);
		char *text = format_text("%d", c->config.process.oom_score_adj);
		int result = write_text(AT_FDCWD, path, text, err);
		free(path);
		free(text);
		/* An ordinary user may only raise it. He gets what engines set for him by default without being asked. */
		if (result < 0 && !(b->rootless && (err->errnum == EACCES || err->errnum == EPERM)))
			return fail_at(err, "/process/oomScoreAdj", "%s", err->message);
		if (result < 0)
			log_warn("/process/oomScoreAdj: not applied: %s", err->message);
		*err = (struct rootfs_error)ROOTFS_ERROR_INIT;
	}
	if (config_new_ns(&c->config, NS_USER) && namespaces_map_ids(c->pid, &c->config, err) < 0)
		return -1;
	if (cgroup_join(c, c->pid, err) < 0)
		return -1;
	return hand_over_sources(b, sock, err);
}

/* Serves the child until all is set up (create) or its program runs (run). */
static int attend(struct birth *b, int sock, int *master, struct rootfs_error *err)
{
	struct container *c = b->container;
	for (;;) {
		enum message type;
		size_t fds_len = 1;
		int n = sync_receive(sock, &type, NULL, NULL, NULL, master, &fds_len, err);
		if (n < 0)
			return -1;
		if (n == 0) /* closed by execve; where it failed, an error came first; or somebody has killed it */
			return b->start < 0 && !process_never_ran(c->pid) ?
				       0 :
				       fail(err, ROOTFS_ERR_STATE, 0, "create", "the init child was killed");
		switch (type) {
		case MSG_MOUNTS_READY:
			if (hooks_run(c, "prestart", STATUS_CREATING, err) < 0 ||
			    hooks_run(c, "createRuntime", STATUS_CREATING, err) < 0)
				return -1;
			break;
		case MSG_LIMITS:
			if (identity_rlimits(c->pid, &c->config.process, err) < 0)
				return -1;
			break;
		case MSG_TERMINAL:
			continue;
		case MSG_CREATED:
			return 0;
		default:
			return fail(err, ROOTFS_ERR_INTERNAL, 0, "recvmsg", "message %d", type);
		}
		if (sync_send(sock, MSG_CONTINUE, 0, err) < 0)
			return -1;
	}
}

static int check(const struct request *r, struct container *c, struct rootfs_error *err)
{
	const struct config *config = &c->config;
	bool terminal = config->has_process && config->process.terminal;
	if (!r->create && !config->has_process)
		return fail_at(err, "/process", "is missing: there is nothing to run");
	if (terminal && r->console_socket == NULL && r->detach)
		return fail_at(err, "/process/terminal", "needs --console-socket, unless it runs in the foreground");
	if (!terminal && r->console_socket != NULL)
		return fail_at(err, "/process/terminal", "--console-socket was given, but no terminal is asked for");
	return 0;
}

static int give_birth(const struct request *r, struct birth *b, int *master, struct rootfs_error *err)
{
	struct container *c = b->container;
	int pair[2];
	if (r->create && (b->start = unix_listen(c->dir, "start", err)) < 0)
		return -1;
	if (r->console_socket != NULL && (b->console_socket = unix_connect(-1, r->console_socket, err)) < 0)
		return -1;
	if (cgroup_create(c, err) < 0 || cgroup_limit(c, err) < 0 || sync_pair(pair, err) < 0)
		return -1;
	b->late_cgroup_ns = c->cgroup != NULL && config_new_ns(&c->config, NS_CGROUP);
	b->rootless = geteuid() != 0 || !in_initial_user_namespace();
	b->place = c->cgroup != NULL || config_new_ns(&c->config, NS_USER) || c->config.has_id_mapped_mount ||
		   c->config.process.has_oom_score;
	b->sync = pair[1];

	c->pid = clone_init(b, err);
	if (c->pid == 0) {
		close(pair[0]);
		init_main(b);
	}
	close(pair[1]);
	int result = c->pid < 0 ? -1 : container_save(c, err);
	if (result == 0 && b->place)
		result = place(b, pair[0], err);
	/* When the child failed first, its own error says more than that we could not write to it. */
	if (result == 0 || err->errnum == EPIPE)
		result = attend(b, pair[0], master, err);
	close(pair[0]);
	return result;
}

static void undo(struct container *c, bool was_created)
{
	struct rootfs_error ignored = ROOTFS_ERROR_INIT;
	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (c->cgroup != NULL)
		(void)cgroup_kill(c, SIGKILL, &ignored);
	cgroup_remove(c);
	container_remove(c);
	if (was_created) /* runtime.md: after a failing hook the life cycle goes on with delete, and so with poststop */
		(void)hooks_run(c, "poststop", STATUS_STOPPED, &ignored);
}

static int bring_up(const struct options *o, const char *id, const struct request *r)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct container c = {.options = o, .id = id, .dir = -1};
	struct birth b = {.container = &c, .start = -1, .console_socket = -1, .sync = -1, .no_pivot = r->no_pivot,
			  .new_keyring = !r->no_new_keyring, .preserve_fds = r->preserve_fds};
	int master = -1, status = 0;

	keep_descriptors(r->preserve_fds);
	c.bundle = *r->bundle == '/' ? strdup(r->bundle) : realpath(r->bundle, NULL);
	char *path = format_text("%s/config.json", c.bundle ? c.bundle : r->bundle);
	bool ok = c.bundle != NULL || fail_errno(&err, "realpath", "--bundle %s", r->bundle) == 0;
	ok = ok && config_load(&c.config, AT_FDCWD, path, &err) == 0 && check(r, &c, &err) == 0 &&
	     seccomp_compile(&c.config, &b.seccomp, &err) == 0;
	free(path);
	if (!ok || container_make(&c, &err) < 0) {
		log_error(&err);
		return 1;
	}
	if (!r->detach)
		signals_block(NULL); /* from here on they are for the container */
	if (give_birth(r, &b, &master, &err) < 0 ||
	    (r->pid_file != NULL && write_pid_file(r->pid_file, c.pid, &err) < 0)) {
		log_error(&err);
		undo(&c, c.pid > 0);
		return 1;
	}
	if (!r->create)
		(void)hooks_run(&c, "poststart", STATUS_RUNNING, &err);
	if (!r->detach) {
		status = wait_for(c.pid, master);
		c.pid = 0;
		undo(&c, true);
	}
	return status;
}

static int parse(int argc, char **argv, struct request *r)
{
	enum { PID_FILE = 256, CONSOLE_SOCKET, PRESERVE_FDS, NO_PIVOT, NO_NEW_KEYRING, NO_SUBREAPER };
	static const struct option options[] = {
		{"bundle", required_argument, NULL, 'b'},
		{"detach", no_argument, NULL, 'd'},
		{"pid-file", required_argument, NULL, PID_FILE},
		{"console-socket", required_argument, NULL, CONSOLE_SOCKET},
		{"preserve-fds", required_argument, NULL, PRESERVE_FDS},
		{"no-pivot", no_argument, NULL, NO_PIVOT},
		{"no-new-keyring", no_argument, NULL, NO_NEW_KEYRING},
		{"no-subreaper", no_argument, NULL, NO_SUBREAPER}, /* minictr never is one */
		{0},
	};
	r->bundle = ".";
	for (int c; (c = getopt_long(argc, argv, "+b:d", options, NULL)) != -1;) {
		switch (c) {
		case 'b': r->bundle = optarg; break;
		case 'd': r->detach = true; break;
		case PID_FILE: r->pid_file = optarg; break;
		case CONSOLE_SOCKET: r->console_socket = optarg; break;
		case PRESERVE_FDS: r->preserve_fds = atoi(optarg); break;
		case NO_PIVOT: r->no_pivot = true; break;
		case NO_NEW_KEYRING: r->no_new_keyring = true; break;
		case NO_SUBREAPER: break;
		default: return -1;
		}
	}
	return optind;
}

int command_create(const struct options *o, int argc, char **argv)
{
	struct request r = {.create = true};
	int first = parse(argc, argv, &r);
	r.detach = true;
	if (first < 0 || argc - first != 1) {
		fprintf(stderr, "usage: minictr create [--bundle DIR] [--pid-file FILE] [--console-socket SOCKET] ID\n");
		return 1;
	}
	return bring_up(o, argv[first], &r);
}

int command_run(const struct options *o, int argc, char **argv)
{
	struct request r = {0};
	int first = parse(argc, argv, &r);
	if (first < 0 || argc - first > 1) {
		fprintf(stderr, "usage: minictr run [--bundle DIR] [--detach] [--pid-file FILE] [ID]\n");
		return 1;
	}
	/* Without an id, one that no other run has at the same time. */
	char *id = argc > first ? strdup(argv[first]) : format_text("run-%d", (int)getpid());
	return bring_up(o, id, &r);
}
