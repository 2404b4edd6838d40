/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the C interface (libFuzzer): the bytes choose the call, the struct sizes and the lengths, and fill the documents.
 * The C library is in this program, with its sanitizers; the engine answers in its helper process. Whatever comes in,
 * a call returns 0 or a ROOTFS_ERR_* with the error filled, gives out text only on success, and leaves no descriptor. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rootfs.h>

#define CHECK(condition) do { if (!(condition)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); abort(); } } while (0)

static int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* What the bytes say beside the documents. */
struct choice {
	uint8_t call, size_of_request, size_of_error, flags, split;
};

/* Sizes around the real one: smaller, equal, larger with and without something unknown in it. */
static uint32_t pick_size(uint8_t how, uint32_t real, uint32_t room)
{
	switch (how % 6) {
	case 0: return 0;
	case 1: return real - 8;
	case 2: return real + 8 < room ? real + 8 : real;
	case 3: return (uint32_t)how * 257;
	default: return real;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct { struct rootfs_request request; uint8_t more[64]; } in = { ROOTFS_REQUEST_INIT, { 0 } };
	struct { struct rootfs_error error; uint8_t more[64]; } out = { ROOTFS_ERROR_INIT, { 0 } };
	struct rootfs_error *err = &out.error;
	struct rootfs_source sources[4];
	size_t count = 4;
	struct choice choice;
	char *text = NULL;
	int code, before = descriptors();

	if (size < sizeof choice)
		return 0;
	memcpy(&choice, data, sizeof choice);
	data += sizeof choice;
	size -= sizeof choice;
	in.request.config = (const char *)data;
	in.request.config_len = size * choice.split / 255;
	if (choice.flags & 1) {
		in.request.options = (const char *)data + in.request.config_len;
		in.request.options_len = size - in.request.config_len;
	}
	if (choice.flags & 2)
		in.more[choice.split % sizeof in.more] = choice.flags;
	if (choice.flags & 4)
		err = NULL;
	if (choice.flags & 8)
		in.request.config = NULL;
	in.request.size = pick_size(choice.size_of_request, sizeof in.request, sizeof in);
	if (in.request.size > sizeof in && in.request.size <= 65536)
		in.request.size = sizeof in; /* no more than that is ours */
	out.error.size = pick_size(choice.size_of_error, sizeof out.error, sizeof out);
	if (out.error.size > sizeof out && out.error.size <= 65536)
		out.error.size = sizeof out;
	switch (choice.call % 5) {
	case 0: code = rootfs_plan(&in.request, &text, err); break;
	case 1: code = rootfs_open_sources(&in.request, -1, sources, &count, err); break;
	case 2: code = rootfs_plan(choice.flags & 16 ? NULL : &in.request, choice.flags & 32 ? NULL : &text, err); break;
	default: code = rootfs_validate(&in.request, err); break;
	}
	CHECK(code >= 0 && code < ROOTFS_ERR_INTERNAL); /* that would be a defect */
	CHECK(code == 0 || text == NULL);
	if (code && err && out.error.size == sizeof out.error) {
		CHECK(out.error.code == code && out.error.message[0]);
		CHECK(memchr(out.error.message, 0, sizeof out.error.message) && memchr(out.error.pointer, 0, sizeof out.error.pointer));
	}
	rootfs_free(text);
	if (choice.call % 5 == 1 && code == 0) {
		for (size_t i = 0; i < count; i++)
			CHECK(sources[i].fd > 2);
		while (count--)
			fclose(fdopen(sources[count].fd, "r"));
	}
	CHECK(descriptors() == before);
	return 0;
}
