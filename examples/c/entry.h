/* entry.c: minictr's file is protected before main; whether it is, for main to ask. */
#ifndef MINICTR_ENTRY_H
#define MINICTR_ENTRY_H

#include <stdbool.h>

bool entry_is_protected(void);

#endif
