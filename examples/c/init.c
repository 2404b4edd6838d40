/* SPDX-License-Identifier: Apache-2.0
 *
 * The init child, from clone to execve. It was made straight into the new namespaces; here it joins the others, has
 * librootfs set up its root, waits for `start`, and becomes the container's program.
 *
 *	rootfs_start     where the parent has to map ids or to join cgroups: the engine comes up meanwhile
 *	rootfs_prepare   mounts, /dev, pivot_root; half way it calls back, for the hooks that the parent runs
 *	rootfs_console   where a terminal is wanted
 *	rootfs_finalize  what is read-only, masked, or a sysctl
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sources {
	struct rootfs_source *list;
	size_t len;
};

static int enter_namespaces(struct birth *b, struct rootfs_error *err)
{
	const struct config *config = &b->container->config;
	/* User and pid were entered by the helper of spawn_through, where they are joined. */
	uint64_t rest = ~(ns_types[NS_USER].flag | ns_types[NS_PID].flag);
	if (b->late_cgroup_ns)
		rest &= ~ns_types[NS_CGROUP].flag;
	if (namespaces_join(config, rest, err) < 0)
		return -1;
	return namespaces_time_offsets(config, err);
}

static int receive_sources(struct birth *b, uint32_t count, struct sources *out, struct rootfs_error *err)
{
	out->list = allocate(count, sizeof(*out->list));
	while (out->len < count) {
		uint32_t indices[128];
		int fds[128];
		size_t size = sizeof(indices), fds_len = 128;
		enum message type;
		if (sync_receive(b->sync, &type, NULL, indices, &size, fds, &fds_len, err) <= 0)
			return err->code ? -1 : fail(err, ROOTFS_ERR_STATE, 0, "recvmsg", "the parent has gone");
		if (type != MSG_SOURCES || fds_len == 0 || fds_len != size / sizeof(*indices) ||
		    out->len + fds_len > count)
			return fail(err, ROOTFS_ERR_INTERNAL, 0, "recvmsg", "mount sources do not match");
		for (size_t i = 0; i < fds_len; i++)
			out->list[out->len++] = (struct rootfs_source){indices[i], fds[i]};
	}
	return 0;
}

/* What needs the parent to have done its part: ids mapped, cgroup joined, mount sources opened. */
static int be_placed(struct birth *b, struct sources *sources, struct rootfs_error *err)
{
	const struct config *config = &b->container->config;
	uint32_t count = 0;
	if (b->place && sync_expect(b->sync, MSG_PLACED, &count, err) < 0)
		return -1;
	if (config_new_ns(config, NS_USER)) {
		if (namespaces_become_root(err) < 0)
			return -1;
		/* The change of user made us undumpable, and our files in /proc the host's root's. Alone in new user and pid
		 * namespaces there is nobody to fear. */
		if (config_new_ns(config, NS_PID))
			prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	}
	if (count > 0 && receive_sources(b, count, sources, err) < 0)
		return -1;
	if (b->late_cgroup_ns && unshare(CLONE_NEWCGROUP) < 0)
		return fail_errno(err, "unshare", "cgroup namespace");
	return 0;
}

