/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that is given out in small pieces and freed all at once. */
#ifndef POLICY_YAML_ARENA_H
#define POLICY_YAML_ARENA_H

#include <stddef.h>

struct arena_block;

/* Zeroed means: empty. */
struct arena {
	struct arena_block *blocks;
};

/* Zeroed memory for any type, or NULL when there is none left. */
void *arena_alloc(struct arena *arena, size_t size);
/* A copy of length bytes with a NUL behind, or NULL. */
char *arena_text(struct arena *arena, const char *text, size_t length);
void arena_free(struct arena *arena);

#endif
