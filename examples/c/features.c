/* SPDX-License-Identifier: Apache-2.0
 *
 * `features`: what rootfs_features says of the root file system, and what minictr adds to it (features.md of the
 * runtime specification).
 */
#include "minictr.h"

#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>

static struct json_object *strings(const char *const *list, size_t len)
{
	struct json_object *array = json_object_new_array();
	for (size_t i = 0; i < len; i++)
		json_object_array_add(array, json_object_new_string(list[i]));
	return array;
}

#define STRINGS(...) strings((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static struct json_object *enabled(bool yes)
{
	struct json_object *object = json_object_new_object();
	json_object_object_add(object, "enabled", json_object_new_boolean(yes));
	return object;
}

static struct json_object *capabilities(void)
{
	struct json_object *array = json_object_new_array();
	for (cap_value_t cap = 0; cap < cap_max_bits(); cap++) {
		char *name = cap_to_name(cap);
		for (char *p = name; p != NULL && *p != '\0'; p++)
			if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 'a' + 'A');
		if (name != NULL)
			json_object_array_add(array, json_object_new_string(name));
		cap_free(name);
	}
	return array;
}

static struct json_object *seccomp_features(void)
{
	struct json_object *object = enabled(true);
	json_object_object_add(object, "actions",
			       STRINGS("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
				       "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"));
	json_object_object_add(object, "operators",
			       STRINGS("SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
				       "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"));
	json_object_object_add(object, "archs",
			       STRINGS("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
				       "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64",
				       "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE",
				       "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_X32",
				       "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"));
	json_object_object_add(object, "knownFlags",
			       STRINGS("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
				       "SECCOMP_FILTER_FLAG_TSYNC"));
	json_object_object_add(object, "supportedFlags",
			       STRINGS("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
				       "SECCOMP_FILTER_FLAG_TSYNC"));
	return object;
}

static struct json_object *cgroup_features(void)
{
	static const char *const no[] = {"systemd", "systemdUser", "rdma"};
	struct json_object *object = json_object_new_object();
	json_object_object_add(object, "v1", json_object_new_boolean(true));
	json_object_object_add(object, "v2", json_object_new_boolean(true));
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		json_object_object_add(object, no[i], json_object_new_boolean(false));
	return object;
}

int command_features(const struct options *o, int argc, char **argv)
{
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	char *text = NULL;
	(void)o;
	(void)argc;
	(void)argv;
	if (rootfs_features(&text, &err) != 0) {
		log_error(&err);
		return 1;
	}
	struct json_object *all = json_parse("features of the library", text, strlen(text), NULL, &err), *lin = NULL;
	rootfs_free(text);
	if (all == NULL) {
		log_error(&err);
		return 1;
	}
	json_object_object_add(all, "hooks", STRINGS("prestart", "createRuntime", "createContainer", "startContainer",
						      "poststart", "poststop"));
	if (!json_object_object_get_ex(all, "linux", &lin)) {
		lin = json_object_new_object();
		json_object_object_add(all, "linux", lin);
	}
	struct json_object *namespaces = json_object_new_array();
	for (int i = 0; i < NS_KINDS; i++)
		json_object_array_add(namespaces, json_object_new_string(ns_types[i].name));
	json_object_object_add(lin, "namespaces", namespaces);
	json_object_object_add(lin, "capabilities", capabilities());
	json_object_object_add(lin, "cgroup", cgroup_features());
	json_object_object_add(lin, "seccomp", seccomp_features());
	json_object_object_add(lin, "apparmor", enabled(true));
	json_object_object_add(lin, "selinux", enabled(true));
	json_object_object_add(lin, "intelRdt", enabled(false));

	struct json_object *annotations = NULL;
	if (!json_object_object_get_ex(all, "annotations", &annotations)) {
		annotations = json_object_new_object();
		json_object_object_add(all, "annotations", annotations);
	}
	const struct scmp_version *libseccomp = seccomp_version();
	char *version = format_text("%u.%u.%u", libseccomp->major, libseccomp->minor, libseccomp->micro);
	json_object_object_add(annotations, "io.github.seccomp.libseccomp.version", json_object_new_string(version));
	json_object_object_add(annotations, "librootfs.minictr.version", json_object_new_string(MINICTR_VERSION));
	free(version);
	puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
	return 0;
}
