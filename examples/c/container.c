/* SPDX-License-Identifier: Apache-2.0
 *
 * A container on disk: <root>/<id>/ holds
 *	config.json   the document as it was at create; later changes of the bundle have no effect (runtime.md, Lifecycle)
 *	state.json    pid, bundle and what else the later commands need
 *	start         the socket on which the init child waits for `start`; there as long as the container is "created"
 * The directory is made with mkdir, so an id is taken by one `create` only.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

const char *const status_names[] = {"creating", "created", "running", "stopped", "paused"};

static int check_id(const char *id, struct rootfs_error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
	if (*id == '\0' || strlen(id) > 255 || id[strspn(id, allowed)] != '\0' || strcmp(id, ".") == 0 ||
	    strcmp(id, "..") == 0)
		return fail(err, ROOTFS_ERR_INVALID, 0, "id", "\"%.300s\" is no valid container id: letters, digits and _+-.",
			    id);
	return 0;
}

static int make_directories(const char *path, struct rootfs_error *err)
{
	char *copy = strdup(path);
	int result = 0;
	for (char *p = copy + 1; copy != NULL && result == 0; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char saved = *p;
		*p = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			result = fail_errno(err, "mkdir", "--root %s", copy);
		*p = saved;
		if (saved == '\0')
			break;
	}
	free(copy);
	return result;
}

int container_make(struct container *c, struct rootfs_error *err)
{
	if (check_id(c->id, err) < 0)
		return -1;
	char *path = format_text("%s/%s", c->options->root, c->id);
	int made = mkdir(path, 0700);
	if (made < 0 && errno == ENOENT && make_directories(c->options->root, err) == 0)
		made = mkdir(path, 0700);
	if (made < 0) {
		free(path);
		return errno == EEXIST ? fail(err, ROOTFS_ERR_STATE, 0, "create", "container \"%s\" exists already", c->id) :
					 fail_errno(err, "mkdir", "%s/%s", c->options->root, c->id);
	}
	c->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	free(path);
	if (c->dir < 0)
		return fail_errno(err, "open", "state directory");

	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	c->created = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	return 0;
}

static int write_new(const struct container *c, const char *name, const char *text, size_t len, struct rootfs_error *err)
{
	int fd = openat(c->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_errno(err, "open", "%s of container %s", name, c->id);
	ssize_t n = write(fd, text, len);
	close(fd);
	if (n != (ssize_t)len)
		return fail(err, ROOTFS_ERR_SYSTEM, n < 0 ? errno : ENOSPC, "write", "%s of container %s", name, c->id);
	return 0;
}

static struct json_object *state_object(const struct container *c, const char *status)
{
	struct json_object *state = json_object_new_object();
	json_object_object_add(state, "ociVersion", json_object_new_string(OCI_VERSION));
	json_object_object_add(state, "id", json_object_new_string(c->id));
	if (status != NULL)
		json_object_object_add(state, "status", json_object_new_string(status));
	if (c->pid > 0)
		json_object_object_add(state, "pid", json_object_new_int(c->pid));
	json_object_object_add(state, "bundle", json_object_new_string(c->bundle));
	if (c->config.has_annotations)
		json_object_object_add(state, "annotations", json_object_get(c->config.annotations.value));
	return state;
}

int container_save(struct container *c, struct rootfs_error *err)
{
	c->start_time = process_start_time(c->pid, NULL);
	struct json_object *state = state_object(c, NULL);
	json_object_object_add(state, "created", json_object_new_uint64(c->created));
	json_object_object_add(state, "startTime", json_object_new_uint64(c->start_time));
	json_object_object_add(state, "owner", json_object_new_int64(geteuid()));
	if (c->cgroup != NULL)
		json_object_object_add(state, "cgroup", json_object_new_string(c->cgroup));
	const char *text = json_object_to_json_string_ext(state, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	int result = write_new(c, "config.json", c->config.text, c->config.len, err);
	/* Written last and renamed: where state.json is, all of it is there. */
	if (result == 0)
		result = write_new(c, "state.json.new", text, strlen(text), err);
	if (result == 0 && renameat(c->dir, "state.json.new", c->dir, "state.json") < 0)
		result = fail_errno(err, "rename", "state.json of container %s", c->id);
	json_object_put(state);
	return result;
}

