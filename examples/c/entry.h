/* entry.c: what runs before the C library protects minictr's file; whether it is protected. */
#ifndef MINICTR_ENTRY_H
#define MINICTR_ENTRY_H

#include <stdbool.h>

/* Hidden: without that some compilers look up its address in a table, which is not relocated yet. */
extern bool entry_protected __attribute__((visibility("hidden")));

#endif