static int set_up_session(struct birth *b, struct rootfs_error *err)
{
	const struct config *config = &b->container->config;
	if (setsid() < 0)
		return fail_errno(err, "setsid", "session");
	/* A session keyring of its own, or it would share the caller's keys. Kernels without keys have none to share. */
	if (b->new_keyring && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		log_warn("session keyring: %s: the caller's is shared", strerror(errno));
	if (config->hostname != NULL && sethostname(config->hostname, strlen(config->hostname)) < 0)
		return fail_errno(err, "sethostname", "/hostname \"%s\"", config->hostname);
	if (config->domainname != NULL && setdomainname(config->domainname, strlen(config->domainname)) < 0)
		return fail_errno(err, "setdomainname", "/domainname \"%s\"", config->domainname);
	return config_new_ns(config, NS_NETWORK) ? network_loopback_up(err) : 0;
}

static char *host_options(struct birth *b)
{
	const struct container *c = b->container;
	struct json_object *options = json_object_new_object(), *state = json_object_new_object();
	char *cgroup = cgroup_v2_path(c);
	json_object_object_add(options, "bundle", json_object_new_string(c->bundle));
	json_object_object_add(state, "id", json_object_new_string(c->id));
	if (c->pid > 0)
		json_object_object_add(state, "pid", json_object_new_int(c->pid));
	if (c->config.has_annotations)
		json_object_object_add(state, "annotations", json_object_get(c->config.annotations.value));
	json_object_object_add(options, "state", state);
	if (b->no_pivot)
		json_object_object_add(options, "noPivotRoot", json_object_new_boolean(true));
	if (b->rootless)
		json_object_object_add(options, "rootless", json_object_new_boolean(true));
	if (cgroup != NULL)
		json_object_object_add(options, "cgroup2Path", json_object_new_string(cgroup));
	free(cgroup);
	char *text = strdup(json_object_to_json_string_ext(options, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(options);
	return text;
}

static int mounts_ready(void *user)
{
	struct birth *b = user;
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	/* When a hook fails the parent does not answer, it ends us; it knows the error already. */
	if (sync_send(b->sync, MSG_MOUNTS_READY, 0, &err) < 0 || sync_expect(b->sync, MSG_CONTINUE, NULL, &err) < 0)
		return ECANCELED;
	return 0;
}

static int set_up_root(struct birth *b, const struct sources *sources, struct rootfs_error *err)
{
	const struct config *config = &b->container->config;
	struct rootfs_request request = ROOTFS_REQUEST_INIT;
	char *options = host_options(b);
	if (options == NULL)
		return fail(err, ROOTFS_ERR_SYSTEM, ENOMEM, "options", "out of memory");
	request.config = config->text;
	request.config_len = config->len;
	request.options = options;
	request.options_len = strlen(options);
	request.sources = sources->list;
	request.sources_len = sources->len;
	request.user = b;
	if (hooks_any(config, "prestart") || hooks_any(config, "createRuntime"))
		request.on_mounts_ready = mounts_ready;
	int result = rootfs_prepare(&request, err);
	free(options);
	for (size_t i = 0; i < sources->len; i++)
		close(sources->list[i].fd);
	return result == 0 ? 0 : -1;
}

static int set_up_terminal(struct birth *b, struct rootfs_error *err)
{
	const struct process *p = &b->container->config.process;
	struct rootfs_terminal terminal = ROOTFS_TERMINAL_INIT;
	int master, result;
	if (!p->terminal)
		return 0;
	terminal.rows = p->rows;
	terminal.columns = p->columns;
	terminal.uid = p->uid;
	terminal.gid = p->gid;
	if (rootfs_console(&terminal, &master, err) != 0)
		return -1;
	if (b->console_socket >= 0)
		result = terminal_send(b->console_socket, master, err);
	else
		result = sync_send_fds(b->sync, MSG_TERMINAL, NULL, 0, &master, 1, err);
	if (result == 0)
		result = terminal_take(master, p, err);
	close(master);
	return result;
}

static int set_limits(struct birth *b, struct rootfs_error *err)
{
	int result = identity_rlimits(0, &b->container->config.process, err);
	if (result < 0 && err->errnum != EPERM)
		return -1;
	if (result == 0)
		return 0;
	/* Root of a user namespace may not raise a hard limit; the parent perhaps may. */
	return sync_send(b->sync, MSG_LIMITS, 0, err) < 0 ? -1 : sync_expect(b->sync, MSG_CONTINUE, NULL, err);
}

/* Tells that all is there, and waits until somebody connects: that is `start`. The connection takes the place of the pair. */
static int await_start(struct birth *b, struct rootfs_error *err)
{
	if (b->start < 0)
		return 0;
	if (sync_send(b->sync, MSG_CREATED, 0, err) < 0)
		return -1;
	int connection;
	do {
		connection = accept4(b->start, NULL, NULL, SOCK_CLOEXEC);
	} while (connection < 0 && errno == EINTR);
	if (connection < 0)
		return fail_errno(err, "accept", "waiting for start");
	close(b->start); /* whoever else comes is refused by the kernel */
	close(b->sync);
	b->sync = connection;
	/* One who came at the same time and stood behind in the queue sees the end of it, without this word. */
	return sync_send(connection, MSG_CONTINUE, 0, err);
}

static int become(struct birth *b, struct rootfs_error *err)
{
	struct container *c = b->container;
	struct process *p = &c->config.process;
	struct sources sources = {0};
	char self[16] = {0}, *path = NULL;
	int label = -1;

	/* Its file may be out of reach in a mount namespace that is joined. */
	if ((b->place || c->config.ns[NS_MOUNT].path != NULL) && rootfs_start(err) != 0)
		return -1;
	if (enter_namespaces(b, err) < 0 || be_placed(b, &sources, err) < 0 || set_up_session(b, err) < 0)
		return -1;
	/* The host's /proc is still the one to be seen: it tells our pid there, which hooks are to get. */
	if (readlink("/proc/self", self, sizeof(self) - 1) > 0)
		c->pid = (pid_t)strtol(self, NULL, 10);
	if (c->config.has_process) {
		int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
		label = labels_open(p, proc, err);
		close(proc);
		if (label == -2)
			return -1;
	}

	if (set_up_root(b, &sources, err) < 0 || set_up_terminal(b, err) < 0 || rootfs_finalize(err) != 0)
		return -1;
	if (c->config.has_process) {
		stdio_own(p);
		environment_complete(p);
		path = executable_find(p, err);
		if (path == NULL)
			return -1;
	}
	if (set_limits(b, err) < 0 || await_start(b, err) < 0)
		return -1;
	if (!c->config.has_process)
		return fail_at(err, "/process", "is missing: there is nothing to start");
	if (hooks_run(c, "startContainer", STATUS_CREATED, err) < 0 || identity_apply(p, &b->seccomp, label, err) < 0)
		return -1;
	executable_run(path, p, err);
	return -1;
}

void init_main(struct birth *b)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	signals_reset();
	close(b->container->dir); /* a directory of the host is nothing to have in a container, however short */
	if (!config_new_ns(&b->container->config, NS_PID) && !config_new_ns(&b->container->config, NS_USER))
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* others can see us: what we hold open is not for them */
	become(b, &err);
	sync_send_error(b->sync, &err);
	_exit(1);
}
