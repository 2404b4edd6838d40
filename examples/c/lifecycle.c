/* SPDX-License-Identifier: Apache-2.0
 *
 * What is done to a container that is there: start, state, kill, delete, list, ps.
 */
#include "minictr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pwd.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int report(const struct rootfs_error *err)
{
	log_error(err);
	return 1;
}


static int usage(const char *text)
{
	fprintf(stderr, "usage: minictr %s\n", text);
	return 1;
}

int command_start(const struct options *o, int argc, char **argv)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct container c = {.options = o, .id = argc > 1 ? argv[1] : ""};
	if (argc != 2)
		return usage("start ID");
	if (container_open(&c, &err) < 0 || container_load_config(&c, &err) < 0)
		return report(&err);
	enum status status = container_status(&c);
	if (status != STATUS_CREATED) {
		fail(&err, ROOTFS_ERR_STATE, 0, "start", "container \"%s\" is %s, only one that is created can be started", c.id,
		     status_names[status]);
		return report(&err);
	}
	if (!c.config.has_process) {
		fail_at(&err, "/process", "is missing: there is nothing to start");
		return report(&err);
	}
	/* The connection is the order to start. Only the first is taken, whoever else comes at the same time. */
	int connection = unix_connect(c.dir, "start", &err);
	if (connection < 0 || sync_expect(connection, MSG_CONTINUE, NULL, &err) < 0) {
		fail(&err, ROOTFS_ERR_STATE, 0, "start", "container \"%s\" was started or ended at the same time", c.id);
		return report(&err);
	}
	unlinkat(c.dir, "start", 0);
	enum message type;
	if (sync_receive(connection, &type, NULL, NULL, NULL, NULL, NULL, &err) < 0) {
		close(connection);
		return report(&err);
	}
	close(connection);
	(void)hooks_run(&c, "poststart", STATUS_RUNNING, &err);
	return 0;
}

int command_state(const struct options *o, int argc, char **argv)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct container c = {.options = o, .id = argc > 1 ? argv[1] : ""};
	if (argc != 2)
		return usage("state ID");
	char *text = container_open(&c, &err) < 0 ? NULL : container_state(&c, container_status(&c), &err);
	if (text == NULL)
		return report(&err);
	puts(text);
	return 0;
}

/* Not sigabbrev_np(3), which only glibc has. */
static const char *const signal_names[] = {
	[SIGHUP] = "HUP",   [SIGINT] = "INT",       [SIGQUIT] = "QUIT", [SIGILL] = "ILL",     [SIGTRAP] = "TRAP",   [SIGABRT] = "ABRT",
	[SIGBUS] = "BUS",   [SIGFPE] = "FPE",       [SIGKILL] = "KILL", [SIGUSR1] = "USR1",   [SIGSEGV] = "SEGV",   [SIGUSR2] = "USR2",
	[SIGPIPE] = "PIPE", [SIGALRM] = "ALRM",     [SIGTERM] = "TERM", [SIGSTKFLT] = "STKFLT", [SIGCHLD] = "CHLD", [SIGCONT] = "CONT",
	[SIGSTOP] = "STOP", [SIGTSTP] = "TSTP",     [SIGTTIN] = "TTIN", [SIGTTOU] = "TTOU",   [SIGURG] = "URG",     [SIGXCPU] = "XCPU",
	[SIGXFSZ] = "XFSZ", [SIGVTALRM] = "VTALRM", [SIGPROF] = "PROF", [SIGWINCH] = "WINCH", [SIGPOLL] = "POLL",   [SIGPWR] = "PWR",
	[SIGSYS] = "SYS",
};

static int signal_number(const char *name)
{
	char *end;
	long number = strtol(name, &end, 10);
	if (*name != '\0' && *end == '\0')
		return number >= 0 && number <= SIGRTMAX ? (int)number : -1;
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (size_t i = 0; i < sizeof(signal_names) / sizeof(*signal_names); i++)
		if (signal_names[i] != NULL && strcasecmp(signal_names[i], name) == 0)
			return (int)i;
	if (strncasecmp(name, "RTMIN+", 6) == 0)
		return SIGRTMIN + atoi(name + 6);
	return -1;
}

int command_kill(const struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {0}};
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	bool all = false;
	for (int c; (c = getopt_long(argc, argv, "+a", options, NULL)) != -1;) {
		if (c != 'a')
			return usage("kill [--all] ID [SIGNAL]");
		all = true;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return usage("kill [--all] ID [SIGNAL]");
	struct container c = {.options = o, .id = argv[optind]};
	int signal = argc - optind == 2 ? signal_number(argv[optind + 1]) : SIGTERM;
	if (signal < 0) {
		fail(&err, ROOTFS_ERR_INVALID, 0, "kill", "unknown signal \"%s\"", argv[optind + 1]);
		return report(&err);
	}
	if (container_open(&c, &err) < 0)
		return report(&err);
	/* Without a pid namespace of its own a container's processes outlive its first one: --all is for them. */
	if (all && c.cgroup != NULL)
		return cgroup_kill(&c, signal, &err) < 0 ? report(&err) : 0;
	if (container_status(&c) == STATUS_STOPPED) {
		/* The words that containerd's shim looks for. */
		fail(&err, ROOTFS_ERR_STATE, 0, "kill", "container not running: \"%s\" is stopped", c.id);
		return report(&err);
	}
	return container_signal(&c, signal, &err) < 0 ? report(&err) : 0;
}

