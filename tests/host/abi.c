/* Structs of other versions, wrong sizes, wrong arguments, strings at their limits. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host.h"

#define BAD "{ \"root\": { \"path\": \"/nowhere\" }, \"mounts\": [ { \"destination\": 5 } ] }"

static void bad_request(struct rootfs_request *request)
{
	*request = (struct rootfs_request)ROOTFS_REQUEST_INIT;
	request->config = BAD;
	request->config_len = strlen(BAD);
}

/* n bytes that end where memory ends: a write past them is a fault. */
static void *at_the_edge(size_t n)
{
	char *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED && !mprotect(p + 8192, 8192, PROT_NONE), "mmap");
	return p + 8192 - n;
}

static void error_sizes(void)
{
	struct rootfs_request request;
	static const uint32_t good[] = { 16, 17, 40, 79, 80, 81, 591, 592, 593, 600, 700, 3660, sizeof(struct rootfs_error) },
			      wrong[] = { 0, 1, 15, 4097, 100000, 0xffffffff };

	bad_request(&request);
	WORKS(!rootfs_validate(&request, &error));
	CHECK(error.code == ROOTFS_ERR_INVALID && !strcmp(error.pointer, "/mounts/0/destination"), "%s: %s", error.pointer, error.message);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		uint32_t size = good[i];
		struct rootfs_error *small = at_the_edge((size + 7) & ~7U);

		memset(small, 0x55, size);
		small->size = size;
		CHECK(rootfs_validate(&request, small) == ROOTFS_ERR_INVALID, "size %u", size);
		CHECK(small->size == size && small->code == ROOTFS_ERR_INVALID, "size %u became %u, code %d", size, small->size, small->code);
		if (size > 16)
			CHECK(memchr(small->operation, 0, size - 16 < 64 ? size - 16 : 64), "operation has no end at size %u", size);
		if (size > 80)
			CHECK(memchr(small->pointer, 0, size - 80 < 512 ? size - 80 : 512), "pointer has no end at size %u", size);
		if (size > 592)
			CHECK(memchr(small->message, 0, size - 592), "message has no end at size %u", size);
		if (size > 110)
			CHECK(!strcmp(small->pointer, error.pointer), "pointer %s at size %u", small->pointer, size);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct rootfs_error odd;

		memset(&odd, 0x55, sizeof odd);
		odd.size = wrong[i];
		CHECK(rootfs_validate(&request, &odd) == ROOTFS_ERR_INVALID && odd.code == 0x55555555, "size %u was written to", wrong[i]);
		CHECK(rootfs_start(&odd) == ROOTFS_ERR_INVALID && rootfs_finalize(&odd) == ROOTFS_ERR_INVALID, "size %u", wrong[i]);
	}
	CHECK(rootfs_validate(&request, NULL) == ROOTFS_ERR_INVALID, "err NULL");
}

static void newer_error(void)
{
	struct { struct rootfs_error known; char later[256]; } newer;
	struct rootfs_request request;

	bad_request(&request);
	memset(&newer, 0x55, sizeof newer);
	newer.known.size = sizeof newer;
	CHECK(rootfs_validate(&request, &newer.known) == ROOTFS_ERR_INVALID, "code");
	CHECK(newer.known.size == sizeof newer && newer.known.code == ROOTFS_ERR_INVALID, "size %u", newer.known.size);
	for (size_t i = 0; i < sizeof newer.later; i++)
		CHECK(!newer.later[i], "byte %zu of what is unknown is not 0", i);
}

static void request_sizes(void)
{
	struct { struct rootfs_request known; char later[64]; } newer;
	struct rootfs_request request, *small = at_the_edge(24);

	small_request(&request);
	memcpy(small, &request, 24); /* size, reserved, config, config_len: all that a first version had */
	small->size = 24;
	WORKS(rootfs_validate(small, &error));
	memset(&newer, 0, sizeof newer);
	newer.known = request;
	newer.known.size = sizeof newer;
	WORKS(rootfs_validate(&newer.known, &error));
	newer.later[9] = 1;
	REFUSED(rootfs_validate(&newer.known, &error), ROOTFS_ERR_INVALID, "does not know");
	for (uint32_t size = 0; size < 24; size++) {
		request.size = size;
		REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_INVALID, "_INIT");
	}
	request.size = 0x7fffffff;
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_INVALID, "_INIT");
}

