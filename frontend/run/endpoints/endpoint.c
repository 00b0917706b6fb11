/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/endpoints/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "run/endpoints/endpoint_table.h"
#include "run/endpoints/reset_mark.h"
#include "run/endpoints/waiting_calls.h"
#include "run/program/descriptor_search.h"

#define PAIR_BUFFER (1 << 20) /* bytes; the kernel cuts it to net.core.wmem_max */

/* It is no longer one of those that are kept for what they know. */
static void endpoint_forget_kept(struct endpoint *endpoint)
{
	struct endpoint_table *table = endpoint->table;
	uint32_t i;

	for (i = 0; endpoint->state == ENDPOINT_FAILED && i < FAILED_KEPT; i++)
		if (table->failed[i] == endpoint)
			table->failed[i] = NULL;
	for (i = 0; endpoint->state == ENDPOINT_ENDED && i < ENDED_KEPT; i++)
		if (table->finished[i] == endpoint)
			table->finished[i] = NULL;
}

static int endpoint_inode(int fd, uint64_t *inode)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	*inode = status.st_ino;
	return S_ISSOCK(status.st_mode) ? 0 : -ENOTSOCK;
}

void endpoint_queue(struct endpoint *endpoint)
{
	struct endpoint_table *table = endpoint->table;

	ASSERT(endpoint->state != ENDPOINT_GONE);
	if (endpoint->queued)
		return;
	endpoint->queued = true;
	endpoint->ready = NULL;
	if (table->pump_first)
		table->pump_last->ready = endpoint;
	else
		table->pump_first = endpoint;
	table->pump_last = endpoint;
}

/* Our end of the pair has events. */
static void endpoint_event(struct event_source *source, uint32_t events)
{
	struct endpoint *endpoint =
		(struct endpoint *)((char *)source - offsetof(struct endpoint, source));

	/* With both directions shut, a pair is hung up however many have its end. */
	if (events & (EPOLLHUP | EPOLLERR) && !(endpoint->shut && endpoint->in_done))
		endpoint->hung_up = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		endpoint->ending = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		endpoint->can_read = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		endpoint->can_write = true;
	if (endpoint->state == ENDPOINT_CONNECTED)
		endpoint_queue(endpoint);
	else if (endpoint->hung_up && endpoint->state != ENDPOINT_GONE)
		endpoint_end(endpoint);
}

static int endpoint_make_pair(struct endpoint *endpoint, bool nonblocking, int *theirs)
{
	const int size = PAIR_BUFFER;
	int fds[2];
	int error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	/* Bigger buffers mean fewer wake-ups; without them it works too. */
	(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	error = endpoint_inode(fds[1], &endpoint->inode);
	if (!error && !nonblocking && fcntl(fds[1], F_SETFL, O_RDWR) < 0)
		error = -errno;
	if (!error)
		error = event_source_watch(endpoint->table->epoll_fd, &endpoint->source, fds[0],
					   EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
					   endpoint_event);
	if (error) {
		close(fds[0]);
		close(fds[1]);
		endpoint->source.fd = -1;
		return error;
	}
	*theirs = fds[1];
	endpoint->can_read = true;
	endpoint->can_write = true;
	endpoint_table_add(endpoint->table, endpoint);
	return 0;
}

struct endpoint *endpoint_new(struct endpoint_table *table, bool nonblocking, int *theirs)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	int error;

	if (!endpoint)
		return NULL;
	endpoint->table = table;
	endpoint->last_fd = -1;
	endpoint->lost_call = -1;
	endpoint->local.sin_family = AF_INET;
	endpoint->peer.sin_family = AF_INET;
	error = endpoint_make_pair(endpoint, nonblocking, theirs);
	if (error) {
		free(endpoint);
		errno = -error;
		return NULL;
	}
	table->endpoints++;
	return endpoint;
}

int endpoint_renew(struct endpoint *endpoint, bool nonblocking, int *theirs)
{
	uint64_t inode = endpoint->inode;
	int error;

	ASSERT(endpoint->source.fd < 0);
	endpoint_table_remove(endpoint->table, endpoint);
	error = endpoint_make_pair(endpoint, nonblocking, theirs);
	if (error) {
		/* It is what it was: found by the end that the program still has. */
		endpoint->inode = inode;
		endpoint_table_add(endpoint->table, endpoint);
		return error;
	}
	endpoint_forget_kept(endpoint);
	endpoint->ending = false;
	endpoint->hung_up = false;
	endpoint->out_done = false;
	endpoint->in_done = false;
	endpoint->in_discarded = false;
	endpoint->marked = false;
	endpoint->shut = false;
	endpoint->shut_read = false;
	endpoint->filler = 0;
	return 0;
}

struct endpoint *endpoint_find(struct endpoint_table *table, const struct trapped_call *call,
			       int *theirs)
{
	struct endpoint *endpoint = NULL;
	int number = (int)call->args[0];
	int fd = trap_take_fd(&table->trap, call->tid, number);
	uint64_t inode = 0;

	if (fd < 0)
		return NULL;
	if (endpoint_inode(fd, &inode) == 0)
		endpoint = endpoint_table_find(table, inode);
	if (!endpoint) {
		close(fd);
		return NULL;
	}
	endpoint->last_tid = call->tid;
	endpoint->last_fd = number;
	*theirs = fd;
	return endpoint;
}

