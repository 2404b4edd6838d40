/* SPDX-License-Identifier: Apache-2.0
 *
 * Where minictr is linked with musl: the checked functions that json-c, libseccomp and libcap were compiled to call, since their
 * distribution compiled them with -D_FORTIFY_SOURCE for glibc. All else that they take from a C library is what any has. The
 * names, arguments and checks are those of the Linux Standard Base, Core 5.0, "Interfaces for libc".
 */
#include <features.h>

#ifndef __GLIBC__
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* `flag` asks for checks of the format that musl does always or, of %n in writable memory, has not. */
#define UNUSED __attribute__((unused))

/* What an own *_chk is: the formatted one, with its arguments in a list. */
#define PASS_ON(function, ...) \
	va_list list; \
	va_start(list, format); \
	int result = function(__VA_ARGS__, format, list); \
	va_end(list); \
	return result

int __vfprintf_chk(FILE *file, int flag UNUSED, const char *format, va_list list)
{
	return vfprintf(file, format, list);
}

int __fprintf_chk(FILE *file, int flag UNUSED, const char *format, ...)
{
	PASS_ON(vfprintf, file);
}

int __vasprintf_chk(char **text, int flag UNUSED, const char *format, va_list list)
{
	return vasprintf(text, format, list);
}

int __asprintf_chk(char **text, int flag UNUSED, const char *format, ...)
{
	PASS_ON(vasprintf, text);
}

int __vsnprintf_chk(char *to, size_t max, int flag UNUSED, size_t room, const char *format, va_list list)
{
	if (max > room)
		abort();
	return vsnprintf(to, max, format, list);
}

int __snprintf_chk(char *to, size_t max, int flag, size_t room, const char *format, ...)
{
	PASS_ON(__vsnprintf_chk, to, max, flag, room);
}

static int vsprintf_checked(char *to, size_t room, const char *format, va_list list)
{
	int n = vsnprintf(to, room, format, list);
	if (n >= 0 && (size_t)n >= room)
		abort();
	return n;
}

int __sprintf_chk(char *to, int flag UNUSED, size_t room, const char *format, ...)
{
	PASS_ON(vsprintf_checked, to, room);
}

char *__strcat_chk(char *to, const char *from, size_t room)
{
	if (strlen(to) + strlen(from) >= room)
		abort();
	return strcat(to, from);
}

void __vsyslog_chk(int priority, int flag UNUSED, const char *format, va_list list)
{
	vsyslog(priority, format, list);
}
#endif
