/* SPDX-License-Identifier: Apache-2.0
 *
 * linux.resources: the subset that minictr applies, as one table. What the table does not have is reported.
 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { KNOB_LIMIT, KNOB_RESERVATION, KNOB_SWAP };

static const struct knob {
	const char *section, *key;
	const char *controller, *v1; /* NULL: v1 has no such thing */
	const char *v2;
} knobs[] = {
	[KNOB_LIMIT] = {"memory", "limit", "memory", "memory.limit_in_bytes", "memory.max"},
	[KNOB_RESERVATION] = {"memory", "reservation", "memory", "memory.soft_limit_in_bytes", "memory.low"},
	[KNOB_SWAP] = {"memory", "swap", "memory", "memory.memsw.limit_in_bytes", "memory.swap.max"},
	{"memory", "swappiness", "memory", "memory.swappiness", NULL},
	{"cpu", "shares", "cpu", "cpu.shares", "cpu.weight"},
	{"cpu", "period", "cpu", "cpu.cfs_period_us", NULL}, /* v2 has both in cpu.max, see cpu_max */
	{"cpu", "quota", "cpu", "cpu.cfs_quota_us", NULL},
	{"cpu", "cpus", "cpuset", "cpuset.cpus", "cpuset.cpus"},
	{"cpu", "mems", "cpuset", "cpuset.mems", "cpuset.mems"},
};

/* pids.limit apart, see limit_pids. */
static bool applied(const char *section, const char *key)
{
	if (strcmp(section, "pids") == 0)
		return strcmp(key, "limit") == 0;
	for (size_t i = 0; i < sizeof(knobs) / sizeof(*knobs); i++)
		if (strcmp(knobs[i].section, section) == 0 && strcmp(knobs[i].key, key) == 0)
			return true;
	/* Hints about how to apply, not limits. */
	return strcmp(section, "memory") == 0 && (strcmp(key, "useHierarchy") == 0 || strcmp(key, "checkBeforeUpdate") == 0);
}

static bool says_something(struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_null:
		return false;
	case json_type_boolean:
		return json_object_get_boolean(value);
	case json_type_int: /* 0 is how engines in Go write "not set" */
		return json_object_get_int64(value) != 0;
	case json_type_array:
		return json_object_array_length(value) > 0;
	case json_type_object:
		return json_object_object_length(value) > 0;
	case json_type_string:
		return json_object_get_string_len(value) > 0;
	default:
		return true;
	}
}

bool limits_asked(const struct container *c)
{
	if (!c->config.has_resources)
		return false;
	json_object_object_foreach(c->config.resources.value, section, value)
	{
		/* The device list of the default config stands in every bundle; an ordinary user, who cannot have it, has no
		 * right to open other devices anyhow. */
		if (strcmp(section, "devices") == 0 || !json_object_is_type(value, json_type_object))
			continue;
		json_object_object_foreach(value, key, member)
		{
			if (applied(section, key) && says_something(member) &&
			    !(strcmp(section, "pids") == 0 && json_object_get_int64(member) < 0))
				return true;
		}
	}
	return false;
}

void limits_report_unapplied(const struct container *c)
{
	bool none = c->cgroup == NULL;
	if (!c->config.has_resources)
		return;
	json_object_object_foreach(c->config.resources.value, section, value)
	{
		if (strcmp(section, "devices") == 0 || strcmp(section, "unified") == 0 || !says_something(value))
			continue;
		if (!json_object_is_type(value, json_type_object)) {
			log_warn("/linux/resources/%s: not applied: minictr does not do it", section);
			continue;
		}
		json_object_object_foreach(value, key, member)
		{
			if (says_something(member) && (none || !applied(section, key)))
				log_warn("/linux/resources/%s/%s: not applied: %s", section, key,
					 none ? "no cgroup (--cgroup-manager=disabled)" : "minictr does not do it");
		}
	}
}

static int put(const struct container *c, const struct hierarchy *h, const char *file, const char *text,
	       struct rootfs_error *err)
{
	char *path = format_text("%s/%s/%s", h->mount, c->cgroup, file);
	int result = write_text(AT_FDCWD, path, text, err);
	free(path);
	return result;
}

