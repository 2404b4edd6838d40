/* SPDX-License-Identifier: Apache-2.0
 *
 * `process` of config.json, from JSON to a struct. Checked as a whole before anything is created.
 */
#include "minictr.h"

#include <linux/ioprio.h>
#include <string.h>

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
	{"RLIMIT_AS", RLIMIT_AS},           {"RLIMIT_CORE", RLIMIT_CORE},
	{"RLIMIT_CPU", RLIMIT_CPU},         {"RLIMIT_DATA", RLIMIT_DATA},
	{"RLIMIT_FSIZE", RLIMIT_FSIZE},     {"RLIMIT_LOCKS", RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", RLIMIT_NICE},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
	{"RLIMIT_NPROC", RLIMIT_NPROC},     {"RLIMIT_RSS", RLIMIT_RSS},
	{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},   {"RLIMIT_RTTIME", RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING}, {"RLIMIT_STACK", RLIMIT_STACK},
};

static int parse_rlimits(const struct node *at, struct process *p, struct rootfs_error *err)
{
	struct node list, item;
	int found = node_get(at, "rlimits", json_type_array, &list, err);
	if (found <= 0)
		return found;
	p->rlimits_len = node_length(&list);
	p->rlimits = allocate(p->rlimits_len, sizeof(*p->rlimits));
	for (size_t i = 0; i < p->rlimits_len; i++) {
		const char *type = "";
		uint64_t soft = 0, hard = 0;
		size_t known = 0;
		if (node_item(&list, i, json_type_object, &item, err) < 0 || node_string(&item, "type", &type, err) < 0 ||
		    node_u64(&item, "soft", &soft, err) < 0 || node_u64(&item, "hard", &hard, err) < 0)
			return -1;
		while (known < sizeof(rlimit_names) / sizeof(*rlimit_names) && strcmp(rlimit_names[known].name, type) != 0)
			known++;
		if (known == sizeof(rlimit_names) / sizeof(*rlimit_names))
			return node_fail(&item, err, "unknown limit \"%s\"", type);
		if (soft > hard)
			return node_fail(&item, err, "soft limit above the hard one");
		for (size_t j = 0; j < i; j++)
			if (p->rlimits[j].resource == rlimit_names[known].resource)
				return node_fail(&item, err, "%s is given twice", type);
		p->rlimits[i].resource = rlimit_names[known].resource;
		p->rlimits[i].limit = (struct rlimit){soft, hard};
	}
	return 0;
}

static int parse_user(const struct node *at, struct process *p, struct rootfs_error *err)
{
	struct node user, groups;
	int64_t uid = 0, gid = 0, umask_ = 0;
	int found = node_get(at, "user", json_type_object, &user, err);
	if (found <= 0)
		return found;
	/* 2^32 - 1 is no user: setresuid takes it for "leave as it is". */
	if (node_int(&user, "uid", 0, UINT32_MAX - 1, &uid, err) < 0 ||
	    node_int(&user, "gid", 0, UINT32_MAX - 1, &gid, err) < 0 ||
	    (found = node_int(&user, "umask", 0, 0777, &umask_, err)) < 0)
		return -1;
	p->uid = (uint32_t)uid;
	p->gid = (uint32_t)gid;
	p->has_umask = found;
	p->umask = found ? (uint32_t)umask_ : 0022;

	found = node_get(&user, "additionalGids", json_type_array, &groups, err);
	if (found <= 0)
		return found;
	p->groups_len = node_length(&groups);
	p->groups = allocate(p->groups_len, sizeof(*p->groups));
	for (size_t i = 0; i < p->groups_len; i++) {
		struct node item;
		if (node_item(&groups, i, json_type_int, &item, err) < 0)
			return -1;
		int64_t group = json_object_get_int64(item.value);
		if (group < 0 || group >= UINT32_MAX)
			return node_fail(&item, err, "no valid group id");
		p->groups[i] = (gid_t)group;
	}
	return 0;
}

static int parse_terminal(const struct node *at, struct process *p, struct rootfs_error *err)
{
	struct node size;
	int64_t rows = 0, columns = 0;
	int found = node_get(at, "consoleSize", json_type_object, &size, err);
	if (found < 0 || node_bool(at, "terminal", &p->terminal, err) < 0)
		return -1;
	if (found && (node_int(&size, "height", 0, UINT16_MAX, &rows, err) < 0 ||
		      node_int(&size, "width", 0, UINT16_MAX, &columns, err) < 0))
		return -1;
	p->rows = (uint16_t)rows;
	p->columns = (uint16_t)columns;
	return 0;
}

static int parse_io_priority(const struct node *at, struct process *p, struct rootfs_error *err)
{
	struct node io;
	const char *class = "";
	int64_t priority = 0;
	int found = node_get(at, "ioPriority", json_type_object, &io, err);
	if (found <= 0)
		return found;
	if (node_string(&io, "class", &class, err) < 0 || node_int(&io, "priority", 0, 7, &priority, err) < 0)
		return -1;
	p->io_class = strcmp(class, "IOPRIO_CLASS_RT") == 0   ? IOPRIO_CLASS_RT :
		      strcmp(class, "IOPRIO_CLASS_BE") == 0   ? IOPRIO_CLASS_BE :
		      strcmp(class, "IOPRIO_CLASS_IDLE") == 0 ? IOPRIO_CLASS_IDLE :
								0;
	if (p->io_class == 0)
		return node_fail(&io, err, "unknown class \"%s\"", class);
	p->io_priority = (int)priority;
	return 0;
}

/* What minictr knows of and does not do. A limit that silently does not hold would be worse than none. */
static void report_unapplied(const struct node *at)
{
	static const char *const members[] = {"scheduler", "execCPUAffinity"};
	struct json_object *value;
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		if (json_object_object_get_ex(at->value, members[i], &value) && value != NULL)
			log_warn("/process/%s: not applied: minictr does not do it", members[i]);
}

int process_parse(const struct node *at, struct process *p, struct rootfs_error *err)
{
	int64_t score = 0;
	int found = node_strings(at, "args", &p->args, err);
	if (found < 0)
		return -1;
	if (!found || p->args[0] == NULL)
		return node_fail(at, err, "args is missing or empty");
	if (p->args[0][0] == '\0')
		return node_fail(at, err, "args: the first is empty");
	if (node_strings(at, "env", &p->env, err) < 0 || (found = node_string(at, "cwd", &p->cwd, err)) < 0)
		return -1;
	if (!found || p->cwd[0] != '/')
		return node_fail(at, err, "cwd must be an absolute path");
	if (p->env == NULL)
		p->env = allocate(1, sizeof(*p->env));
	for (char **e = p->env; *e != NULL; e++)
		if (strchr(*e, '=') == NULL || **e == '=')
			return node_fail(at, err, "env: \"%s\" is not of the form NAME=VALUE", *e);
	if (parse_user(at, p, err) < 0 || parse_rlimits(at, p, err) < 0 || parse_terminal(at, p, err) < 0 ||
	    parse_io_priority(at, p, err) < 0 || capabilities_parse(at, p->caps, err) < 0 ||
	    node_bool(at, "noNewPrivileges", &p->no_new_privs, err) < 0 ||
	    node_string(at, "apparmorProfile", &p->apparmor, err) < 0 ||
	    node_string(at, "selinuxLabel", &p->selinux, err) < 0 ||
	    (found = node_int(at, "oomScoreAdj", -1000, 1000, &score, err)) < 0)
		return -1;
	p->has_oom_score = found;
	p->oom_score_adj = (int)score;
	report_unapplied(at);
	return 0;
}
