/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors and warnings. People read them on stderr; engines read --log, where podman and containerd want one JSON object
 * a line. The log's descriptor is inherited by the init child, so that it too can warn.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int log_fd = -1;
static bool log_is_json;

static void fill(struct rootfs_error *err, int code, int errnum, const char *operation, const char *pointer,
		 const char *format, va_list args)
{
	char text[sizeof(err->message)];
	if (err == NULL)
		return;
	vsnprintf(text, sizeof(text), format, args); /* may read err's own message: that is how context is added */
	err->size = sizeof(*err);
	err->code = code;
	err->errnum = errnum;
	snprintf(err->operation, sizeof(err->operation), "%s", operation);
	snprintf(err->pointer, sizeof(err->pointer), "%s", pointer);
	/* As the library writes them: "/process/cwd: chdir(/x): no such file or directory". */
	bool system = code == ROOTFS_ERR_SYSTEM && errnum != 0;
	snprintf(err->message, sizeof(err->message), "%s%s%s%s%.2000s%s%s%s", pointer, *pointer ? ": " : "",
		 system ? operation : "", system ? "(" : "", text, system ? ")" : "", errnum ? ": " : "",
		 errnum ? strerror(errnum) : "");
}

int fail(struct rootfs_error *err, int code, int errnum, const char *operation, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fill(err, code, errnum, operation, "", format, args);
	va_end(args);
	return -1;
}

int fail_at(struct rootfs_error *err, const char *pointer, const char *format, ...)
{
	char copy[sizeof(err->pointer)];
	va_list args;
	snprintf(copy, sizeof(copy), "%s", pointer);
	va_start(args, format);
	fill(err, ROOTFS_ERR_INVALID, 0, "config", copy, format, args);
	va_end(args);
	return -1;
}

int log_open(const char *path, bool json, struct rootfs_error *err)
{
	log_is_json = json;
	if (path == NULL)
		return 0;
	log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log_fd < 0)
		return fail_errno(err, "open", "--log %s", path);
	return 0;
}

static void write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n <= 0)
			return; /* nobody is left to be told */
		text += n;
		len -= (size_t)n;
	}
}

/* One write a line: several processes share the file. Takes the line. */
static void write_line(int fd, char *line)
{
	write_all(fd, line, strlen(line));
	free(line);
}

static void put(const char *level, const char *message)
{
	int fd = log_fd;
	/* A log given by --log is for the engine; whoever sits at the terminal still wants to see why. */
	if (fd >= 0 || !log_is_json)
		write_line(STDERR_FILENO, format_text("minictr: %s%s\n", strcmp(level, "warning") == 0 ? "warning: " : "", message));
	if (fd < 0) {
		if (!log_is_json)
			return;
		fd = STDERR_FILENO;
	}

	char when[40];
	struct tm tm;
	time_t now = time(NULL);
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!log_is_json) {
		write_line(fd, format_text("%s %s: %s\n", when, level, message));
		return;
	}
	struct json_object *line = json_object_new_object();
	json_object_object_add(line, "level", json_object_new_string(level));
	json_object_object_add(line, "msg", json_object_new_string(message));
	json_object_object_add(line, "time", json_object_new_string(when));
	const char *text = json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	write_line(fd, format_text("%s\n", text));
	json_object_put(line);
}

void log_warn(const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put("warning", text);
}

void log_error(const struct rootfs_error *err)
{
	put("error", err->message);
}

void *allocate(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);
	if (p == NULL) {
		static const char text[] = "minictr: out of memory\n";
		write_all(STDERR_FILENO, text, sizeof(text) - 1);
		_exit(1);
	}
	return p;
}

char *format_text(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = allocate(1, 1);
	va_end(args);
	return text;
}

int write_text(int dir, const char *path, const char *text, struct rootfs_error *err)
{
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "open", "%s", path);
	/* One write: files below /proc and /sys take a value whole or not at all. */
	ssize_t n = write(fd, text, strlen(text));
	int saved = errno;
	close(fd);
	errno = saved;
	if (n != (ssize_t)strlen(text))
		return fail_errno(err, "write", "%s to %s", text, path);
	return 0;
}

int write_pid_file(const char *path, pid_t pid, struct rootfs_error *err)
{
	/* Renamed into place: conmon and the shim read it as soon as it is there. */
	char *temporary = format_text("%s.%d", path, (int)getpid());
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	int result = 0;
	if (fd < 0) {
		result = fail_errno(err, "open", "--pid-file %s", temporary);
	} else {
		int n = dprintf(fd, "%d", (int)pid);
		if (close(fd) < 0 || n < 0 || rename(temporary, path) < 0) {
			result = fail_errno(err, "write", "--pid-file %s", path);
			unlink(temporary);
		}
	}
	free(temporary);
	return result;
}
