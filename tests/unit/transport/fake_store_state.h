/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the fake share: the tree (fake_tree.c), what a test does with it (fake_store.c)
 * and the libraries' functions (fake_xs.c). All of it is guarded by fake_lock. */
#ifndef TESTS_TRANSPORT_FAKE_STORE_STATE_H
#define TESTS_TRANSPORT_FAKE_STORE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_PATH    300 /* bytes of a path: longer than any that is right */
#define FAKE_DOMAINS 32768u
#define FAKE_STAGED  32 /* writes of one transaction */

struct fake_node {
	char *path;
	char *value;
	unsigned length;
	unsigned reads;
};

/* Nodes, each directory followed by what is below it. */
struct fake_tree {
	struct fake_node *nodes;
	size_t count;
};

struct fake_watch {
	char path[FAKE_PATH];
	char token[FAKE_PATH];
};

struct fake_write {
	char path[FAKE_PATH];
	char value[FAKE_PATH];
};

struct fake_event {
	struct fake_event *next;
	char **block; /* as xs_check_watch() returns it */
};

struct xs_handle {
	struct xs_handle *next;
	bool dead;
	int eventfd; /* readable while there are events */
	struct fake_watch *watches;
	size_t watch_count;
	struct fake_event *events;
	struct fake_event **last;
};

struct fake_store {
	struct fake_tree tree;
	struct xs_handle *handles;
	bool introduced[FAKE_DOMAINS];
	bool running[FAKE_DOMAINS];
	struct fake_write staged[FAKE_STAGED];
	size_t staged_count;
	bool down;
	bool hung;
	bool no_hypervisor;
	unsigned conflicts;
	int refused;
	char socket[FAKE_PATH];
	unsigned commits;
	unsigned attempts;
	unsigned connections;
};

extern struct fake_store fake;
extern pthread_mutex_t fake_lock;

bool fake_is_below(const char *path, const char *dir);
/* The place of the first node that does not come before path. */
size_t fake_place(const char *path);
struct fake_node *fake_find(const char *path);
/* Makes a node of this value, or gives it this value. */
void fake_put(const char *path, const void *bytes, size_t size);
void fake_delete(size_t at);
/* The names in a directory, as xs_directory() returns them. */
char **fake_list(const char *path, unsigned *count);

/*
 * Tells everybody who watches path. exact: only those who watch just this, as xenstored does for
 * what is removed together with its directory.
 */
void fake_fire(const char *path, bool exact);

#endif
