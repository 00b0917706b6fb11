/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sock/socket_table.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/assert.h"

struct socket_table {
	void *owner;
	uint32_t limit;
	uint32_t count;
	uint32_t mask; /* buckets - 1 */
	uint64_t next_number;
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct guest_socket *spare; /* freed sockets, kept for the next */
	struct guest_socket *buckets[];
};

struct socket_table *socket_table_create(uint32_t limit, void *owner)
{
	struct socket_table *table;
	uint32_t buckets = 16;

	ASSERT(limit >= 1 && limit <= SOCKETS_MAX);
	while (buckets < limit)
		buckets *= 2;
	table = calloc(1, sizeof(*table) + buckets * sizeof(struct guest_socket *));
	if (!table)
		return NULL;
	table->owner = owner;
	table->limit = limit;
	table->mask = buckets - 1;
	table->next_number = 1;
	randombytes_buf(table->key, sizeof(table->key));
	return table;
}

void socket_table_free(struct socket_table *table)
{
	if (!table)
		return;
	ASSERT(!table->count);
	while (table->spare) {
		struct guest_socket *socket = table->spare;

		table->spare = socket->next;
		free(socket);
	}
	free(table);
}

static struct guest_socket **socket_table_bucket(const struct socket_table *table, uint64_t id)
{
	uint64_t hash;
	/* The table is const to its readers; the bucket's content is what changes. */
	struct socket_table *writable = (struct socket_table *)(uintptr_t)table;

	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)&id, sizeof(id), table->key);
	return &writable->buckets[hash & table->mask];
}

struct guest_socket *socket_table_find(const struct socket_table *table, uint64_t id)
{
	struct guest_socket *socket = *socket_table_bucket(table, id);

	while (socket && socket->id != id)
		socket = socket->next;
	return socket;
}

static struct guest_socket *socket_table_obtain(struct socket_table *table)
{
	struct guest_socket *socket = table->spare;

	if (!socket)
		return calloc(1, sizeof(*socket));
	table->spare = socket->next;
	*socket = (struct guest_socket){0};
	return socket;
}

int socket_table_add(struct socket_table *table, uint64_t id, uint64_t now_ns,
		     struct guest_socket **added)
{
	struct guest_socket **head = socket_table_bucket(table, id);
	struct guest_socket *socket;

	if (socket_table_find(table, id))
		return -EEXIST;
	if (table->count == table->limit)
		return -EMFILE;
	socket = socket_table_obtain(table);
	if (!socket)
		return -ENOMEM;
	socket->id = id;
	socket->number = table->next_number++;
	socket->fd = -1;
	socket->created_ns = now_ns;
	socket->owner = table->owner;
	socket->next = *head;
	*head = socket;
	table->count++;
	*added = socket;
	return 0;
}

void socket_table_renumber(struct socket_table *table, struct guest_socket *socket)
{
	ASSERT(socket->state == SOCKET_RESERVED);
	socket->number = table->next_number++;
}

void socket_table_remove(struct socket_table *table, struct guest_socket *socket)
{
	struct guest_socket **link = socket_table_bucket(table, socket->id);

	ASSERT(!socket->holder && !socket->connection && !socket->source.dispatch);
	ASSERT(socket->fd < 0);
	while (*link != socket) {
		ASSERT(*link);
		link = &(*link)->next;
	}
	*link = socket->next;
	table->count--;
	socket->next = table->spare;
	table->spare = socket;
}

uint32_t socket_table_count(const struct socket_table *table)
{
	return table->count;
}

struct guest_socket *socket_table_by_number(const struct socket_table *table, uint64_t number)
{
	uint32_t i;

	for (i = 0; i <= table->mask; i++) {
		struct guest_socket *socket = table->buckets[i];

		while (socket && socket->number != number)
			socket = socket->next;
		if (socket)
			return socket;
	}
	return NULL;
}

void socket_table_each(struct socket_table *table,
		       void (*visit)(void *owner, struct guest_socket *socket), void *owner)
{
	uint32_t i;

	for (i = 0; i <= table->mask; i++) {
		struct guest_socket *socket = table->buckets[i];

		while (socket) {
			struct guest_socket *next = socket->next;

			visit(owner, socket);
			socket = next;
		}
	}
}
