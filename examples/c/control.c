/* SPDX-License-Identifier: Apache-2.0
 *
 * What engines ask of a running container beyond the specification: pause, resume, update. All of it is cgroups.
 */
#include "minictr.h"

#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

static int report(const struct rootfs_error *err)
{
	log_error(err);
	return 1;
}

static int freeze(const struct options *o, int argc, char **argv, bool freeze)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	struct container c = {.options = o, .id = argc > 1 ? argv[1] : ""};
	if (argc != 2) {
		fprintf(stderr, "usage: minictr %s ID\n", argv[0]);
		return 1;
	}
	if (container_open(&c, &err) < 0)
		return report(&err);
	enum status status = container_status(&c), due = freeze ? STATUS_RUNNING : STATUS_PAUSED;
	if (status != due && !(freeze && status == STATUS_CREATED)) {
		fail(&err, ROOTFS_ERR_STATE, 0, argv[0], "container \"%s\" is %s, not %s", c.id, status_names[status],
		     status_names[due]);
		return report(&err);
	}
	return cgroup_freeze(&c, freeze, &err) < 0 ? report(&err) : 0;
}

int command_pause(const struct options *o, int argc, char **argv)
{
	return freeze(o, argc, argv, true);
}

int command_resume(const struct options *o, int argc, char **argv)
{
	return freeze(o, argc, argv, false);
}

static char *read_stdin(size_t *len)
{
	size_t size = 1 << 20, n;
	char *text = allocate(size, 1);
	for (*len = 0; *len < size && (n = fread(text + *len, 1, size - *len, stdin)) > 0;)
		*len += n;
	return text;
}

/* Takes a document with what linux.resources has; only what it names is changed. */
int command_update(const struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{"resources", required_argument, NULL, 'r'}, {"pids-limit", required_argument, NULL, 'p'},
		{"memory", required_argument, NULL, 'm'}, {0}};
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	const char *file = NULL;
	char *text = NULL;
	size_t len = 0;
	for (int c; (c = getopt_long(argc, argv, "+r:m:", options, NULL)) != -1;) {
		if (c == 'r')
			file = optarg;
		else if (c == 'p')
			text = format_text("{\"pids\":{\"limit\":%lld}}", atoll(optarg));
		else if (c == 'm')
			text = format_text("{\"memory\":{\"limit\":%lld}}", atoll(optarg));
		else
			return 1;
	}
	if (argc - optind != 1 || (file == NULL) == (text == NULL)) {
		fprintf(stderr, "usage: minictr update --resources FILE|- ID\n"
				"       minictr update --memory BYTES|--pids-limit NUMBER ID\n");
		return 1;
	}
	struct container c = {.options = o, .id = argv[optind]};
	if (text != NULL)
		len = strlen(text);
	else
		text = strcmp(file, "-") == 0 ? read_stdin(&len) : read_file(AT_FDCWD, file, &len, &err);
	if (text == NULL || container_open(&c, &err) < 0)
		return report(&err);
	if (container_status(&c) == STATUS_STOPPED || c.cgroup == NULL) {
		fail(&err, ROOTFS_ERR_STATE, 0, "update", "container \"%s\" %s", c.id,
		     c.cgroup == NULL ? "has no cgroup of its own" : "is stopped");
		return report(&err);
	}
	c.config.resources = (struct node){json_parse("resources", text, len, NULL, &err), NULL, NULL, 0};
	c.config.has_resources = c.config.resources.value != NULL;
	if (!c.config.has_resources || cgroup_limit(&c, &err) < 0)
		return report(&err);
	return 0;
}
