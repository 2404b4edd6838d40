/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: options that all commands share, then the command, which parses its own.
 */
#include "minictr.h"

#include "entry.h"

#include <errno.h>
#include <getopt.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct command {
	const char *name;
	int (*run)(const struct options *, int, char **);
	const char *help;
	bool enters; /* has a process in a container that was minictr before */
} commands[] = {
	{"create", command_create, "set up a container, up to the point where its program would run", true},
	{"start", command_start, "run the program of a created container", false},
	{"run", command_run, "create, start, wait, delete", true},
	{"exec", command_exec, "run one more process in a container", true},
	{"state", command_state, "the OCI state of a container, as JSON", false},
	{"kill", command_kill, "send a signal to a container", false},
	{"delete", command_delete, "remove a container that has stopped", false},
	{"pause", command_pause, "stop all processes of a container where they are", false},
	{"resume", command_resume, "let them go on", false},
	{"update", command_update, "change the limits of a container", false},
	{"list", command_list, "the containers below --root", false},
	{"ps", command_ps, "the processes of a container", false},
	{"spec", command_spec, "write a config.json to begin with", false},
	{"features", command_features, "what this runtime can do here, as JSON", false},
};

static int help(FILE *out, int status)
{
	fprintf(out, "usage: minictr [OPTION...] COMMAND ...\n\n"
		     "  --root DIR                 where containers' states are kept\n"
		     "  --log FILE                 errors and warnings go there too\n"
		     "  --log-format text|json\n"
		     "  --cgroup-manager cgroupfs|disabled\n"
		     "  --version\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	return status;
}

static int version(void)
{
	/* podman takes the first line for the name, `podman info` prints it all. */
	printf("minictr version %s\nspec: %s\nlibrootfs: %s\n", MINICTR_VERSION, OCI_VERSION, rootfs_version());
	return 0;
}

void keep_descriptors(int preserve)
{
	/* A descriptor that the engine forgot to close, of a directory on the host, is a way out of the container
	 * (CVE-2024-21626). Kernels before 5.11 do not know the flag; there everything that is ours has O_CLOEXEC. */
	(void)syscall(SYS_close_range, 3U + (unsigned)(preserve > 0 ? preserve : 0), ~0U, CLOSE_RANGE_CLOEXEC);
}

static const char *default_root(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	/* Root of a user namespace is no root for /run. */
	if (geteuid() == 0 && (runtime == NULL || in_initial_user_namespace()))
		return "/run/minictr";
	return runtime != NULL ? format_text("%s/minictr", runtime) : format_text("/tmp/minictr-%u", geteuid());
}

static int fail_usage(struct rootfs_error *err)
{
	log_error(err);
	return 1;
}

int main(int argc, char **argv)
{
	enum { ROOT = 256, LOG, LOG_FORMAT, CGROUP_MANAGER, SYSTEMD_CGROUP, DEBUG };
	static const struct option options[] = {
		{"root", required_argument, NULL, ROOT},
		{"log", required_argument, NULL, LOG},
		{"log-format", required_argument, NULL, LOG_FORMAT},
		{"cgroup-manager", required_argument, NULL, CGROUP_MANAGER},
		{"systemd-cgroup", no_argument, NULL, SYSTEMD_CGROUP},
		{"debug", no_argument, NULL, DEBUG}, /* engines give it; there is nothing more to say than what is said */
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct options o = {0};
	const char *log = NULL;
	bool json = false, systemd = false;
	for (int c; (c = getopt_long(argc, argv, "+vh", options, NULL)) != -1;) {
		switch (c) {
		case ROOT: o.root = optarg; break;
		case LOG: log = optarg; break;
		case LOG_FORMAT:
			json = strcmp(optarg, "json") == 0;
			if (!json && strcmp(optarg, "text") != 0)
				return help(stderr, 1);
			break;
		case CGROUP_MANAGER:
			systemd = strcmp(optarg, "systemd") == 0;
			o.cgroup_manager = strcmp(optarg, "disabled") == 0 ? CGROUP_DISABLED : CGROUP_FS;
			if (!systemd && o.cgroup_manager == CGROUP_FS && strcmp(optarg, "cgroupfs") != 0)
				return help(stderr, 1);
			break;
		case SYSTEMD_CGROUP: systemd = true; break;
		case DEBUG: break;
		case 'v': return version();
		case 'h': return help(stdout, 0);
		default: return help(stderr, 1);
		}
	}
	/* Ignored, it would make the kernel reap our children, and their exit status be lost. */
	signal(SIGCHLD, SIG_DFL);
	if (log_open(log, json, &err) < 0)
		return fail_usage(&err);
	if (systemd) {
		fail(&err, ROOTFS_ERR_UNSUPPORTED, 0, "--systemd-cgroup",
		     "minictr does not talk to systemd: use the cgroupfs manager");
		return fail_usage(&err);
	}
	if (optind == argc)
		return help(stderr, 1);
	if (o.root == NULL)
		o.root = default_root();
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(commands[i].name, argv[optind]) == 0) {
			int first = optind;
			engine_find(argv[0]);
			if (commands[i].enters && !entry_protected) {
				fail(&err, ROOTFS_ERR_SYSTEM, 0, "execveat", "cannot protect minictr's own file from the container");
				return fail_usage(&err);
			}
			optind = 1; /* the command's own options, in its own argv */
			return commands[i].run(&o, argc - first, argv + first);
		}
	fail(&err, ROOTFS_ERR_INVALID, 0, "command", "unknown command \"%s\"", argv[optind]);
	return fail_usage(&err);
}
