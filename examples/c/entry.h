/* entry.c: what runs before the C library protects minictr's file; whether it is protected. */
#ifndef MINICTR_ENTRY_H
#define MINICTR_ENTRY_H

#include <stdbool.h>

extern bool entry_protected;

#endif
