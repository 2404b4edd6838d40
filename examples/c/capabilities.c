/* SPDX-License-Identifier: Apache-2.0
 *
 * process.capabilities, by libcap. A capability that the kernel does not know, or that the runtime itself does not
 * have, is reported and left out: config.md wants a warning, not a failure.
 */
#include "minictr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

static const char *const set_names[CAP_SETS] = {"bounding", "effective", "inheritable", "permitted", "ambient"};

int capabilities_parse(const struct node *at, uint64_t caps[CAP_SETS], struct rootfs_error *err)
{
	struct node sets;
	int found = node_get(at, "capabilities", json_type_object, &sets, err);
	if (found <= 0)
		return found; /* none at all, as runc and crun have it */
	for (int set = 0; set < CAP_SETS; set++) {
		char **names;
		if (node_strings(&sets, set_names[set], &names, err) < 0)
			return -1;
		for (char **name = names; name != NULL && *name != NULL; name++) {
			cap_value_t value;
			/* cap_from_name would also take a plain number. */
			if (strncmp(*name, "CAP_", 4) != 0 || cap_from_name(*name, &value) < 0)
				log_warn("/process/capabilities/%s: not applied: unknown capability \"%s\"", set_names[set],
					 *name);
			else
				caps[set] |= 1ULL << value;
		}
		free(names);
	}
	return 0;
}

static uint64_t permitted_now(void)
{
	uint64_t have = 0;
	cap_t own = cap_get_proc();
	for (cap_value_t cap = 0; own != NULL && cap < cap_max_bits(); cap++) {
		cap_flag_value_t value = CAP_CLEAR;
		if (cap_get_flag(own, cap, CAP_PERMITTED, &value) == 0 && value == CAP_SET)
			have |= 1ULL << cap;
	}
	cap_free(own);
	return have;
}

int capabilities_bound(const uint64_t caps[CAP_SETS], struct rootfs_error *err)
{
	for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
		if (!(caps[CAPS_BOUNDING] & (1ULL << cap)) && cap_drop_bound(cap) < 0)
			return fail_errno(err, "prctl", "drop capability %d from the bounding set", cap);
	return 0;
}

static void warn_missing(uint64_t missing)
{
	for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
		if (missing & (1ULL << cap)) {
			char *name = cap_to_name(cap);
			log_warn("/process/capabilities: not applied: minictr itself does not have %s", name ? name : "?");
			cap_free(name);
		}
}

int capabilities_set(const uint64_t caps[CAP_SETS], struct rootfs_error *err)
{
	static const struct {
		enum cap_set set;
		cap_flag_t flag;
	} flags[] = {{CAPS_EFFECTIVE, CAP_EFFECTIVE}, {CAPS_PERMITTED, CAP_PERMITTED}, {CAPS_INHERITABLE, CAP_INHERITABLE}};
	uint64_t have = permitted_now();
	warn_missing((caps[CAPS_EFFECTIVE] | caps[CAPS_PERMITTED] | caps[CAPS_INHERITABLE]) & ~have);

	cap_t own = cap_init();
	for (size_t i = 0; own != NULL && i < sizeof(flags) / sizeof(*flags); i++)
		for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
			if (caps[flags[i].set] & have & (1ULL << cap))
				cap_set_flag(own, flags[i].flag, 1, &cap, CAP_SET);
	int result = own != NULL ? cap_set_proc(own) : -1;
	cap_free(own);
	if (result < 0)
		return fail_errno(err, "capset", "capabilities");
	/* The kernel asks for the permitted and the inheritable bit; one without them is refused, not dropped. */
	uint64_t ambient = caps[CAPS_AMBIENT] & caps[CAPS_PERMITTED] & caps[CAPS_INHERITABLE] & have;
	for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
		if ((ambient & (1ULL << cap)) && cap_set_ambient(cap, CAP_SET) < 0)
			return fail_errno(err, "prctl", "ambient capability %d", cap);
	if (caps[CAPS_AMBIENT] & have & ~ambient)
		log_warn("/process/capabilities/ambient: not applied in part: only what is permitted and inheritable too");
	return 0;
}
