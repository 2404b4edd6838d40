/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

int fail(struct rootfs_error *error, int code, int errnum, const char *operation, const char *format, ...)
{
	va_list args;

	memset(error, 0, sizeof *error);
	error->size = sizeof *error;
	error->code = code;
	error->errnum = errnum;
	snprintf(error->operation, sizeof error->operation, "%s", operation);
	va_start(args, format);
	vsnprintf(error->message, sizeof error->message, format, args);
	va_end(args);
	return code;
}

/* A caller's struct is at least the fixed head and at most what one write to a pipe carries whole. */
#define LEAST offsetof(struct rootfs_error, operation)
#define MOST 4096

int error_size_ok(const struct rootfs_error *to)
{
	return !to || (to->size >= LEAST && to->size <= MOST);
}

/* Copies as much as the caller's struct holds. A string that its end cuts keeps a NUL, and no half of a character. */
void error_give(struct rootfs_error *to, const struct rootfs_error *from)
{
	static const size_t starts[] = { offsetof(struct rootfs_error, operation), offsetof(struct rootfs_error, pointer),
					 offsetof(struct rootfs_error, message), sizeof(struct rootfs_error) };
	char *bytes = (char *)to;
	uint32_t size;

	if (!to)
		return;
	size = to->size;
	if (size > sizeof *from)
		memset(bytes + sizeof *from, 0, size - sizeof *from);
	memcpy(to, from, size < sizeof *from ? size : sizeof *from);
	to->size = size;
	for (int i = 0; i < 3; i++) {
		size_t end;

		if (size <= starts[i] || size >= starts[i + 1])
			continue;
		end = size - 1;
		while (end > starts[i] && ((unsigned char)bytes[end] & 0xC0) == 0x80)
			end--;
		bytes[end] = 0;
	}
}
