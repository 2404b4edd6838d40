/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed access to a JSON document. json-c gives a default where a member has another type; an OCI runtime is to
 * refuse such a document instead, and to say where.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A document is a few kilobytes; what is larger than this was not written by an engine. */
#define DOCUMENT_MAX (16 << 20)

char *read_file(int dir, const char *path, size_t *len, struct rootfs_error *err)
{
	struct stat st;
	/* O_NONBLOCK: a fifo put in the place of config.json must not hang us. */
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		fail_errno(err, "open", "%s", path);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > DOCUMENT_MAX) {
		close(fd);
		fail(err, ROOTFS_ERR_INVALID, 0, "open", "%s: not a regular file of at most %d bytes", path, DOCUMENT_MAX);
		return NULL;
	}
	char *text = allocate((size_t)st.st_size + 1, 1);
	size_t used = 0;
	while (used < (size_t)st.st_size) {
		ssize_t n = read(fd, text + used, (size_t)st.st_size - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fail_errno(err, "read", "%s", path);
			free(text);
			text = NULL;
			break;
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	close(fd);
	*len = used;
	return text;
}

/* The quote that ends a string, or len. One that is part of it has an odd number of backslashes before it. */
static size_t string_end(const char *text, size_t from, size_t len)
{
	for (size_t i = from; i < len; i++) {
		const char *quote = memchr(text + i, '"', len - i);
		if (quote == NULL)
			break;
		i = (size_t)(quote - text);
		size_t slashes = 0;
		while (i - slashes > from && text[i - slashes - 1] == '\\')
			slashes++;
		if (slashes % 2 == 0)
			return i;
	}
	return len;
}

bool json_find_array(const char *text, size_t len, const char *key, struct span *out)
{
	size_t depth = 0, key_len = strlen(key);
	bool named = false, found = false;
	for (size_t i = 0; i < len; i++) {
		size_t from = i + 1;
		switch (text[i]) {
		case '"':
			i = string_end(text, from, len);
			named = depth == 1 && i < len && i - from == key_len && memcmp(text + from, key, key_len) == 0;
			break;
		case ',':
			named = false;
			break;
		case '[':
		case '{':
			if (depth++ == 1 && named && text[i] == '[') {
				out->start = i;
				found = true;
			}
			break;
		case ']':
		case '}':
			out->end = i + 1;
			if (depth == 0 || (--depth == 1 && found))
				return found;
		}
	}
	return false;
}

struct json_object *json_parse(const char *what, const char *text, size_t len, const struct span *without,
			       struct rootfs_error *err)
{
	struct span gap = without ? *without : (struct span){len, len};
	const struct span pieces[] = {{0, gap.start}, {0, 0}, {gap.end, len}};
	struct json_tokener *tokener = json_tokener_new_ex(64);
	if (tokener == NULL || len > DOCUMENT_MAX) {
		fail(err, ROOTFS_ERR_INVALID, tokener ? 0 : ENOMEM, "parse", "%s: too large", what);
		return NULL;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	struct json_object *value = NULL;
	enum json_tokener_error code = json_tokener_continue;
	size_t end = 0;
	for (int i = 0; i < (without ? 3 : 1) && code == json_tokener_continue; i++) {
		const struct span *p = &pieces[i];
		value = i == 1 ? json_tokener_parse_ex(tokener, "[]", 2) :
				 json_tokener_parse_ex(tokener, text + p->start, (int)(p->end - p->start));
		code = json_tokener_get_error(tokener);
		end = p->start + json_tokener_get_parse_end(tokener);
	}
	json_tokener_free(tokener);
	if (code == json_tokener_success)
		while (end < len && strchr(" \t\r\n", text[end]) != NULL && text[end] != '\0')
			end++;
	if (code != json_tokener_success || end < len) {
		const char *why = code == json_tokener_success ? "something follows the document" :
				  code == json_tokener_continue ? "the document ends too early" :
								  json_tokener_error_desc(code);
		fail(err, ROOTFS_ERR_INVALID, 0, "parse", "%s: not JSON: %s at byte %zu", what, why, end);
		json_object_put(value);
		return NULL;
	}
	if (!json_object_is_type(value, json_type_object)) {
		fail(err, ROOTFS_ERR_INVALID, 0, "parse", "%s: not a JSON object", what);
		json_object_put(value);
		return NULL;
	}
	return value;
}

static void spell(const struct node *at, char *out, size_t size)
{
	if (at == NULL || at->parent == NULL) {
		out[0] = '\0';
		return;
	}
	spell(at->parent, out, size);
	size_t used = strlen(out);
	if (at->key == NULL)
		snprintf(out + used, size - used, "/%zu", at->index);
	else
		snprintf(out + used, size - used, "/%s", at->key);
}

int node_fail(const struct node *at, struct rootfs_error *err, const char *format, ...)
{
	char pointer[sizeof(err->pointer)], text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	spell(at, pointer, sizeof(pointer));
	return fail_at(err, pointer, "%s", text);
}

static int check_type(const struct node *at, enum json_type type, struct rootfs_error *err)
{
	enum json_type is = json_object_get_type(at->value);
	if (is != type)
		return node_fail(at, err, "is of type %s, must be %s", json_type_to_name(is), json_type_to_name(type));
	/* A NUL inside would silently shorten a path or an argument. */
	if (type == json_type_string &&
	    strlen(json_object_get_string(at->value)) != (size_t)json_object_get_string_len(at->value))
		return node_fail(at, err, "contains a NUL character");
	return 1;
}

int node_get(const struct node *at, const char *key, enum json_type type, struct node *out, struct rootfs_error *err)
{
	struct json_object *value;
	if (!json_object_object_get_ex(at->value, key, &value) || value == NULL)
		return 0;
	*out = (struct node){value, at, key, 0};
	return check_type(out, type, err);
}

int node_item(const struct node *at, size_t index, enum json_type type, struct node *out, struct rootfs_error *err)
{
	*out = (struct node){json_object_array_get_idx(at->value, index), at, NULL, index};
	return check_type(out, type, err);
}

size_t node_length(const struct node *array)
{
	return json_object_array_length(array->value);
}

int node_string(const struct node *at, const char *key, const char **out, struct rootfs_error *err)
{
	struct node member;
	int found = node_get(at, key, json_type_string, &member, err);
	if (found > 0)
		*out = json_object_get_string(member.value);
	return found;
}

int node_bool(const struct node *at, const char *key, bool *out, struct rootfs_error *err)
{
	struct node member;
	int found = node_get(at, key, json_type_boolean, &member, err);
	if (found > 0)
		*out = json_object_get_boolean(member.value);
	return found;
}

int node_int(const struct node *at, const char *key, int64_t min, int64_t max, int64_t *out, struct rootfs_error *err)
{
	struct node member;
	int found = node_get(at, key, json_type_int, &member, err);
	if (found <= 0)
		return found;
	/* json-c clamps what does not fit 64 bits to the ends of the type, which no field reaches by right. */
	int64_t value = json_object_get_int64(member.value);
	if (value < min || value > max)
		return node_fail(&member, err, "%lld is not between %lld and %lld", (long long)value, (long long)min,
				 (long long)max);
	*out = value;
	return 1;
}

int node_u64(const struct node *at, const char *key, uint64_t *out, struct rootfs_error *err)
{
	struct node member;
	int found = node_get(at, key, json_type_int, &member, err);
	if (found <= 0)
		return found;
	if (json_object_get_int64(member.value) < 0)
		return node_fail(&member, err, "must not be negative");
	*out = json_object_get_uint64(member.value);
	return 1;
}

int node_strings(const struct node *at, const char *key, char ***out, struct rootfs_error *err)
{
	struct node array, item;
	int found = node_get(at, key, json_type_array, &array, err);
	*out = NULL;
	if (found <= 0)
		return found;
	size_t len = node_length(&array);
	char **strings = allocate(len + 1, sizeof(*strings));
	for (size_t i = 0; i < len; i++) {
		if (node_item(&array, i, json_type_string, &item, err) < 0) {
			free(strings);
			return -1;
		}
		strings[i] = (char *)json_object_get_string(item.value);
	}
	*out = strings;
	return 1;
}
