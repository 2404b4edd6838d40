/* SPDX-License-Identifier: Apache-2.0
 *
 * linux.seccomp, compiled by libseccomp in the parent before anything is created: a profile that cannot be had is an early
 * error, and the child has only one system call to make.
 */
#include "minictr.h"

#include <ctype.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int action_of(const struct node *at, const char *key, const char *errno_key, uint32_t *out,
		     struct rootfs_error *err)
{
	const char *name = NULL;
	int64_t number = EPERM;
	int found = node_string(at, key, &name, err);
	if (found < 0 || node_int(at, errno_key, 0, 4095, &number, err) < 0)
		return -1;
	const struct {
		const char *name;
		uint32_t action;
	} actions[] = {
		{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
		{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO((uint32_t)number)},
		{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
		{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
		{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
		{"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
		{"SCMP_ACT_LOG", SCMP_ACT_LOG},
		{"SCMP_ACT_TRACE", SCMP_ACT_TRACE((uint32_t)number)},
	};
	for (size_t i = 0; found && i < sizeof(actions) / sizeof(*actions); i++)
		if (strcmp(actions[i].name, name) == 0) {
			*out = actions[i].action;
			return 0;
		}
	if (found && strcmp(name, "SCMP_ACT_NOTIFY") == 0)
		return node_fail(at, err, "SCMP_ACT_NOTIFY: minictr has no seccomp agent to notify");
	return node_fail(at, err, "%s: unknown action \"%s\"", key, found ? name : "");
}

static int compare_of(const struct node *at, struct scmp_arg_cmp *out, struct rootfs_error *err)
{
	static const struct {
		const char *name;
		enum scmp_compare op;
	} ops[] = {
		{"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_LT", SCMP_CMP_LT}, {"SCMP_CMP_LE", SCMP_CMP_LE},
		{"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
		{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
	};
	int64_t index = 0;
	uint64_t value = 0, second = 0;
	const char *op = "";
	if (node_int(at, "index", 0, 5, &index, err) < 0 || node_u64(at, "value", &value, err) < 0 ||
	    node_u64(at, "valueTwo", &second, err) < 0 || node_string(at, "op", &op, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (strcmp(ops[i].name, op) == 0) {
			*out = (struct scmp_arg_cmp){(unsigned)index, ops[i].op, value, second};
			return 0;
		}
	return node_fail(at, err, "unknown comparison \"%s\"", op);
}

static int add_rules(scmp_filter_ctx filter, const struct node *rule, uint32_t default_action, struct rootfs_error *err)
{
	struct node args, item;
	struct scmp_arg_cmp compare[6];
	size_t compare_len = 0, of_index[6] = {0};
	bool any = false; /* two conditions on one argument mean "either", which libseccomp says with two rules */
	char **names;
	uint32_t action;
	int found = node_strings(rule, "names", &names, err);
	if (found < 0 || action_of(rule, "action", "errnoRet", &action, err) < 0)
		return -1;
	if (!found)
		return node_fail(rule, err, "names is missing");
	found = node_get(rule, "args", json_type_array, &args, err);
	if (found < 0)
		return -1;
	for (size_t i = 0; found && i < node_length(&args); i++) {
		if (compare_len == 6)
			return node_fail(&args, err, "more than six conditions");
		if (node_item(&args, i, json_type_object, &item, err) < 0 ||
		    compare_of(&item, &compare[compare_len], err) < 0)
			return -1;
		any |= ++of_index[compare[compare_len++].arg] > 1;
	}
	for (char **name = names; *name != NULL && action != default_action; name++) {
		int number = seccomp_syscall_resolve_name(*name), result = 0;
		if (number == __NR_SCMP_ERROR)
			continue; /* of another architecture, or newer than libseccomp: profiles list them all */
		if (!any)
			result = seccomp_rule_add_array(filter, action, number, (unsigned)compare_len, compare);
		for (size_t i = 0; any && result == 0 && i < compare_len; i++)
			result = seccomp_rule_add_array(filter, action, number, 1, &compare[i]);
		if (result < 0)
			return node_fail(rule, err, "%s: %s", *name, strerror(-result));
	}
	free(names);
	return 0;
}

static int add_architectures(scmp_filter_ctx filter, const struct config *config, struct rootfs_error *err)
{
	char **names;
	if (node_strings(&config->seccomp, "architectures", &names, err) <= 0)
		return names == NULL ? (err->code ? -1 : 0) : 0;
	for (char **name = names; *name != NULL; name++) {
		char lower[32] = {0};
		size_t prefix = strncmp(*name, "SCMP_ARCH_", 10) == 0 ? 10 : 0;
		for (size_t i = 0; (*name)[prefix + i] != '\0' && i + 1 < sizeof(lower); i++)
			lower[i] = (char)tolower((unsigned char)(*name)[prefix + i]);
		uint32_t arch = seccomp_arch_resolve_name(lower);
		if (arch == 0)
			return node_fail(&config->seccomp, err, "architectures: unknown \"%s\"", *name);
		int result = seccomp_arch_add(filter, arch);
		if (result < 0 && result != -EEXIST)
			return node_fail(&config->seccomp, err, "architectures: %s: %s", *name, strerror(-result));
	}
	free(names);
	return 0;
}

static int parse_flags(const struct config *config, unsigned *out, struct rootfs_error *err)
{
	static const struct {
		const char *name;
		unsigned flag;
	} flags[] = {
		{"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
		{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{"SECCOMP_FILTER_FLAG_TSYNC", 0}, /* there is one thread: nothing to keep in step */
	};
	char **names;
	int found = node_strings(&config->seccomp, "flags", &names, err);
	for (char **name = names; found > 0 && *name != NULL; name++) {
		size_t i = 0;
		while (i < sizeof(flags) / sizeof(*flags) && strcmp(flags[i].name, *name) != 0)
			i++;
		if (i == sizeof(flags) / sizeof(*flags))
			return node_fail(&config->seccomp, err, "flags: \"%s\" is not supported", *name);
		*out |= flags[i].flag;
	}
	free(names);
	return found < 0 ? -1 : 0;
}

static int export(scmp_filter_ctx filter, struct bpf *out, struct rootfs_error *err)
{
	struct stat st;
	int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "memfd_create", "seccomp filter");
	int result = seccomp_export_bpf(filter, fd);
	if (result < 0 || fstat(fd, &st) < 0) {
		close(fd);
		return fail(err, ROOTFS_ERR_SYSTEM, -result, "seccomp_export_bpf", "seccomp filter");
	}
	out->len = (size_t)st.st_size;
	out->code = allocate(out->len, 1);
	ssize_t n = pread(fd, out->code, out->len, 0);
	close(fd);
	return n == (ssize_t)out->len ? 0 : fail_errno(err, "read", "seccomp filter");
}

int seccomp_compile(const struct config *config, struct bpf *out, struct rootfs_error *err)
{
	struct node list, item;
	const char *listener = NULL;
	uint32_t default_action;
	memset(out, 0, sizeof(*out));
	if (!config->has_seccomp)
		return 0;
	if (node_string(&config->seccomp, "listenerPath", &listener, err) < 0)
		return -1;
	if (listener != NULL && *listener != '\0')
		return fail_at(err, "/linux/seccomp/listenerPath", "minictr does not hand out seccomp listeners");
	if (action_of(&config->seccomp, "defaultAction", "defaultErrnoRet", &default_action, err) < 0 ||
	    parse_flags(config, &out->flags, err) < 0)
		return -1;
	scmp_filter_ctx filter = seccomp_init(default_action);
	if (filter == NULL)
		return fail_at(err, "/linux/seccomp/defaultAction", "libseccomp refuses it");
	/* A binary tree: profiles have hundreds of rules, and each system call of the container walks them. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	int result = add_architectures(filter, config, err);
	int found = result == 0 ? node_get(&config->seccomp, "syscalls", json_type_array, &list, err) : -1;
	for (size_t i = 0; found > 0 && result == 0 && i < node_length(&list); i++)
		result = node_item(&list, i, json_type_object, &item, err) < 0 ?
				 -1 :
				 add_rules(filter, &item, default_action, err);
	if (result == 0 && found >= 0)
		result = export(filter, out, err);
	seccomp_release(filter);
	return found < 0 ? -1 : result;
}

int seccomp_install(const struct bpf *bpf, struct rootfs_error *err)
{
	if (bpf->code == NULL)
		return 0;
	struct sock_fprog program = {(unsigned short)(bpf->len / sizeof(struct sock_filter)), bpf->code};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, bpf->flags, &program) < 0)
		return fail_errno(err, "seccomp", "filter of %u instructions", program.len);
	return 0;
}
