/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_store_state.h"

#define NO_SOCKET "/nonexistent/xenstored"

struct fake_store fake = {.socket = NO_SOCKET};
pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;

static void clear_tree(void)
{
	while (fake.tree.count)
		fake_delete(fake.tree.count - 1);
	free(fake.tree.nodes);
	fake.tree.nodes = NULL;
	memset(fake.introduced, 0, sizeof(fake.introduced));
}

void fake_store_reset(void)
{
	pthread_mutex_lock(&fake_lock);
	clear_tree();
	memset(&fake, 0, sizeof(fake));
	memcpy(fake.socket, NO_SOCKET, sizeof(NO_SOCKET));
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_set_bytes(const char *path, const void *bytes, size_t size)
{
	pthread_mutex_lock(&fake_lock);
	fake_put(path, bytes, size);
	fake_fire(path, false);
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_set(const char *path, const char *value)
{
	fake_store_set_bytes(path, value, strlen(value));
}

void fake_store_remove(const char *path)
{
	size_t at;

	pthread_mutex_lock(&fake_lock);
	for (at = fake_place(path); at < fake.tree.count; fake_delete(at)) {
		if (strcmp(fake.tree.nodes[at].path, path) != 0 &&
		    !fake_is_below(fake.tree.nodes[at].path, path))
			break;
		if (strcmp(fake.tree.nodes[at].path, path) != 0)
			fake_fire(fake.tree.nodes[at].path, true);
	}
	fake_fire(path, false);
	pthread_mutex_unlock(&fake_lock);
}

bool fake_store_is(const char *path, const char *value)
{
	const struct fake_node *node;
	bool is;

	pthread_mutex_lock(&fake_lock);
	node = fake_find(path);
	is = node && (!value || strcmp(node->value, value) == 0);
	pthread_mutex_unlock(&fake_lock);
	return is;
}

static void set_domain(uint32_t domid, bool introduced, const char *special)
{
	assert(domid < FAKE_DOMAINS);
	pthread_mutex_lock(&fake_lock);
	fake.introduced[domid] = introduced;
	fake.running[domid] = introduced;
	fake_fire(special, true);
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_introduce(uint32_t domid)
{
	set_domain(domid, true, "@introduceDomain");
}

void fake_store_release(uint32_t domid)
{
	set_domain(domid, false, "@releaseDomain");
}

void fake_store_kill(uint32_t domid)
{
	pthread_mutex_lock(&fake_lock);
	fake.running[domid] = false;
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_lose(bool keep)
{
	struct xs_handle *h;

	pthread_mutex_lock(&fake_lock);
	fake.down = true;
	for (h = fake.handles; h; h = h->next)
		h->dead = true;
	if (!keep)
		clear_tree();
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_come_back(void)
{
	pthread_mutex_lock(&fake_lock);
	fake.down = false;
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_hang(void)
{
	pthread_mutex_lock(&fake_lock);
	fake.hung = true;
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_conflict(unsigned times)
{
	pthread_mutex_lock(&fake_lock);
	fake.conflicts = times;
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_refuse_writes(int error)
{
	pthread_mutex_lock(&fake_lock);
	fake.refused = error;
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_socket(const char *path)
{
	pthread_mutex_lock(&fake_lock);
	snprintf(fake.socket, sizeof(fake.socket), "%s", path);
	pthread_mutex_unlock(&fake_lock);
}

void fake_store_no_hypervisor(void)
{
	pthread_mutex_lock(&fake_lock);
	fake.no_hypervisor = true;
	pthread_mutex_unlock(&fake_lock);
}

static unsigned seen(const unsigned *counter)
{
	unsigned value;

	pthread_mutex_lock(&fake_lock);
	value = *counter;
	pthread_mutex_unlock(&fake_lock);
	return value;
}

unsigned fake_store_commits(void)
{
	return seen(&fake.commits);
}

unsigned fake_store_attempts(void)
{
	return seen(&fake.attempts);
}

unsigned fake_store_connections(void)
{
	return seen(&fake.connections);
}

unsigned fake_store_reads(const char *path)
{
	const struct fake_node *node;
	unsigned reads;

	pthread_mutex_lock(&fake_lock);
	node = fake_find(path);
	reads = node ? node->reads : 0;
	pthread_mutex_unlock(&fake_lock);
	return reads;
}

unsigned fake_store_watches(const char *path)
{
	struct xs_handle *h;
	unsigned count = 0;
	size_t i;

	pthread_mutex_lock(&fake_lock);
	for (h = fake.handles; h; h = h->next)
		for (i = 0; i < h->watch_count && !h->dead; i++)
			count += strcmp(h->watches[i].path, path) == 0;
	pthread_mutex_unlock(&fake_lock);
	return count;
}

/* --- what a toolstack does --- */

const char *fake_back_path(uint32_t domid, uint32_t devid, const char *key)
{
	static char path[FAKE_PATH];

	snprintf(path, sizeof(path), FAKE_BASE "/%u/%u/%s", domid, devid, key);
	return path;
}

const char *fake_front_path(uint32_t domid, uint32_t devid, const char *key)
{
	static char path[FAKE_PATH];

	snprintf(path, sizeof(path), "/local/domain/%u/device/pvcalls/%u/%s", domid, devid, key);
	return path;
}

void fake_device_back(uint32_t domid, uint32_t devid, const char *key, const char *value)
{
	fake_store_set(fake_back_path(domid, devid, key), value);
}

void fake_device_front(uint32_t domid, uint32_t devid, const char *key, const char *value)
{
	fake_store_set(fake_front_path(domid, devid, key), value);
}

static void put_text(const char *path, const char *value)
{
	fake_put(path, value, strlen(value));
	fake_fire(path, false);
}

/* As one transaction: who watches sees all of it or nothing. */
static void add_nodes(uint32_t domid, uint32_t devid)
{
	char path[FAKE_PATH];
	char value[FAKE_PATH];

	pthread_mutex_lock(&fake_lock);
	snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
	snprintf(value, sizeof(value), "guest-%u", domid);
	put_text(path, value);
	snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
	put_text(path, "/vm/" FAKE_UUID);
	snprintf(value, sizeof(value), "/local/domain/%u/device/pvcalls/%u", domid, devid);
	put_text(fake_front_path(domid, devid, "state"), "1");
	put_text(fake_back_path(domid, devid, "frontend"), value);
	put_text(fake_back_path(domid, devid, "online"), "1");
	put_text(fake_back_path(domid, devid, "state"), "1");
	pthread_mutex_unlock(&fake_lock);
}

static bool is_introduced(uint32_t domid)
{
	bool introduced;

	pthread_mutex_lock(&fake_lock);
	introduced = fake.introduced[domid];
	pthread_mutex_unlock(&fake_lock);
	return introduced;
}

void fake_device_add(uint32_t domid, uint32_t devid)
{
	add_nodes(domid, devid);
	if (!is_introduced(domid))
		fake_store_introduce(domid);
}

void fake_device_remove(uint32_t domid, uint32_t devid)
{
	char path[FAKE_PATH];

	snprintf(path, sizeof(path), FAKE_BASE "/%u/%u", domid, devid);
	fake_store_remove(path);
	snprintf(path, sizeof(path), "/local/domain/%u/device/pvcalls/%u", domid, devid);
	fake_store_remove(path);
}
