/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in pvcalls-auditd's place to show what the trail costs: it answers the supervisor and
 * gives every slot back, and keeps nothing. It sleeps and is woken as the real one, so what is
 * missing is the work on rows alone. For the benchmark only: it is neither built into nor
 * installed with the daemon.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "audit/queue/drain.h"
#include "base/fd.h"
#include "ipc/auditd_message.h"

#define QUEUES_MAX 64
#define LINGER_MS  15 /* as the real writer */

static struct drain *queues[QUEUES_MAX];
static size_t queue_count;

static void null_writer_tell(enum auditd_message_kind kind, const uint8_t id[16], uint64_t number)
{
	struct auditd_message message = {.kind = (uint32_t)kind, .number = number};

	if (id)
		memcpy(message.id, id, sizeof(message.id));
	if (fd_send(AUDITD_SOCKET_FD, &message, sizeof(message), NULL, 0) < 0)
		exit(0);
}

static void null_writer_add(const struct auditd_message *message, const int *fds)
{
	struct audit_identity identity = message->body.identity;

	memcpy(identity.queue_id, message->id, sizeof(identity.queue_id));
	if (queue_count == QUEUES_MAX ||
	    drain_open(&queues[queue_count], &identity, fds[0], fds[1]) < 0)
		exit(1);
	drain_resume(queues[queue_count], 0);
	queue_count++;
	null_writer_tell(AUDITD_MESSAGE_ADDED, message->id, 0);
}

static void null_writer_finish(const struct auditd_message *message)
{
	for (size_t i = 0; i < queue_count; i++) {
		if (memcmp(drain_identity(queues[i])->queue_id, message->id, 16) != 0)
			continue;
		drain_close(queues[i]);
		queues[i] = queues[--queue_count];
		break;
	}
	null_writer_tell(AUDITD_MESSAGE_FINISHED, message->id, 0);
}

/* What the supervisor says. Its end is ours. */
static void null_writer_listen(void)
{
	struct auditd_message message;
	int fds[FDS_PER_MESSAGE];
	size_t count;
	ssize_t size;

	while ((size = fd_receive(AUDITD_SOCKET_FD, &message, sizeof(message), fds, &count)) > 0) {
		if (message.kind == AUDITD_MESSAGE_HELLO)
			null_writer_tell(AUDITD_MESSAGE_READY, NULL, 0);
		else if (message.kind == AUDITD_MESSAGE_ADD && count == 2)
			null_writer_add(&message, fds);
		else if (message.kind == AUDITD_MESSAGE_FINISH)
			null_writer_finish(&message);
		else if (message.kind == AUDITD_MESSAGE_EVENT)
			null_writer_tell(AUDITD_MESSAGE_STORED, NULL, message.number);
	}
	if (size != -EAGAIN)
		exit(0);
}

/* Gives all slots back; returns how many. */
static uint32_t null_writer_give_back(void)
{
	struct audit_record record;
	uint32_t count = 0;

	for (size_t i = 0; i < queue_count; i++) {
		while (drain_take(queues[i], &record))
			count++;
		drain_committed(queues[i]);
	}
	return count;
}

static void null_writer_rest(bool timed)
{
	struct pollfd watch[] = {{.fd = AUDITD_SOCKET_FD, .events = POLLIN},
				 {.fd = AUDITD_EVENTFD, .events = POLLIN}};
	bool sleep = true;
	eventfd_t rings;

	for (size_t i = 0; i < queue_count; i++)
		sleep &= drain_sleep(queues[i], timed);
	if (sleep)
		poll(watch, 2, timed ? LINGER_MS : -1);
	for (size_t i = 0; i < queue_count; i++)
		drain_wake(queues[i]);
	if (watch[1].revents & POLLIN)
		(void)eventfd_read(AUDITD_EVENTFD, &rings);
}

int main(void)
{
	for (;;) {
		null_writer_listen();
		null_writer_rest(null_writer_give_back() > 0);
	}
}
