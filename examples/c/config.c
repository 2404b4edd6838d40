/* SPDX-License-Identifier: Apache-2.0
 *
 * What config.json asks of the runtime. What it asks of the root (mounts, devices, masks, sysctls) is not looked at here:
 * the library reads the same document.
 */
#include "minictr.h"

#include <linux/sched.h>
#include <string.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

const struct ns_type ns_types[NS_KINDS] = {
	[NS_USER] = {"user", "user", CLONE_NEWUSER},  [NS_PID] = {"pid", "pid", CLONE_NEWPID},
	[NS_MOUNT] = {"mount", "mnt", CLONE_NEWNS},   [NS_NETWORK] = {"network", "net", CLONE_NEWNET},
	[NS_IPC] = {"ipc", "ipc", CLONE_NEWIPC},      [NS_UTS] = {"uts", "uts", CLONE_NEWUTS},
	[NS_CGROUP] = {"cgroup", "cgroup", CLONE_NEWCGROUP}, [NS_TIME] = {"time", "time", CLONE_NEWTIME},
};

bool config_new_ns(const struct config *config, enum ns_kind kind)
{
	return config->ns[kind].present && config->ns[kind].path == NULL;
}

static int parse_namespaces(struct config *config, struct rootfs_error *err)
{
	struct node list, item;
	int found = node_get(&config->linux_, "namespaces", json_type_array, &list, err);
	if (found <= 0)
		return found;
	for (size_t i = 0; i < node_length(&list); i++) {
		const char *type = NULL, *path = NULL;
		enum ns_kind kind = 0;
		if (node_item(&list, i, json_type_object, &item, err) < 0 ||
		    (found = node_string(&item, "type", &type, err)) < 0 || node_string(&item, "path", &path, err) < 0)
			return -1;
		if (!found)
			return node_fail(&item, err, "type is missing");
		while (kind < NS_KINDS && strcmp(ns_types[kind].name, type) != 0)
			kind++;
		if (kind == NS_KINDS)
			return node_fail(&item, err, "unknown namespace type \"%s\"", type);
		if (config->ns[kind].present)
			return node_fail(&item, err, "a second namespace of type \"%s\"", type);
		if (path != NULL && path[0] == '\0')
			path = NULL; /* as Go's zero value is written by some engines */
		if (path != NULL && path[0] != '/')
			return node_fail(&item, err, "path \"%s\" is not absolute", path);
		config->ns[kind] = (struct ns_want){true, path};
	}
	return 0;
}

static int parse_id_maps(const struct node *at, const char *key, struct id_map **maps, size_t *len,
			 struct rootfs_error *err)
{
	struct node list, item;
	int found = node_get(at, key, json_type_array, &list, err);
	if (found <= 0)
		return found;
	*len = node_length(&list);
	*maps = allocate(*len, sizeof(**maps));
	for (size_t i = 0; i < *len; i++) {
		int64_t container = 0, host = 0, size = 0;
		if (node_item(&list, i, json_type_object, &item, err) < 0 ||
		    node_int(&item, "containerID", 0, UINT32_MAX, &container, err) < 0 ||
		    node_int(&item, "hostID", 0, UINT32_MAX, &host, err) < 0 ||
		    node_int(&item, "size", 0, UINT32_MAX, &size, err) < 0)
			return -1;
		if (size == 0)
			return node_fail(&item, err, "size must not be 0");
		(*maps)[i] = (struct id_map){(uint32_t)container, (uint32_t)host, (uint32_t)size};
	}
	return 0;
}

static int parse_time_offsets(struct config *config, struct rootfs_error *err)
{
	static const char *const clocks[] = {"monotonic", "boottime"};
	struct node offsets, clock;
	int found = node_get(&config->linux_, "timeOffsets", json_type_object, &offsets, err);
	if (found <= 0)
		return found;
	json_object_object_foreach(offsets.value, key, value)
	{
		(void)value;
		if (strcmp(key, clocks[0]) != 0 && strcmp(key, clocks[1]) != 0)
			return node_fail(&offsets, err, "unknown clock \"%s\"", key);
	}
	char *text = format_text("%s", "");
	for (size_t i = 0; i < 2; i++) {
		int64_t seconds = 0, nanoseconds = 0;
		found = node_get(&offsets, clocks[i], json_type_object, &clock, err);
		if (found < 0 || (found && (node_int(&clock, "secs", INT64_MIN, INT64_MAX, &seconds, err) < 0 ||
					    node_int(&clock, "nanosecs", 0, 999999999, &nanoseconds, err) < 0)))
			return -1;
		if (!found)
			continue;
		char *longer = format_text("%s%s %lld %lld\n", text, clocks[i], (long long)seconds, (long long)nanoseconds);
		free(text);
		text = longer;
	}
	config->time_offsets = text;
	if (*text != '\0' && !config_new_ns(config, NS_TIME))
		return node_fail(&offsets, err, "offsets need a new time namespace");
	return 0;
}

/* Whether "mounts" has nothing for look_at_mounts: nothing is mapped here, neither the container's ids nor those of a mount. The
 * library reads the same document, and json-c would take 2 us and 1.3 KB for each mount, for nothing. */
