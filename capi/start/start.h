/* SPDX-License-Identifier: Apache-2.0
 *
 * The C part of the engine: starts the Go runtime without risk for the host, and guards what is the host's. */
#ifndef ROOTFS_START_H
#define ROOTFS_START_H

#include <signal.h>

#include "engine.h"

/* Fills an error: message is printf's. Returns code. */
int start_fail(struct rootfs_error *error, int code, int errnum, const char *operation, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* contexts.c: lets the runtime do what it has to, until it sleeps. */
void contexts_run(void);

/* guard.c: what belongs to the host around a stay in Go. */
void guard_begin_start(void); /* before the runtime installs its signal handlers, */
void guard_handlers(void);    /* after: remembers them, and puts the host's back */
void guard_end_start(void);   /* when it is up */
void guard_enter(void);       /* the runtime's signal state for this thread */
void guard_leave(void);       /* the host's again */

#endif
