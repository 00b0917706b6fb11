/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pump.h"

#define PAIR_BUFFER   (1 << 20) /* bytes; the kernel cuts it to net.core.wmem_max */
#define BIG_ORDER     8u
#define MANY_STREAMS  32u /* from here on, rings are smaller */
#define MIDDLE_ORDER  6u
#define CROWD_STREAMS 256u
#define SMALL_ORDER   4u
/* In a Xen guest the backend maps and unmaps the pages, and the driver has a limit of them. */
#define XEN_BIG_ORDER 6u
#define XEN_MANY      8u

static struct endpoint **bucket_of(struct run *run, uint64_t inode)
{
	return &run->bucket[inode % ENDPOINT_BUCKETS];
}

static void enter(struct endpoint *endpoint)
{
	struct endpoint **bucket = bucket_of(endpoint->run, endpoint->inode);

	endpoint->next = *bucket;
	*bucket = endpoint;
}

static void leave(struct endpoint *endpoint)
{
	struct endpoint **at = bucket_of(endpoint->run, endpoint->inode);

	while (*at && *at != endpoint)
		at = &(*at)->next;
	if (*at)
		*at = endpoint->next;
}

static void forget_failure(struct endpoint *endpoint)
{
	struct run *run = endpoint->run;
	uint32_t i;

	for (i = 0; endpoint->state == ENDPOINT_FAILED && i < FAILED_KEPT; i++)
		if (run->failed[i] == endpoint)
			run->failed[i] = NULL;
}

static int inode_of(int fd, uint64_t *inode)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	*inode = status.st_ino;
	return S_ISSOCK(status.st_mode) ? 0 : -ENOTSOCK;
}

static int make_pair(struct endpoint *endpoint, bool nonblocking, int *theirs)
{
	const int size = PAIR_BUFFER;
	int fds[2];
	int error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	/* Bigger buffers mean fewer wake-ups; without them it works too. */
	(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	error = inode_of(fds[1], &endpoint->inode);
	if (!error && !nonblocking && fcntl(fds[1], F_SETFL, O_RDWR) < 0)
		error = -errno;
	if (!error)
		error = loop_watch(endpoint->run->epoll_fd, &endpoint->source, fds[0],
				   EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, pump_event);
	if (error) {
		close(fds[0]);
		close(fds[1]);
		endpoint->source.fd = -1;
		return error;
	}
	*theirs = fds[1];
	endpoint->can_read = true;
	endpoint->can_write = true;
	enter(endpoint);
	return 0;
}

struct endpoint *endpoint_new(struct run *run, bool nonblocking, int *theirs)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	int error;

	if (!endpoint)
		return NULL;
	endpoint->run = run;
	endpoint->last_fd = -1;
	endpoint->lost_call = -1;
	endpoint->local.sin_family = AF_INET;
	endpoint->peer.sin_family = AF_INET;
	error = make_pair(endpoint, nonblocking, theirs);
	if (error) {
		free(endpoint);
		errno = -error;
		return NULL;
	}
	run->endpoints++;
	return endpoint;
}

int endpoint_renew(struct endpoint *endpoint, bool nonblocking, int *theirs)
{
	forget_failure(endpoint);
	leave(endpoint);
	endpoint->ending = false;
	endpoint->hung_up = false;
	endpoint->out_done = false;
	endpoint->in_done = false;
	endpoint->in_discarded = false;
	endpoint->junk = 0;
	return make_pair(endpoint, nonblocking, theirs);
}

static struct endpoint *lookup(struct run *run, uint64_t inode)
{
	struct endpoint *endpoint = *bucket_of(run, inode);

	while (endpoint && (endpoint->inode != inode || endpoint->state == ENDPOINT_GONE))
		endpoint = endpoint->next;
	return endpoint;
}

struct endpoint *endpoint_find(struct run *run, const struct notice *notice, int *theirs)
{
	struct endpoint *endpoint = NULL;
	int number = (int)notice->args[0];
	int fd = notice_take_fd(&run->notices, notice->tid, number);
	uint64_t inode = 0;

