/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy file as a small tree of scalars, lists and maps, each with its position.
 *
 * Only the plain part of YAML is read: aliases, anchors, tags, merge keys, several documents, keys
 * that are not scalars and duplicate keys are errors. A tree remembers which keys were asked for,
 * so that whoever reads it can refuse the ones nobody knows.
 */
#ifndef POLICY_YAML_VALUE_TREE_H
#define POLICY_YAML_VALUE_TREE_H

#include <stdbool.h>

#include <pvcalls/plugin.h>

#include "policy/yaml/arena.h"
#include "policy/yaml/errors.h"

#define TREE_KEYS_MAX  1024u /* keys of one map */
#define TREE_DEPTH_MAX 16u   /* nesting of nodes */

/* A place in a list or map. */
struct tree_entry {
	const char *key; /* NULL in a list */
	struct position at;
	bool asked;
	struct pvcalls_value *value;
};

/* A node. Constant for readers, but for the marks in its entries. */
struct pvcalls_value {
	uint32_t kind;  /* PVCALLS_VALUE_... */
	uint32_t count; /* entries */
	struct position at;
	const char *text;           /* scalar */
	struct tree_entry *entries; /* list or map */
};

/*
 * Reads text into a tree whose memory is the arena's. Returns its root (a map), or NULL after at
 * least one error was added.
 */
struct pvcalls_value *tree_read(struct arena *arena, const char *text, size_t size,
				struct errors *errors);

/* The value of a key, marked as asked for; NULL if it is not there. */
const struct pvcalls_value *tree_get(const struct pvcalls_value *map, const char *key);
/* The index-th entry of a list or map, or NULL. */
const struct pvcalls_value *tree_item(const struct pvcalls_value *value, uint32_t index);

/*
 * Adds an error for each key of value, and of the values that were asked for below it, that nobody
 * asked for. who reads it stands in the message; a value equal to except is not looked into.
 */
void tree_refuse_unknown(const struct pvcalls_value *value, const char *who,
			 const struct pvcalls_value *except, struct errors *errors);

#endif