int container_open(struct container *c, struct rootfs_error *err)
{
	if (check_id(c->id, err) < 0)
		return -1;
	char *path = format_text("%s/%s", c->options->root, c->id);
	c->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	free(path);
	if (c->dir < 0)
		return errno == ENOENT ? fail(err, ROOTFS_ERR_STATE, 0, "open", "container \"%s\" does not exist", c->id) :
					 fail_errno(err, "open", "container %s", c->id);
	size_t len;
	char *text = read_file(c->dir, "state.json", &len, err);
	if (text == NULL)
		return fail(err, ROOTFS_ERR_STATE, 0, "open", "container \"%s\" is being created, or its creator died",
			    c->id);
	struct node root = {json_parse("state.json", text, len, NULL, err), NULL, NULL, 0};
	free(text);
	int64_t pid = 0;
	uint64_t start_time = 0;
	const char *bundle = "", *cgroup = NULL;
	if (root.value == NULL || node_int(&root, "pid", 1, INT32_MAX, &pid, err) < 0 ||
	    node_u64(&root, "startTime", &start_time, err) < 0 || node_string(&root, "bundle", &bundle, err) < 0 ||
	    node_u64(&root, "created", &c->created, err) < 0 || node_string(&root, "cgroup", &cgroup, err) < 0 ||
	    node_get(&root, "annotations", json_type_object, &c->config.annotations, err) < 0)
		return -1;
	c->pid = (pid_t)pid;
	c->start_time = start_time;
	c->bundle = strdup(bundle);
	c->cgroup = cgroup != NULL ? strdup(cgroup) : NULL;
	c->config.annotations.parent = NULL; /* the document ends here */
	c->config.has_annotations = c->config.annotations.value != NULL;
	json_object_get(c->config.annotations.value);
	json_object_put(root.value);
	return 0;
}

int container_load_config(struct container *c, struct rootfs_error *err)
{
	return config_load(&c->config, c->dir, "config.json", err);
}

void container_remove(struct container *c)
{
	static const char *const usual[] = {"state.json", "config.json"}, *const rest[] = {"state.json.new", "start"};
	char *path = format_text("%s/%s", c->options->root, c->id);
	for (size_t i = 0; i < 2; i++)
		unlinkat(c->dir, usual[i], 0);
	int result = rmdir(path);
	if (result < 0 && errno == ENOTEMPTY) { /* it was never started */
		for (size_t i = 0; i < 2; i++)
			unlinkat(c->dir, rest[i], 0);
		result = rmdir(path);
	}
	if (result < 0 && errno != ENOENT)
		log_warn("rmdir %s: %s", path, strerror(errno));
	free(path);
}

static unsigned long long read_stat(pid_t pid, char *state, unsigned *flags)
{
	char path[32], text[512];
	unsigned long long start = 0;
	char letter = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	/* The name is in parentheses, and may itself contain some. */
	const char *after = strrchr(text, ')');
	if (after == NULL || sscanf(after + 1,
				    " %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
				    &letter, flags, &start) != 3)
		return 0;
	if (state != NULL)
		*state = letter;
	return start;
}

unsigned long long process_start_time(pid_t pid, char *state)
{
	unsigned flags;
	return read_stat(pid, state, &flags);
}

bool process_never_ran(pid_t pid)
{
	unsigned flags = 0;
	/* PF_FORKNOEXEC of the kernel, which stays readable until the process is reaped. */
	return read_stat(pid, NULL, &flags) != 0 && (flags & 0x40) != 0;
}

enum status container_status(const struct container *c)
{
	char state = 0;
	unsigned long long start = c->pid > 0 ? process_start_time(c->pid, &state) : 0;
	/* A zombie has stopped; whose child it is reaps it in its own time. */
	if (start == 0 || start != c->start_time || state == 'Z' || state == 'X')
		return STATUS_STOPPED;
	if (faccessat(c->dir, "start", F_OK, 0) == 0)
		return STATUS_CREATED;
	return c->cgroup != NULL && cgroup_frozen(c) ? STATUS_PAUSED : STATUS_RUNNING;
}

char *container_state(const struct container *c, enum status status, struct rootfs_error *err)
{
	struct container copy = *c;
	if (status == STATUS_STOPPED)
		copy.pid = 0; /* the number may be someone else's by now */
	struct json_object *state = state_object(&copy, status_names[status]);
	if (status == STATUS_STOPPED)
		json_object_object_add(state, "pid", json_object_new_int(0));
	char *text = strdup(json_object_to_json_string_ext(state, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(state);
	if (text == NULL)
		fail(err, ROOTFS_ERR_SYSTEM, ENOMEM, "state", "out of memory");
	return text;
}

int container_signal(const struct container *c, int signal, struct rootfs_error *err)
{
	int fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (fd < 0)
		return fail_errno(err, "pidfd_open", "container %s", c->id);
	/* Checked after the descriptor is there: it cannot come to mean another process any more. */
	int result = process_start_time(c->pid, NULL) == c->start_time ? 0 : ESRCH;
	if (result == 0 && syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0)
		result = errno;
	close(fd);
	return result == 0 ? 0 : fail(err, ROOTFS_ERR_SYSTEM, result, "kill", "container %s", c->id);
}
