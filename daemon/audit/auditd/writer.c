/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the writer works and when it sleeps.
 *
 * Theory of operation. An engine wakes an idle writer through its eventfd and it stores at once, so
 * a lone record is on disk within a disk's time. While records keep coming it does not want to be
 * woken for each: it then sleeps for WRITER_LINGER_NS at most ("timed"), and engines wake it only
 * when a good part of their pool is done. A timed sleep that brought nothing ends in a sleep
 * without a timer, so an idle system has no wake-ups, but one a minute for a sign of life. With
 * sync durability there is no timed sleep.
 */
#include "audit/auditd/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "audit/auditd/writer_control.h"
#include "audit/auditd/writer_state.h"
#include "audit/auditd/writer_store.h"
#include "base/clock.h"

#define WRITER_LINGER_NS  (50 * NS_PER_MS)
#define WRITER_TOUCH_NS   (60 * NS_PER_S)   /* between signs of life */
#define WRITER_QUIET_NS   (300 * NS_PER_MS) /* no record for so long: the engines are done */
#define WRITER_ENGINES_NS (2 * NS_PER_S)    /* what engines get to end after the supervisor */
#define WRITER_DISK_NS    (10 * NS_PER_S)   /* what a failed disk gets to recover at the end */
#define WRITER_LOOK_NS    (50 * NS_PER_MS)  /* between looks at queues that are about to end */

/* The moment at which the writer must act by itself; UINT64_MAX: none. Monotonic. */
static uint64_t writer_wake_at(const struct writer *writer, uint64_t now_ns, bool timed)
{
	uint64_t wake = timed ? now_ns + WRITER_LINGER_NS : UINT64_MAX;
	if (!writer->store)
		return writer->retry_ns < wake ? writer->retry_ns : wake;
	if (writer->seal_ns < wake)
		wake = writer->seal_ns;
	if (writer->touch_ns < wake)
		wake = writer->touch_ns;
	uint64_t due = store_due_ns(writer->store);
	uint64_t wall = clock_wall_ns();
	if (due == UINT64_MAX)
		return wake;
	uint64_t left = due > wall ? due - wall : 0;
	return now_ns + left < wake ? now_ns + left : wake;
}

/* Tells the engines how we sleep. False: there is work, don't. */
static bool writer_fall_asleep(struct writer *writer, bool timed)
{
	bool may = true;
	/* Without a store there is nothing that an engine could wake us for. */
	for (struct writer_queue *queue = writer->queues; writer->store && queue;
	     queue = queue->next)
		may &= drain_sleep(queue->drain, timed);
	return may;
}

static void writer_wake_up(struct writer *writer)
{
	for (struct writer_queue *queue = writer->queues; queue; queue = queue->next)
		drain_wake(queue->drain);
}

/* Resets the eventfd. Never waits, even if an engine changed the descriptor's flags. */
static void writer_reset_eventfd(int fd)
{
	uint64_t count = 0;
	struct iovec into = {.iov_base = &count, .iov_len = sizeof(count)};
	if (preadv2(fd, &into, 1, -1, RWF_NOWAIT) < 0)
		return; /* no engine wrote to it */
}

static void writer_wait(struct writer *writer, uint64_t now_ns, uint64_t wake_ns)
{
	bool listens = writer->control_open && writer->event_count < WRITER_EVENTS;
	struct pollfd fds[] = {
		{.fd = writer->options->eventfd, .events = POLLIN},
		{.fd = listens ? writer->options->control : -1, .events = POLLIN},
		{.fd = writer->sealer.pidfd, .events = POLLIN},
	};
	uint64_t left = wake_ns > now_ns ? wake_ns - now_ns : 0;
	struct timespec timeout = {.tv_sec = (time_t)(left / NS_PER_S),
				   .tv_nsec = (long)(left % NS_PER_S)};
	ppoll(fds, sizeof(fds) / sizeof(fds[0]), wake_ns == UINT64_MAX ? NULL : &timeout, NULL);
}