static void wrong_arguments(void)
{
	struct rootfs_request request;
	size_t count = 4;
	char *text;

	REFUSED(rootfs_validate(NULL, &error), ROOTFS_ERR_INVALID, "NULL");
	REFUSED(rootfs_prepare(NULL, &error), ROOTFS_ERR_INVALID, "NULL");
	REFUSED(rootfs_plan(NULL, &text, &error), ROOTFS_ERR_INVALID, "NULL");
	REFUSED(rootfs_features(NULL, &error), ROOTFS_ERR_INVALID, "NULL");
	REFUSED(rootfs_console(NULL, NULL, &error), ROOTFS_ERR_INVALID, "NULL");
	small_request(&request);
	REFUSED(rootfs_open_sources(&request, -1, NULL, &count, &error), ROOTFS_ERR_INVALID, "NULL");
	CHECK(count == 0, "count is %zu after an error", count);
	REFUSED(rootfs_open_sources(&request, -1, NULL, NULL, &error), ROOTFS_ERR_INVALID, "NULL");
	request.config = NULL;
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_INVALID, "config is NULL");
	request.config_len = 0;
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_INVALID, "");
	small_request(&request);
	request.config_len = (size_t)-1;
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_INVALID, "length");
	small_request(&request);
	request.options_len = 3;
	REFUSED(rootfs_validate(&request, &error), ROOTFS_ERR_INVALID, "options is NULL");
	small_request(&request);
	request.sources_len = 3;
	REFUSED(rootfs_prepare(&request, &error), ROOTFS_ERR_INVALID, "sources is NULL");
	rootfs_free(NULL);
	CHECK(count_tasks() == 1, "an argument error started the engine");
}

static int is_utf8(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		int more = *p < 0x80 ? 0 : *p >= 0xC2 && *p < 0xE0 ? 1 : *p >= 0xE0 && *p < 0xF0 ? 2 : *p >= 0xF0 && *p < 0xF5 ? 3 : -1;

		if (more < 0)
			return 0;
		for (p++; more; more--, p++)
			if ((*p & 0xC0) != 0x80)
				return 0;
	}
	return 1;
}

/* A message longer than its room is cut between characters, wherever the end falls. */
static void long_messages(void)
{
	static char config[40000];
	struct rootfs_request request = ROOTFS_REQUEST_INIT;

	for (int shift = 0; shift < 4; shift++) {
		int n = snprintf(config, sizeof config, "{ \"root\": { \"path\": \"/%.*s", shift, "aaaa");

		for (int i = 0; i < 2000; i++)
			n += snprintf(config + n, sizeof config - (size_t)n, "\xe2\x82\xac\xf0\x9f\x90\xa7");
		snprintf(config + n, sizeof config - (size_t)n, "\" } }");
		request.config = config;
		request.config_len = strlen(config);
		CHECK(rootfs_validate(&request, &error) != 0, "a path of 14 KB was found");
		CHECK(is_utf8(error.message) && is_utf8(error.pointer), "half a character at shift %d", shift);
	}
}

/* The same at the boundary that the caller's size sets, without a process for each. */
static void cut_by_size(void)
{
	struct rootfs_request request = ROOTFS_REQUEST_INIT;

	request.config = "{ \"root\": { \"path\": \"/nowhere/\xe2\x82\xac\xf0\x9f\x90\xa7\xe2\x82\xac\xf0\x9f\x90\xa7\" } }";
	request.config_len = strlen(request.config);
	CHECK(rootfs_validate(&request, &error) != 0 && strstr(error.message, "\xf0\x9f\x90\xa7"), "%s", error.message);
	for (uint32_t size = 593; size < 592 + strlen(error.message) + 2; size += 3) {
		struct rootfs_error small = { .size = size };

		CHECK(rootfs_validate(&request, &small) != 0, "validated");
		CHECK(is_utf8(small.message) && strlen(small.message) < size - 592, "size %u: %s", size, small.message);
		CHECK(!strncmp(small.message, error.message, strlen(small.message)), "size %u: %s", size, small.message);
	}
}

static void version(void)
{
	char text[32];

	snprintf(text, sizeof text, "%d.%d.%d", ROOTFS_VERSION_MAJOR, ROOTFS_VERSION_MINOR, ROOTFS_VERSION_PATCH);
	CHECK(!strcmp(text, rootfs_version()), "%s", rootfs_version());
	CHECK(sizeof(struct rootfs_error) < 4096 && offsetof(struct rootfs_error, message) == 592, "layout of the error");
	CHECK(offsetof(struct rootfs_request, options) == 24 && sizeof(struct rootfs_request) == 80, "layout of the request");
	CHECK(count_tasks() == 1, "rootfs_version started a thread");
}

const struct test_case abi_cases[] = {
	{ "abi: errors of other sizes", error_sizes },
	{ "abi: an error of a newer header", newer_error },
	{ "abi: requests of other sizes", request_sizes },
	{ "abi: wrong arguments", wrong_arguments },
	{ "abi: long messages are cut between characters", long_messages },
	{ "abi: messages cut by the caller's size likewise", cut_by_size },
	{ "abi: version and layout", version },
	{ NULL, NULL },
};
