/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by cgroup.c (where a container's cgroups are, who is in them) and cgroup_limits.c (what they limit).
 */
#ifndef MINICTR_CGROUP_H
#define MINICTR_CGROUP_H

#include "minictr.h"

#define HIERARCHIES_MAX 24

/* One mounted hierarchy: on v2 there is one with all controllers, on v1 one for each set of controllers, and where both
 * are there ("hybrid") the v2 one has no controllers and only counts processes. */
struct hierarchy {
	char *mount;
	char *controllers; /* "cpu,cpuacct"; "" for v2, "name=systemd" for systemd's own */
	bool v2;
};

size_t hierarchies(struct hierarchy list[HIERARCHIES_MAX]);
bool has_controller(const struct hierarchy *h, const char *name);
char *cgroup_directory(const struct hierarchy *h, const struct container *c);
/* true when resources ask for something that has to hold, which a missing cgroup would break */
bool limits_asked(const struct container *c);
void limits_report_unapplied(const struct container *c);

#endif