/* The hierarchy that has a controller: its own on v1, the only one on v2. */
static const struct hierarchy *find(const struct hierarchy *list, size_t n, const char *controller)
{
	for (size_t i = 0; i < n; i++)
		if (has_controller(&list[i], controller) || (list[i].v2 && n == 1))
			return &list[i];
	return NULL;
}

static char *value_for_v2(const struct knob *knob, int64_t value, const struct node *section)
{
	int64_t limit = 0;
	struct rootfs_error ignored = ROOTFS_ERROR_INIT;
	if (strcmp(knob->key, "shares") == 0) /* [2, 262144] onto [1, 10000], as every runtime does it */
		return format_text("%lld", (long long)(1 + ((value - 2) * 9999) / 262142));
	if (value < 0)
		return strdup("max");
	/* v1 and the config count memory plus swap, v2 swap alone. */
	if (strcmp(knob->key, "swap") == 0 && node_int(section, "limit", INT64_MIN, INT64_MAX, &limit, &ignored) > 0)
		value = value > limit ? value - limit : 0;
	return format_text("%lld", (long long)value);
}

static int apply_knob(const struct container *c, const struct hierarchy *list, size_t n, const struct knob *knob,
		      struct rootfs_error *err)
{
	struct node section, member;
	int found = node_get(&c->config.resources, knob->section, json_type_object, &section, err);
	struct json_object *value;
	if (found <= 0)
		return found;
	if (!json_object_object_get_ex(section.value, knob->key, &value) || !says_something(value))
		return 0;
	bool text = strcmp(knob->controller, "cpuset") == 0;
	if (node_get(&section, knob->key, text ? json_type_string : json_type_int, &member, err) < 0)
		return -1;
	const struct hierarchy *h = find(list, n, knob->controller);
	if (h == NULL)
		return node_fail(&member, err, "the controller \"%s\" is not there on this host", knob->controller);
	const char *file = h->v2 ? knob->v2 : knob->v1;
	if (file == NULL) {
		if (strcmp(knob->section, "cpu") != 0)
			log_warn("/linux/resources/%s/%s: not applied: cgroup v2 has none", knob->section, knob->key);
		return 0;
	}
	char *spelled = text    ? strdup(json_object_get_string(value)) :
			h->v2 ? value_for_v2(knob, json_object_get_int64(value), &section) :
				format_text("%lld", (long long)json_object_get_int64(value));
	int result = put(c, h, file, spelled, err);
	free(spelled);
	return result < 0 ? node_fail(&member, err, "%s", err->message) : 0;
}

static int cpu_max(const struct container *c, const struct hierarchy *h, struct rootfs_error *err)
{
	struct node cpu;
	int64_t quota = 0, period = 0;
	int found = node_get(&c->config.resources, "cpu", json_type_object, &cpu, err);
	if (found <= 0 || node_int(&cpu, "quota", INT64_MIN, INT64_MAX, &quota, err) < 0 ||
	    node_int(&cpu, "period", 0, INT64_MAX, &period, err) < 0)
		return found <= 0 ? found : -1;
	if (quota == 0 && period == 0)
		return 0;
	char *text = quota > 0 ? format_text("%lld %lld", (long long)quota, (long long)(period ? period : 100000)) :
				 format_text("max %lld", (long long)(period ? period : 100000));
	int result = put(c, h, "cpu.max", text, err);
	free(text);
	return result;
}

/* What a container needs for its own /dev, whatever else is denied (config-linux.md, Default Devices): making nodes, the
 * default devices, its pseudo-terminals. */
static const char *const default_devices[] = {
	"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm",
	"c 136:* rwm",
};

static int device_number(const struct node *rule, const char *key, char out[24], struct rootfs_error *err)
{
	int64_t number = -1;
	int found = node_int(rule, key, -1, UINT32_MAX, &number, err);
	snprintf(out, 24, number < 0 ? "*" : "%lld", (long long)number);
	return found < 0 ? -1 : 0;
}

