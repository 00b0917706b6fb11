/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fake_store_state.h"

/* What is below a directory comes right after it. */
static int order(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (*a == '/' ? 1 : (unsigned char)*a) - (*b == '/' ? 1 : (unsigned char)*b);
}

/* The place of the first node that does not come before path. */
size_t fake_place(const char *path)
{
	size_t low = 0;
	size_t high = fake.tree.count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (order(fake.tree.nodes[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct fake_node *fake_find(const char *path)
{
	size_t at = fake_place(path);

	return at < fake.tree.count && strcmp(fake.tree.nodes[at].path, path) == 0
		       ? &fake.tree.nodes[at]
		       : NULL;
}

bool fake_is_below(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	return strncmp(path, dir, length) == 0 && path[length] == '/';
}

static void insert(const char *path)
{
	size_t at = fake_place(path);

	fake.tree.nodes =
		realloc(fake.tree.nodes, (fake.tree.count + 1) * sizeof(*fake.tree.nodes));
	assert(fake.tree.nodes);
	memmove(fake.tree.nodes + at + 1, fake.tree.nodes + at,
		(fake.tree.count - at) * sizeof(*fake.tree.nodes));
	fake.tree.nodes[at] = (struct fake_node){.path = strdup(path)};
	fake.tree.count++;
}

void fake_delete(size_t at)
{
	free(fake.tree.nodes[at].path);
	free(fake.tree.nodes[at].value);
	fake.tree.count--;
	memmove(fake.tree.nodes + at, fake.tree.nodes + at + 1,
		(fake.tree.count - at) * sizeof(*fake.tree.nodes));
}

void fake_put(const char *path, const void *bytes, size_t size)
{
	struct fake_node *node;

	if (!fake_find(path))
		insert(path);
	node = fake_find(path);
	free(node->value);
	node->value = calloc(1, size + 1);
	assert(node->value);
	memcpy(node->value, bytes, size);
	node->length = (unsigned)size;
}

/* Adds the name after dir/ to block, which is pointers and then the names. */
static void add_name(char **block, unsigned *count, char **end, const char *name)
{
	size_t length = strcspn(name, "/");

	if (*count && strncmp(block[*count - 1], name, length) == 0 &&
	    block[*count - 1][length] == '\0')
		return;
	block[(*count)++] = *end;
	memcpy(*end, name, length);
	(*end)[length] = '\0';
	*end += length + 1;
}

char **fake_list(const char *path, unsigned *count)
{
	size_t first = fake_place(path);
	size_t last;
	size_t bytes = 1;
	char **block;
	char *end;

	if (fake_find(path))
		first++;
	for (last = first;
	     last < fake.tree.count && fake_is_below(fake.tree.nodes[last].path, path); last++)
		bytes += sizeof(char *) + strlen(fake.tree.nodes[last].path);
	if (last == first && !fake_find(path))
		return NULL;
	block = malloc(bytes);
	assert(block);
	end = (char *)(block + (last - first));
	for (; first < last; first++)
		add_name(block, count, &end, fake.tree.nodes[first].path + strlen(path) + 1);
	return block;
}