/* SIGKILL, and waits for the end: what is deleted must be gone. */
static int kill_and_wait(struct container *c, struct rootfs_error *err)
{
	/* On v1 a frozen process does not even die. */
	if (container_status(c) == STATUS_PAUSED && cgroup_freeze(c, false, err) < 0)
		return -1;
	struct pollfd ended = {(int)syscall(SYS_pidfd_open, c->pid, 0), POLLIN, 0};
	if (container_signal(c, SIGKILL, err) < 0 && err->errnum != ESRCH)
		return -1;
	int n = ended.fd >= 0 ? poll(&ended, 1, 10000) : 1;
	if (ended.fd >= 0)
		close(ended.fd);
	return n > 0 ? 0 : fail(err, ROOTFS_ERR_SYSTEM, ETIMEDOUT, "kill", "container %s does not end", c->id);
}

int command_delete(const struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"force", no_argument, NULL, 'f'}, {0}};
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	bool force = false;
	for (int c; (c = getopt_long(argc, argv, "+f", options, NULL)) != -1;) {
		if (c != 'f')
			return usage("delete [--force] ID");
		force = true;
	}
	if (argc - optind != 1)
		return usage("delete [--force] ID");
	struct container c = {.options = o, .id = argv[optind], .dir = -1};
	if (container_open(&c, &err) < 0 || container_load_config(&c, &err) < 0) {
		if (!force)
			return report(&err);
		if (c.dir >= 0)
			container_remove(&c); /* what a creator that died left behind */
		return 0;
	}
	enum status status = container_status(&c);
	if (status != STATUS_STOPPED && !force) {
		fail(&err, ROOTFS_ERR_STATE, 0, "delete", "container \"%s\" is %s, only one that is stopped can be deleted",
		     c.id, status_names[status]);
		return report(&err);
	}
	if (status != STATUS_STOPPED && kill_and_wait(&c, &err) < 0)
		return report(&err);
	if (c.cgroup != NULL && cgroup_kill(&c, SIGKILL, &err) < 0)
		log_warn("%s", err.message);
	cgroup_remove(&c);
	container_remove(&c);
	(void)hooks_run(&c, "poststop", STATUS_STOPPED, &err);
	return 0;
}

static void print_row(const struct container *c, enum status status, struct json_object *list, const char *owner)
{
	char created[64];
	struct tm tm;
	time_t seconds = (time_t)(c->created / 1000000000);
	gmtime_r(&seconds, &tm);
	size_t n = strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(created + n, sizeof(created) - n, ".%09uZ", (unsigned)(c->created % 1000000000));
	if (list == NULL) {
		printf("%-24s %-8d %-8s %-40s %s\n", c->id, status == STATUS_STOPPED ? 0 : (int)c->pid, status_names[status],
		       c->bundle, created);
		return;
	}
	struct rootfs_error ignored = ROOTFS_ERROR_INIT;
	char *text = container_state(c, status, &ignored);
	struct json_object *row = text != NULL ? json_tokener_parse(text) : NULL;
	free(text);
	if (row == NULL)
		return;
	json_object_object_add(row, "created", json_object_new_string(created));
	json_object_object_add(row, "owner", json_object_new_string(owner));
	json_object_array_add(list, row);
}

static const char *owner_of(int dir)
{
	struct stat st;
	FILE *file = fstat(dir, &st) == 0 ? fopen("/etc/passwd", "re") : NULL; /* getpwuid(3) would load libraries */
	const struct passwd *user = NULL;
	while (file != NULL && (user = fgetpwent(file)) != NULL && user->pw_uid != st.st_uid)
		;
	if (file != NULL)
		fclose(file);
	return user != NULL ? user->pw_name : "";
}

int command_list(const struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{"format", required_argument, NULL, 'f'}, {"quiet", no_argument, NULL, 'q'}, {0}};
	bool json = false, quiet = false;
	for (int c; (c = getopt_long(argc, argv, "+f:q", options, NULL)) != -1;) {
		if (c == 'q')
			quiet = true;
		else if (c == 'f' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "table") == 0))
			json = *optarg == 'j';
		else
			return usage("list [--quiet] [--format table|json]");
	}
	struct json_object *rows = json && !quiet ? json_object_new_array() : NULL;
	if (rows == NULL && !quiet)
		printf("%-24s %-8s %-8s %-40s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED");
	DIR *dir = opendir(o->root); /* no such directory: no containers */
	struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct rootfs_error err = ROOTFS_ERROR_INIT;
		struct container c = {.options = o, .id = entry->d_name};
		if (entry->d_name[0] == '.' || container_open(&c, &err) < 0)
			continue; /* not there yet, or not any more */
		if (quiet)
			puts(c.id);
		else
			print_row(&c, container_status(&c), rows, owner_of(c.dir));
		close(c.dir);
	}
	if (dir != NULL)
		closedir(dir);
	if (rows != NULL)
		puts(json_object_to_json_string_ext(rows, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

int command_ps(const struct options *o, int argc, char **argv)
{
	static const struct option options[] = {{"format", required_argument, NULL, 'f'}, {0}};
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	bool json = false;
	for (int c; (c = getopt_long(argc, argv, "+f:", options, NULL)) != -1;) {
		if (c != 'f')
			return usage("ps [--format table|json] ID");
		json = strcmp(optarg, "json") == 0;
	}
	if (argc - optind != 1)
		return usage("ps [--format table|json] ID");
	struct container c = {.options = o, .id = argv[optind]};
	pid_t *pids;
	size_t len;
	if (container_open(&c, &err) < 0 || cgroup_processes(&c, &pids, &len, &err) < 0)
		return report(&err);
	if (json)
		putchar('[');
	for (size_t i = 0; i < len; i++)
		printf(json ? "%s%d" : "%s%d\n", json && i > 0 ? "," : "", (int)pids[i]);
	if (json)
		puts("]");
	free(pids);
	return 0;
}
