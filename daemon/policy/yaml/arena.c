/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/yaml/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define ARENA_BLOCK_BYTES 16384u
#define ARENA_ALIGNMENT   16u

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	_Alignas(ARENA_ALIGNMENT) unsigned char bytes[];
};

static struct arena_block *arena_add_block(struct arena *arena, size_t size)
{
	struct arena_block *block;

	if (size < ARENA_BLOCK_BYTES)
		size = ARENA_BLOCK_BYTES;
	block = calloc(1, sizeof(*block) + size);
	if (!block)
		return NULL;
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	void *memory;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
	if (!block || block->size - block->used < size)
		block = arena_add_block(arena, size);
	if (!block)
		return NULL;
	ASSERT(block->used <= block->size && size <= block->size - block->used);
	memory = block->bytes + block->used;
	block->used += size;
	return memory;
}

char *arena_text(struct arena *arena, const char *text, size_t length)
{
	char *copy = arena_alloc(arena, length + 1);

	if (copy && length)
		memcpy(copy, text, length);
	return copy;
}

void arena_free(struct arena *arena)
{
	struct arena_block *block = arena->blocks;
	struct arena_block *next;

	for (; block; block = next) {
		next = block->next;
		free(block);
	}
	arena->blocks = NULL;
}