static void writer_sleep(struct writer *writer, bool timed)
{
	uint64_t now_ns = clock_monotonic_ns();
	if (writer_fall_asleep(writer, timed))
		writer_wait(writer, now_ns, writer_wake_at(writer, now_ns, timed));
	writer_wake_up(writer);
	writer_reset_eventfd(writer->options->eventfd);
}

static void writer_touch(struct writer *writer, uint64_t now_ns)
{
	if (!writer->store || now_ns < writer->touch_ns)
		return;
	store_touch(writer->store);
	writer->touch_ns = now_ns + WRITER_TOUCH_NS;
}

/* How things stood when the supervisor went, for what is told of its end. */
static void writer_note_gone(struct writer *writer)
{
	if (writer->control_open || writer->gone_ns != 0)
		return;
	writer->gone_ns = clock_wall_ns();
	writer->gone_call = writer->store ? store_last_call(writer->store) : -1;
}

static void writer_serve(struct writer *writer)
{
	writer_store_open(writer, clock_monotonic_ns());
	while (writer->control_open) {
		writer_control_read(writer);
		writer_note_gone(writer);
		uint64_t now_ns = clock_monotonic_ns();
		uint32_t rows = writer_store_run(writer, now_ns);
		writer_touch(writer, now_ns);
		writer->seal_ns = writer->store
					  ? sealer_turn(&writer->sealer, writer->store, now_ns)
					  : UINT64_MAX;
		if (writer->control_open && !writer->again)
			writer_sleep(writer, rows > 0 && !writer->options->sync);
	}
}

static bool writer_any_busy(const struct writer *writer)
{
	for (const struct writer_queue *queue = writer->queues; queue; queue = queue->next) {
		if (drain_busy(queue->drain))
			return true;
	}
	return false;
}

static void writer_pause(uint64_t ns)
{
	struct timespec time = {.tv_sec = (time_t)(ns / NS_PER_S),
				.tv_nsec = (long)(ns % NS_PER_S)};
	nanosleep(&time, NULL);
}

/* The supervisor is gone: its engines end too, and their last records are release records. */
static void writer_await_engines(struct writer *writer)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t end_ns = now_ns + WRITER_ENGINES_NS;
	uint64_t quiet_ns = now_ns + WRITER_QUIET_NS;
	while (writer->queues && now_ns < end_ns) {
		if (writer_store_run(writer, now_ns) > 0)
			quiet_ns = now_ns + WRITER_QUIET_NS;
		if (now_ns >= quiet_ns && !writer_any_busy(writer))
			return;
		if (!writer->again)
			writer_pause(WRITER_LOOK_NS);
		now_ns = clock_monotonic_ns();
	}
}

/* Wraps every queue up. Returns 0, or -EIO if the disk does not take it in time. */
static int writer_wrap_up(struct writer *writer)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t end_ns = now_ns + WRITER_DISK_NS;
	for (struct writer_queue *queue = writer->queues; queue; queue = queue->next)
		queue->finishing = true;
	writer_store_run(writer, now_ns);
	while ((writer->queues || writer->event_count > 0) && now_ns < end_ns) {
		if (!writer->again)
			writer_pause(WRITER_LOOK_NS);
		now_ns = clock_monotonic_ns();
		writer_store_run(writer, now_ns);
	}
	if (!writer->queues && writer->event_count == 0)
		return 0;
	log_error(writer->log,
		  "audit trail in %s: the last records of some guests could not be stored and are "
		  "lost: the disk did not recover in time",
		  writer->options->about);
	return -EIO;
}

int writer_run(const struct writer_options *options, const struct log *log)
{
	int flags = fcntl(options->control, F_GETFL);
	if (flags < 0 || fcntl(options->control, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	struct writer writer = {
		.options = options,
		.log = log,
		.control_open = true,
		.sealer = {.dir = options->store.dir, .log = log, .pidfd = -1},
		.seal_ns = UINT64_MAX,
	};
	writer_serve(&writer);
	writer_note_gone(&writer);
	writer_await_engines(&writer);
	int error = writer_wrap_up(&writer);
	writer_store_lost(&writer);

	sealer_stop(&writer.sealer);
	store_close(writer.store);
	while (writer.queues)
		writer_control_drop(&writer, writer.queues);
	return error;
}