static int apply_devices(const struct container *c, const struct hierarchy *list, size_t n, struct rootfs_error *err)
{
	struct node rules, rule;
	int found = node_get(&c->config.resources, "devices", json_type_array, &rules, err);
	if (found <= 0 || node_length(&rules) == 0)
		return found;
	const struct hierarchy *h = NULL;
	for (size_t i = 0; i < n; i++)
		if (has_controller(&list[i], "devices"))
			h = &list[i];
	if (h == NULL) {
		log_warn("/linux/resources/devices: not applied: cgroup v2 wants an eBPF program, which minictr has not");
		return 0;
	}
	for (size_t i = 0; i < node_length(&rules); i++) {
		bool allow = false;
		const char *type = "a", *access_ = "rwm";
		char major[24], minor[24];
		if (node_item(&rules, i, json_type_object, &rule, err) < 0 || node_bool(&rule, "allow", &allow, err) < 0 ||
		    node_string(&rule, "type", &type, err) < 0 || node_string(&rule, "access", &access_, err) < 0 ||
		    device_number(&rule, "major", major, err) < 0 || device_number(&rule, "minor", minor, err) < 0)
			return -1;
		bool numbered = *major != '*' || *minor != '*';
		const char *types = *type != 'a' && *type != '\0' ? type : numbered ? "cb" : "a";
		int result = 0;
		/* The kernel takes "a" for every device there is, whatever follows: a number needs its letter. */
		for (size_t t = 0; types[t] != '\0' && result == 0; t++) {
			char *text = types[t] == 'a' ? strdup("a") :
						       format_text("%c %s:%s %s", types[t], major, minor, access_);
			result = put(c, h, allow ? "devices.allow" : "devices.deny", text, err);
			free(text);
		}
		if (result < 0)
			return node_fail(&rule, err, "%s", err->message);
	}
	for (size_t i = 0; i < sizeof(default_devices) / sizeof(*default_devices); i++)
		if (put(c, h, "devices.allow", default_devices[i], err) < 0)
			return -1;
	return 0;
}

static int apply_unified(const struct container *c, const struct hierarchy *list, size_t n, struct rootfs_error *err)
{
	struct node unified, member;
	int found = node_get(&c->config.resources, "unified", json_type_object, &unified, err);
	if (found <= 0 || json_object_object_length(unified.value) == 0)
		return found;
	if (n != 1 || !list[0].v2)
		return node_fail(&unified, err, "this host does not have cgroup v2 alone");
	json_object_object_foreach(unified.value, key, value)
	{
		(void)value;
		if (strchr(key, '/') != NULL)
			return node_fail(&unified, err, "\"%s\" is no file of a cgroup", key);
		if (node_get(&unified, key, json_type_string, &member, err) < 0 ||
		    put(c, &list[0], key, json_object_get_string(member.value), err) < 0)
			return -1;
	}
	return 0;
}

/* Not among the knobs: -1 is "max" in both versions. */
static int limit_pids(const struct container *c, const struct hierarchy *list, size_t n, struct rootfs_error *err)
{
	struct node pids;
	int64_t limit = 0;
	char text[24] = "max";
	int found = node_get(&c->config.resources, "pids", json_type_object, &pids, err);
	if (found <= 0 || node_int(&pids, "limit", INT64_MIN, INT64_MAX, &limit, err) < 0)
		return found <= 0 ? found : -1;
	if (limit == 0)
		return 0;
	if (limit > 0)
		snprintf(text, sizeof(text), "%lld", (long long)limit);
	const struct hierarchy *h = find(list, n, "pids");
	if (h == NULL)
		return node_fail(&pids, err, "the controller \"pids\" is not there on this host");
	return put(c, h, "pids.max", text, err);
}

int cgroup_limit(const struct container *c, struct rootfs_error *err)
{
	struct hierarchy list[HIERARCHIES_MAX];
	if (c->cgroup == NULL || !c->config.has_resources)
		return 0;
	limits_report_unapplied(c);
	size_t n = hierarchies(list);
	/* v1 keeps memory <= memory + swap at every moment: to raise both, the second goes first; to lower both, last. */
	struct rootfs_error ignored = ROOTFS_ERROR_INIT;
	(void)apply_knob(c, list, n, &knobs[KNOB_SWAP], &ignored);
	for (size_t i = 0; i < sizeof(knobs) / sizeof(*knobs); i++)
		if (apply_knob(c, list, n, &knobs[i], err) < 0)
			return -1;
	if (n == 1 && list[0].v2 && cpu_max(c, &list[0], err) < 0)
		return -1;
	if (limit_pids(c, list, n, err) < 0 || apply_devices(c, list, n, err) < 0)
		return -1;
	return apply_unified(c, list, n, err);
}
