/* SPDX-License-Identifier: Apache-2.0
 *
 * Hooks, but for createContainer, which the library runs. The state is on standard input as a file, not a pipe: a hook that
 * does not read it then neither blocks us nor kills us.
 */
#include "minictr.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct hook {
	const char *path;
	char **args, **env;
	int64_t timeout; /* seconds; 0: none */
};

static int parse_hook(const struct node *list, size_t index, struct hook *hook, struct rootfs_error *err)
{
	struct node item;
	memset(hook, 0, sizeof(*hook));
	if (node_item(list, index, json_type_object, &item, err) < 0 ||
	    node_string(&item, "path", &hook->path, err) < 0 || node_strings(&item, "args", &hook->args, err) < 0 ||
	    node_strings(&item, "env", &hook->env, err) < 0 ||
	    node_int(&item, "timeout", 1, INT32_MAX / 1000, &hook->timeout, err) < 0)
		return -1;
	if (hook->path == NULL || hook->path[0] != '/')
		return node_fail(&item, err, "path must be absolute");
	return 0;
}

static void release(struct hook *hook)
{
	free(hook->args);
	free(hook->env);
}

int hooks_check(const struct config *config, struct rootfs_error *err)
{
	static const char *const points[] = {"prestart",       "createRuntime", "createContainer",
					     "startContainer", "poststart",     "poststop"};
	for (size_t p = 0; config->has_hooks && p < sizeof(points) / sizeof(*points); p++) {
		struct node list;
		struct hook hook;
		int found = node_get(&config->hooks, points[p], json_type_array, &list, err);
		if (found < 0)
			return -1;
		for (size_t i = 0; found && i < node_length(&list); i++) {
			if (parse_hook(&list, i, &hook, err) < 0)
				return -1;
			release(&hook);
		}
	}
	return 0;
}

bool hooks_any(const struct config *config, const char *point)
{
	struct node list;
	return config->has_hooks && node_get(&config->hooks, point, json_type_array, &list, NULL) > 0 &&
	       node_length(&list) > 0;
}

/* 0: it ended; its status is in *status. */
static int wait_hook(pid_t pid, int64_t timeout, int *status, struct rootfs_error *err)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd ended = {fd, POLLIN, 0};
	int n = 1;
	if (timeout > 0 && fd >= 0)
		do {
			n = poll(&ended, 1, (int)timeout * 1000);
		} while (n < 0 && errno == EINTR);
	if (n == 0)
		kill(-pid, SIGKILL); /* its own process group, see run_hook */
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	if (fd >= 0)
		close(fd);
	return n == 0 ? fail(err, ROOTFS_ERR_HOOK, ETIMEDOUT, "hook", "not done after %lld s", (long long)timeout) : 0;
}

static int run_hook(const struct hook *hook, const char *state, struct rootfs_error *err)
{
	static char *no_env[] = {NULL};
	char *no_args[] = {(char *)hook->path, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	int status = 0;
	pid_t pid;

	int input = memfd_create("state", MFD_CLOEXEC);
	if (input < 0 || write(input, state, strlen(state)) != (ssize_t)strlen(state) || lseek(input, 0, SEEK_SET) < 0) {
		fail_errno(err, "memfd_create", "state for a hook");
		if (input >= 0)
			close(input);
		return -1;
	}
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setpgroup(&attributes, 0);
	/* With a timeout it gets a process group, so that all it started can be ended. Without one it stays in ours: who
	 * interrupts minictr at a terminal ends the hook that it waits for. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      (hook->timeout > 0 ? POSIX_SPAWN_SETPGROUP : 0));
	int result = posix_spawn(&pid, hook->path, &actions, &attributes, hook->args && *hook->args ? hook->args : no_args,
				 hook->env ? hook->env : no_env);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	close(input);
	if (result != 0)
		return fail(err, ROOTFS_ERR_HOOK, result, "hook", "%s", hook->path);
	if (wait_hook(pid, hook->timeout, &status, err) < 0)
		return fail(err, ROOTFS_ERR_HOOK, 0, "hook", "%s: %s", hook->path, err->message);
	if (WIFSIGNALED(status))
		return fail(err, ROOTFS_ERR_HOOK, 0, "hook", "%s: ended by signal %d", hook->path, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return fail(err, ROOTFS_ERR_HOOK, 0, "hook", "%s: exit status %d", hook->path, WEXITSTATUS(status));
	return 0;
}

int hooks_run(const struct container *c, const char *point, enum status status, struct rootfs_error *err)
{
	struct node list;
	if (!hooks_any(&c->config, point))
		return 0;
	/* poststart and poststop may not end the container any more: a failure is told, and the next one runs. */
	bool go_on = strncmp(point, "post", 4) == 0;
	char *state = container_state(c, status, err);
	int result = state != NULL && node_get(&c->config.hooks, point, json_type_array, &list, err) > 0 ? 0 : -1;
	for (size_t i = 0; result == 0 && i < node_length(&list); i++) {
		struct hook hook;
		result = parse_hook(&list, i, &hook, err);
		if (result == 0 && run_hook(&hook, state, err) < 0) {
			char pointer[64];
			snprintf(pointer, sizeof(pointer), "/hooks/%s/%zu", point, i);
			result = fail_at(err, pointer, "%s", err->message);
			err->code = ROOTFS_ERR_HOOK;
		}
		release(&hook);
		if (result < 0 && go_on) {
			log_warn("%s", err->message);
			result = 0;
		}
	}
	free(state);
	return result;
}
