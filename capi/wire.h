/* SPDX-License-Identifier: Apache-2.0
 *
 * What librootfs.so and rootfs-helper tell each other, in two files in memory: no order of reads and writes can make either
 * wait for the other. Both are of one build, so the structs are as the compiler lays them out. */
#ifndef ROOTFS_WIRE_H
#define ROOTFS_WIRE_H

#include "build.h"
#include "engine.h"

/* The helper's descriptors. */
#define WIRE_REQUEST 3 /* file: struct wire_request, config, options */
#define WIRE_REPLY   4 /* file: struct wire_reply, text, the sources' mount indices as struct rootfs_source */
#define WIRE_FDS     5 /* socket: the sources' descriptors in order, by SCM_RIGHTS, WIRE_BATCH a message */
#define WIRE_USERNS  6

#define WIRE_BATCH 250 /* the kernel takes up to 253 */

struct wire_request {
	char build[sizeof ROOTFS_BUILD];
	uint32_t op;
	int32_t has_request, has_options, has_userns, has_root; /* root: as a descriptor, which the helper does not need */
	uint64_t config_len, options_len, sources_room;
};

struct wire_reply {
	int32_t done; /* 1: what follows is valid */
	int32_t code;
	uint64_t text_len, sources_count;
	struct rootfs_error error;
};

#endif
