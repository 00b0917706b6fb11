/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All sockets of one guest, found by the guest's own name for them.
 *
 * The names are 64 bits that the guest chooses, so the table hashes them with a secret key: a guest
 * can't put all of its sockets into one bucket.
 */
#ifndef SOCK_SOCKET_TABLE_H
#define SOCK_SOCKET_TABLE_H

#include <stdint.h>

#include "sock/socket.h"

#define SOCKETS_DEFAULT 4096u  /* sockets of one guest, unless configured */
#define SOCKETS_MAX     65536u /* that can be configured */

struct socket_table;

/* A table for at most limit (1 to SOCKETS_MAX) sockets of this owner, or NULL without memory. */
struct socket_table *socket_table_create(uint32_t limit, void *owner);
/* Frees the table; it must be empty. */
void socket_table_free(struct socket_table *table);

/* The socket of this name, or NULL. */
struct guest_socket *socket_table_find(const struct socket_table *table, uint64_t id);
/*
 * A new socket (SOCKET_NEW, no descriptor) under a name, made at now_ns (monotonic). Returns 0 and
 * *added, -EEXIST if the name is taken, -EMFILE if the guest has as many as it may, or -ENOMEM.
 */
int socket_table_add(struct socket_table *table, uint64_t id, uint64_t now_ns,
		     struct guest_socket **added);
/* Gives a socket the next number: what it was known by so far belonged to a peer that was refused.
 */
void socket_table_renumber(struct socket_table *table, struct guest_socket *socket);
/*
 * Takes a socket out and frees it. No call may hold it, it may not be watched, and its descriptor
 * must be closed or handed on.
 */
void socket_table_remove(struct socket_table *table, struct guest_socket *socket);

uint32_t socket_table_count(const struct socket_table *table);
/* The socket with this number, or NULL: a linear search, for operators. */
struct guest_socket *socket_table_by_number(const struct socket_table *table, uint64_t number);
/* Calls visit for each socket; visit may remove the one it is given. */
void socket_table_each(struct socket_table *table,
		       void (*visit)(void *owner, struct guest_socket *socket), void *owner);

#endif