static bool leave_out_mounts(const struct config *config, struct span *mounts)
{
	const char *text = config->text;
	return json_find_array(text, config->len, "mounts", mounts) &&
	       memmem(text, config->len, "Mappings", strlen("Mappings")) == NULL &&
	       memmem(text, config->len, "idmap", strlen("idmap")) == NULL &&
	       memchr(text + mounts->start, '\\', mounts->end - mounts->start) == NULL; /* no name is spelt in another way */
}

/* Only what decides whether mount sources are to be opened by the parent; the rest of "mounts" is the library's. */
static int look_at_mounts(struct config *config, struct rootfs_error *err)
{
	struct node mounts;
	int found = node_get(&config->json, "mounts", json_type_array, &mounts, err);
	if (found <= 0)
		return found;
	for (size_t i = 0; i < node_length(&mounts); i++) {
		struct node mount, unused;
		const char *type = "";
		char **options = NULL;
		if (node_item(&mounts, i, json_type_object, &mount, err) < 0 ||
		    node_string(&mount, "type", &type, err) < 0 || node_strings(&mount, "options", &options, err) < 0)
			return -1;
		config->has_binds |= strcmp(type, "bind") == 0;
		config->has_id_mapped_mount |= node_get(&mount, "uidMappings", json_type_array, &unused, err) > 0;
		for (char **o = options; o != NULL && *o != NULL; o++) {
			config->has_binds |= strcmp(*o, "bind") == 0 || strcmp(*o, "rbind") == 0;
			config->has_id_mapped_mount |= strcmp(*o, "idmap") == 0 || strcmp(*o, "ridmap") == 0;
		}
		free(options);
	}
	return 0;
}

static int parse_linux(struct config *config, struct rootfs_error *err)
{
	struct node unused;
	const struct node *at = &config->linux_;
	if (parse_namespaces(config, err) < 0 ||
	    parse_id_maps(at, "uidMappings", &config->uid_map, &config->uid_map_len, err) < 0 ||
	    parse_id_maps(at, "gidMappings", &config->gid_map, &config->gid_map_len, err) < 0 ||
	    parse_time_offsets(config, err) < 0 || node_string(at, "cgroupsPath", &config->cgroup_path, err) < 0)
		return -1;
	int resources = node_get(at, "resources", json_type_object, &config->resources, err);
	int seccomp = node_get(at, "seccomp", json_type_object, &config->seccomp, err);
	if (resources < 0 || seccomp < 0)
		return -1;
	config->has_resources = resources > 0;
	config->has_seccomp = seccomp > 0;
	if (node_get(at, "intelRdt", json_type_object, &unused, err) > 0)
		log_warn("/linux/intelRdt: not applied: minictr does not do resctrl");
	if (node_get(at, "personality", json_type_object, &unused, err) > 0)
		return fail_at(err, "/linux/personality", "minictr does not do personalities");
	return namespaces_check(config, err);
}

static int check_version(struct config *config, struct rootfs_error *err)
{
	const char *version = NULL;
	unsigned major, minor;
	int found = node_string(&config->json, "ociVersion", &version, err);
	if (found < 0)
		return -1;
	if (!found)
		return fail_at(err, "/ociVersion", "is missing");
	/* SemVer: any 1.x reads as 1.0 does, plus members that we may not know. */
	if (sscanf(version, "%u.%u.", &major, &minor) != 2 || major != 1)
		return fail_at(err, "/ociVersion", "version \"%s\" is not supported, only 1.x", version);
	return 0;
}

int config_load(struct config *config, int dir, const char *path, struct rootfs_error *err)
{
	struct node root;
	struct span mounts;
	memset(config, 0, sizeof(*config));
	config->text = read_file(dir, path, &config->len, err);
	if (config->text == NULL)
		return -1;
	config->json.value =
		json_parse(path, config->text, config->len, leave_out_mounts(config, &mounts) ? &mounts : NULL, err);
	if (config->json.value == NULL || check_version(config, err) < 0)
		return -1;

	const struct node *at = &config->json;
	struct node process;
	int found = node_get(at, "process", json_type_object, &process, err);
	if (found < 0 || (found && process_parse(&process, &config->process, err) < 0))
		return -1;
	config->has_process = found;

	found = node_get(at, "root", json_type_object, &root, err);
	if (found < 0 || (found && node_string(&root, "path", &config->rootfs, err) < 0))
		return -1;
	if (config->rootfs == NULL || *config->rootfs == '\0')
		return fail_at(err, "/root/path", "is missing");

	int hooks = node_get(at, "hooks", json_type_object, &config->hooks, err);
	int annotations = node_get(at, "annotations", json_type_object, &config->annotations, err);
	int lin = node_get(at, "linux", json_type_object, &config->linux_, err);
	if (hooks < 0 || annotations < 0 || lin < 0)
		return -1;
	config->has_hooks = hooks > 0;
	config->has_annotations = annotations > 0;
	config->has_linux = lin > 0;
	if (node_string(at, "hostname", &config->hostname, err) < 0 ||
	    node_string(at, "domainname", &config->domainname, err) < 0 || look_at_mounts(config, err) < 0)
		return -1;
	if ((lin > 0 && parse_linux(config, err) < 0) || hooks_check(config, err) < 0)
		return -1;
	if ((config->hostname || config->domainname) && !config->ns[NS_UTS].present)
		return fail_at(err, config->hostname ? "/hostname" : "/domainname", "needs a uts namespace");
	return 0;
}