	if (fd < 0)
		return NULL;
	if (inode_of(fd, &inode) == 0)
		endpoint = lookup(run, inode);
	if (!endpoint) {
		close(fd);
		return NULL;
	}
	endpoint->last_tid = notice->tid;
	endpoint->last_fd = number;
	*theirs = fd;
	return endpoint;
}

int endpoint_fetch(struct endpoint *endpoint)
{
	uint64_t inode = 0;
	int fd;

	if (endpoint->last_fd < 0)
		return -1;
	fd = notice_take_fd(&endpoint->run->notices, endpoint->last_tid, endpoint->last_fd);
	if (fd < 0)
		return -1;
	if (inode_of(fd, &inode) == 0 && inode == endpoint->inode)
		return fd;
	close(fd);
	return -1;
}

void endpoint_close_end(struct endpoint *endpoint)
{
	if (endpoint->source.fd >= 0)
		close(endpoint->source.fd);
	endpoint->source.fd = -1;
}

void endpoint_reset(struct endpoint *endpoint)
{
	int theirs = endpoint_fetch(endpoint);

	/* A socket that is closed with bytes unread makes its peer fail with ECONNRESET. */
	if (theirs >= 0) {
		(void)send(theirs, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(theirs);
	}
	endpoint_close_end(endpoint);
}

static void free_early(struct endpoint *endpoint)
{
	while (endpoint->early) {
		struct early *early = endpoint->early;

		endpoint->early = early->next;
		pvcalls_front_release(early->remote);
		free(early);
	}
	endpoint->early_count = 0;
}

void endpoint_fail(struct endpoint *endpoint, int error)
{
	struct run *run = endpoint->run;
	struct endpoint **place = &run->failed[run->failed_next++ % FAILED_KEPT];

	if (*place)
		endpoint_end(*place);
	*place = endpoint;
	free_early(endpoint);
	endpoint_close_end(endpoint);
	endpoint->error = error;
	endpoint->state = ENDPOINT_FAILED;
}

void endpoint_end(struct endpoint *endpoint)
{
	struct run *run = endpoint->run;

	if (endpoint->state == ENDPOINT_GONE)
		return;
	forget_failure(endpoint);
	endpoint_answer_all(endpoint, -ECONNABORTED);
	free_early(endpoint);
	if (endpoint->remote)
		pvcalls_front_release(endpoint->remote);
	if (endpoint->state == ENDPOINT_CONNECTED)
		run->streams--;
	endpoint->remote = NULL;
	endpoint_close_end(endpoint);
	leave(endpoint);
	endpoint->state = ENDPOINT_GONE;
	endpoint->next = run->graveyard;
	run->graveyard = endpoint;
	run->endpoints--;
}

void endpoint_bury(struct run *run)
{
	struct endpoint **at = &run->graveyard;

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

void endpoint_end_all(struct run *run)
{
	uint32_t i;

	for (i = 0; i < ENDPOINT_BUCKETS; i++)
		while (run->bucket[i])
			endpoint_end(run->bucket[i]);
	run->pump_first = NULL;
	while (run->graveyard) {
		run->graveyard->queued = false;
		endpoint_bury(run);
	}
}

bool endpoint_is_short(struct run *run, int error)
{
	const char *why;

	if (error != -ENOMEM && error != -ENOSPC)
		return false;
	why = pvcalls_front_shortage(run->front);
	if (why && !run->told_shortage)
		fprintf(stderr, "pvcalls-run: %s\n", why);
	run->told_shortage = true;
	return true;
}

uint32_t endpoint_order(const struct run *run)
{
	uint32_t max = pvcalls_front_max_order(run->front);
	uint32_t order = run->order;

	if (!order && pvcalls_front_transport(run->front) == PVCALLS_FRONT_XEN)
		order = run->streams < XEN_MANY ? XEN_BIG_ORDER : SMALL_ORDER;
	else if (!order)
		order = run->streams < MANY_STREAMS    ? BIG_ORDER
			: run->streams < CROWD_STREAMS ? MIDDLE_ORDER
						       : SMALL_ORDER;
	return order < max ? order : max;
}