/* A duplicate of what was last known to be the program's end, or -1. */
static int endpoint_fetch_known(struct endpoint *endpoint)
{
	uint64_t inode = 0;
	int fd;

	if (endpoint->last_fd < 0)
		return -1;
	fd = trap_take_fd(&endpoint->table->trap, endpoint->last_tid, endpoint->last_fd);
	if (fd < 0)
		return -1;
	if (endpoint_inode(fd, &inode) == 0 && inode == endpoint->inode)
		return fd;
	close(fd);
	return -1;
}

int endpoint_fetch(struct endpoint *endpoint)
{
	int fd = endpoint_fetch_known(endpoint);

	if (fd >= 0 || endpoint->hung_up ||
	    descriptor_search(endpoint->inode, &endpoint->last_tid, &endpoint->last_fd))
		return fd;
	return endpoint_fetch_known(endpoint);
}

void endpoint_close_end(struct endpoint *endpoint)
{
	if (endpoint->source.fd >= 0)
		close(endpoint->source.fd);
	endpoint->source.fd = -1;
}

static void endpoint_mark(struct endpoint *endpoint)
{
	int theirs = endpoint->marked ? -1 : endpoint_fetch(endpoint);

	if (theirs < 0)
		return;
	reset_mark_set(endpoint, theirs);
	close(theirs);
}

void endpoint_refuse(struct endpoint *endpoint)
{
	endpoint_mark(endpoint);
	endpoint->shut = true;
	shutdown(endpoint->source.fd, SHUT_RD);
}

void endpoint_reset(struct endpoint *endpoint)
{
	endpoint_mark(endpoint);
	endpoint_close_end(endpoint);
}

static void endpoint_release_early(struct endpoint *endpoint)
{
	while (endpoint->early) {
		struct early_connection *early = endpoint->early;

		endpoint->early = early->next;
		pvcalls_front_release(early->remote);
		free(early);
	}
	endpoint->early_count = 0;
}

void endpoint_settle(struct endpoint *endpoint)
{
	struct endpoint_table *table = endpoint->table;
	bool listens = endpoint->state == ENDPOINT_LISTENING;
	uint32_t promised = endpoint->accepting + (endpoint->state == ENDPOINT_CONNECTING);

	ASSERT(table->promised >= promised && table->listeners >= listens);
	table->promised -= promised;
	table->listeners -= listens;
	endpoint->accepting = 0;
}

void endpoint_fail(struct endpoint *endpoint, int error)
{
	struct endpoint_table *table = endpoint->table;
	struct endpoint **place = &table->failed[table->failed_next++ % FAILED_KEPT];

	ASSERT(endpoint->state != ENDPOINT_GONE);
	if (*place)
		endpoint_end(*place);
	*place = endpoint;
	endpoint_settle(endpoint);
	endpoint_release_early(endpoint);
	endpoint_close_end(endpoint);
	endpoint->error = error;
	endpoint->state = ENDPOINT_FAILED;
}

static void endpoint_release(struct endpoint *endpoint)
{
	struct endpoint_table *table = endpoint->table;

	if (endpoint->remote)
		pvcalls_front_release(endpoint->remote);
	endpoint->remote = NULL;
	if (endpoint->state != ENDPOINT_CONNECTED)
		return;
	ASSERT(table->streams > 0);
	table->streams--;
}

void endpoint_finish(struct endpoint *endpoint)
{
	struct endpoint_table *table = endpoint->table;
	struct endpoint **place = &table->finished[table->finished_next++ % ENDED_KEPT];

	ASSERT(endpoint->state == ENDPOINT_CONNECTED && !endpoint->waiting);
	if (*place)
		endpoint_end(*place);
	*place = endpoint;
	endpoint_release(endpoint);
	endpoint_close_end(endpoint);
	/* What there is to tell of a reset, the program's end of the pair knows. */
	endpoint->error = 0;
	endpoint->state = ENDPOINT_ENDED;
}

void endpoint_end(struct endpoint *endpoint)
{
	struct endpoint_table *table = endpoint->table;

	if (endpoint->state == ENDPOINT_GONE)
		return;
	endpoint_forget_kept(endpoint);
	endpoint_settle(endpoint);
	waiting_calls_answer_all(endpoint, -ECONNABORTED);
	endpoint_release_early(endpoint);
	endpoint_release(endpoint);
	endpoint_close_end(endpoint);
	endpoint_table_remove(table, endpoint);
	endpoint->state = ENDPOINT_GONE;
	endpoint->next = table->ended;
	table->ended = endpoint;
	ASSERT(table->endpoints > 0);
	table->endpoints--;
}

void endpoint_bury(struct endpoint_table *table)
{
	struct endpoint **at = &table->ended;

	while (*at) {
		struct endpoint *endpoint = *at;

		if (endpoint->queued) {
			at = &endpoint->next;
			continue;
		}
		*at = endpoint->next;
		free(endpoint->option);
		free(endpoint);
	}
}

void endpoint_end_all(struct endpoint_table *table)
{
	uint32_t i;

	for (i = 0; i < ENDPOINT_BUCKETS; i++)
		while (table->bucket[i])
			endpoint_end(table->bucket[i]);
	table->pump_first = NULL;
	while (table->ended) {
		table->ended->queued = false;
		endpoint_bury(table);
	}
}
