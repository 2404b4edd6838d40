/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's build id as an ELF note, so that a file can be judged without running any of its code. */
#ifndef ROOTFS_NOTE_H
#define ROOTFS_NOTE_H

#include "build.h"
#include "engine.h"

struct build_note {
	uint32_t name_size, text_size, type;
	char name[20]; /* the name and its NUL, padded to 4 */
	char text[68]; /* the build id, NUL, padding */
};

#define BUILD_NOTE                                                                                              \
	__attribute__((section(".note.librootfs"), used, aligned(4))) static const struct build_note build_note = { \
		sizeof ENGINE_NOTE_NAME, sizeof ROOTFS_BUILD, ENGINE_NOTE_TYPE, ENGINE_NOTE_NAME, ROOTFS_BUILD      \
	}

#endif
