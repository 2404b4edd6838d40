// SPDX-License-Identifier: Apache-2.0
//
// What the measuring programs share: the clock, and marks that a tracer can see.
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

// A write to no descriptor: fails at once, and shows in strace's output where the counted part begins and ends. Made only
// under BENCH_MARK, so that timed runs do not have it.
static inline void mark(const char *name)
{
	if (getenv("BENCH_MARK") && write(-1, name, strlen(name)) == 0)
		abort();
}

#endif
