/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/run_loop.h"

#include <stddef.h>
#include <sys/epoll.h>

#include "run/endpoints/byte_pump.h"
#include "run/endpoints/waiting_calls.h"
#include "run/trapped/trapped_accept.h"
#include "run/trapped/trapped_calls.h"
#include "run/trapped/trapped_names.h"

#define FLUSH_MS       10000u /* longest without progress while what was written goes out */
#define FLUSH_TURN_MS  100    /* longest sleep of a turn meanwhile */
#define RETRY_SLEEP_MS 50     /* longest sleep while a listener waits for pages */

static void run_loop_front_event(struct event_source *source, uint32_t events)
{
	struct run_loop *loop =
		(struct run_loop *)((char *)source - offsetof(struct run_loop, front_source));

	(void)events; /* the turn dispatches */
	loop->front_event = true;
}

static void run_loop_trap_event(struct event_source *source, uint32_t events)
{
	struct run_loop *loop =
		(struct run_loop *)((char *)source - offsetof(struct run_loop, trap_source));

	if (events & EPOLLIN)
		trapped_calls_serve(&loop->table);
	else /* no process is left */
		epoll_ctl(loop->table.epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

int run_loop_watch(struct run_loop *loop, int trap_fd, int signal_fd)
{
	int epoll_fd = loop->table.epoll_fd;
	int error = event_source_watch(epoll_fd, &loop->front_source,
				       pvcalls_front_fd(loop->table.front), EPOLLIN,
				       run_loop_front_event);

	loop->table.local_done = trapped_names_local_done;
	if (!error)
		error = event_source_watch(epoll_fd, &loop->trap_source, trap_fd, EPOLLIN,
					   run_loop_trap_event);
	if (!error)
		error = event_source_watch(epoll_fd, &loop->child.source, signal_fd, EPOLLIN,
					   child_signals_event);
	return error;
}

/*
 * Events of the local transport are looked at in every turn, which costs nothing and keeps the
 * daemon from waking us. Those of Xen are a system call away.
 */
static void run_loop_dispatch(struct run_loop *loop)
{
	struct pvcalls_front *front = loop->table.front;

	if (loop->front_event || pvcalls_front_pending(front) ||
	    pvcalls_front_transport(front) != PVCALLS_FRONT_XEN)
		pvcalls_front_dispatch(front);
	loop->front_event = false;
}

/* Milliseconds to sleep; -1: without limit. */
static int run_loop_sleep_time(struct endpoint_table *table, bool busy, int longest)
{
	int deadline;

	if (busy || !pvcalls_front_may_sleep(table->front))
		return 0;
	if (table->retry_ms && (longest < 0 || longest > RETRY_SLEEP_MS))
		longest = RETRY_SLEEP_MS;
	deadline = waiting_calls_next_deadline(table);
	if (deadline < 0 || (longest >= 0 && longest < deadline))
		return longest;
	return deadline;
}

/* One turn of everything; sleeps up to longest ms (-1: no limit) if there is nothing to do. */
static void run_loop_turn(struct run_loop *loop, int longest)
{
	struct endpoint_table *table = &loop->table;
	bool busy = byte_pump_turn(table);

	pvcalls_front_uncork(table->front);
	event_source_wait(table->epoll_fd, run_loop_sleep_time(table, busy, longest));
	pvcalls_front_cork(table->front);
	run_loop_dispatch(loop);
	if (table->deadlines > 0)
		waiting_calls_expire(table);
	if (table->retry_ms && event_source_now_ms() >= table->retry_ms)
		trapped_accept_retry(table);
	endpoint_bury(table);
}

void run_loop_serve(struct run_loop *loop)
{
	pvcalls_front_cork(loop->table.front);
	while (!loop->child.ended)
		run_loop_turn(loop, -1);
}

void run_loop_flush(struct run_loop *loop)
{
	struct endpoint_table *table = &loop->table;
	uint64_t deadline = event_source_now_ms() + FLUSH_MS;
	uint32_t left = UINT32_MAX;

	while (!pvcalls_front_error(table->front) && event_source_now_ms() < deadline) {
		uint32_t now = table->streams + pvcalls_front_releasing(table->front);

		if (now == 0 && !table->pump_first)
			break;
		if (now < left)
			deadline = event_source_now_ms() + FLUSH_MS;
		left = now;
		run_loop_turn(loop, FLUSH_TURN_MS);
	}
	pvcalls_front_uncork(table->front);
}
