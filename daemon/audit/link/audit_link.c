/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/link/audit_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "audit/queue/audit_queue.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "ipc/auditd_message.h"

/* Events sent and not yet confirmed: less than what fits the socket, so that queues get through. */
#define LINK_EVENTS_AHEAD 32u

struct link_queue {
	struct link_queue *next;
	struct audit_identity identity; /* copied before the engine could change it */
	int memfd;
	int engine_eventfd;
	bool added; /* told to this writer */
	bool finishing;
	bool finish_told;
};

struct link_event {
	struct link_event *next;
	uint64_t number;
	bool told;
	struct auditd_message_event event;
};

struct audit_link {
	struct audit_link_calls calls;
	uint8_t id[16];
	int socket;
	bool hello_told;
	struct link_queue *queues;
	struct link_event *events; /* by rising number */
	struct link_event *events_last;
	uint32_t event_count;
	uint32_t events_ahead;
	uint64_t events_lost; /* since the last that was kept */
	uint64_t last_number;
};

int audit_link_create(struct audit_link **link, const struct audit_link_calls *calls)
{
	struct audit_link *made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	if (getrandom(made->id, sizeof(made->id), 0) != (ssize_t)sizeof(made->id)) {
		free(made);
		return -EIO;
	}
	made->calls = *calls;
	made->socket = -1;
	*link = made;
	return 0;
}

static void link_free_queue(struct link_queue *queue)
{
	fd_close(&queue->memfd);
	fd_close(&queue->engine_eventfd);
	free(queue);
}

void audit_link_destroy(struct audit_link *link)
{
	if (!link)
		return;
	while (link->queues) {
		struct link_queue *queue = link->queues;
		link->queues = queue->next;
		link_free_queue(queue);
	}
	while (link->events) {
		struct link_event *event = link->events;
		link->events = event->next;
		free(event);
	}
	fd_close(&link->socket);
	free(link);
}

static int link_send_message(struct audit_link *link, struct auditd_message *message,
			     const int *fds, size_t count)
{
	return fd_send(link->socket, message, sizeof(*message), fds, count);
}

static int link_send_hello(struct audit_link *link)
{
	struct auditd_message message = {.kind = AUDITD_MESSAGE_HELLO};
	memcpy(message.id, link->id, sizeof(message.id));
	int error = link_send_message(link, &message, NULL, 0);
	link->hello_told = error == 0;
	return error;
}

static int link_send_queue(struct audit_link *link, struct link_queue *queue)
{
	struct auditd_message message = {.kind = AUDITD_MESSAGE_ADD};
	memcpy(message.id, queue->identity.queue_id, sizeof(message.id));
	int error = 0;
	if (!queue->added) {
		const int fds[] = {queue->memfd, queue->engine_eventfd};
		message.body.identity = queue->identity;
		error = link_send_message(link, &message, fds, 2);
		queue->added = error == 0;
	}
	if (error == 0 && queue->finishing && !queue->finish_told) {
		message.kind = AUDITD_MESSAGE_FINISH;
		error = link_send_message(link, &message, NULL, 0);
		queue->finish_told = error == 0;
	}
	return error;
}

static int link_send_event(struct audit_link *link, struct link_event *event)
{
	struct auditd_message message = {.kind = AUDITD_MESSAGE_EVENT, .number = event->number};
	message.body.event = event->event;
	int error = link_send_message(link, &message, NULL, 0);
	event->told = error == 0;
	link->events_ahead += event->told;
	return error;
}

/* Tells the writer what it has not been told; what does not fit waits for its next answer. */
static void link_send_pending(struct audit_link *link)
{
	if (link->socket < 0 || (!link->hello_told && link_send_hello(link) < 0))
		return;
	for (struct link_queue *queue = link->queues; queue; queue = queue->next) {
		if (link_send_queue(link, queue) < 0)
			return;
	}
	for (struct link_event *event = link->events; event; event = event->next) {
		if (!event->told &&
		    (link->events_ahead >= LINK_EVENTS_AHEAD || link_send_event(link, event) < 0))
			return;
	}
}

int audit_link_connect(struct audit_link *link, int socket)
{
	ASSERT(socket >= 0);
	fd_close(&link->socket);
	link->socket = socket;
	link->hello_told = false;
	link->events_ahead = 0;
	for (struct link_queue *queue = link->queues; queue; queue = queue->next) {
		queue->added = false;
		queue->finish_told = false;
	}
	for (struct link_event *event = link->events; event; event = event->next)
		event->told = false;
	link_send_pending(link);
	return 0;
}

int audit_link_fd(const struct audit_link *link)
{
	return link->socket;
}

static struct link_queue *link_find_queue(struct audit_link *link, const uint8_t queue_id[16])
{
	for (struct link_queue *queue = link->queues; queue; queue = queue->next) {
		if (memcmp(queue->identity.queue_id, queue_id, 16) == 0)
			return queue;
	}
	return NULL;
}

static void link_queue_finished(struct audit_link *link, const uint8_t queue_id[16])
{
	struct link_queue *queue = link_find_queue(link, queue_id);
	if (!queue || !queue->finishing)
		return;
	struct link_queue **place = &link->queues;
	while (*place != queue)
		place = &(*place)->next;
	*place = queue->next;
	if (link->calls.finished)
		link->calls.finished(link->calls.owner, queue->identity.queue_id);
	link_free_queue(queue);
}

static void link_events_stored(struct audit_link *link, uint64_t number)
{
	/* What the writer was not told of it can't have stored. */
	while (link->events && link->events->told && link->events->number <= number) {
		struct link_event *event = link->events;
		link->events = event->next;
		ASSERT(link->event_count > 0 && link->events_ahead > 0);
		link->event_count--;
		link->events_ahead--;
		free(event);
	}
	if (!link->events)
		link->events_last = NULL;
}

static void link_take_message(struct audit_link *link, struct auditd_message *message)
{
	const struct audit_link_calls *calls = &link->calls;
	char *text = message->body.text;
	text[sizeof(message->body.text) - 1] = '\0';
	switch (message->kind) {
	case AUDITD_MESSAGE_READY:
		if (calls->ready)
			calls->ready(calls->owner);
		break;
	case AUDITD_MESSAGE_TROUBLE:
		if (calls->trouble)
			calls->trouble(calls->owner, text);
		break;
	case AUDITD_MESSAGE_RECOVERED:
		if (calls->recovered)
			calls->recovered(calls->owner);
		break;
	case AUDITD_MESSAGE_DAMAGED:
		if (calls->damaged)
			calls->damaged(calls->owner, message->id, text);
		break;
	case AUDITD_MESSAGE_ADDED:
		if (text[0] != '\0' && calls->damaged)
			calls->damaged(calls->owner, message->id, text);
		break;
	case AUDITD_MESSAGE_FINISHED:
		link_queue_finished(link, message->id);
		break;
	case AUDITD_MESSAGE_STORED:
		link_events_stored(link, message->number);
		break;
	default:
		break;
	}
}

/* An event that stands for those that did not fit. */
static void link_note_lost(struct audit_link *link)
{
	if (link->events_lost == 0 || link->event_count >= AUDIT_LINK_EVENTS / 2)
		return;
	char text[AUDIT_EVENT_TEXT_MAX];
	snprintf(
		text, sizeof(text),
		"%llu events were not recorded: there were more than %u while the audit writer was "
		"away",
		(unsigned long long)link->events_lost, AUDIT_LINK_EVENTS);
	link->events_lost = 0;
	audit_link_event(link, AUDIT_EVENT_DISK, NULL, 0, text);
}

int audit_link_dispatch(struct audit_link *link)
{
	while (link->socket >= 0) {
		struct auditd_message message = {0};
		int fds[FDS_PER_MESSAGE];
		size_t count = 0;
		ssize_t size = fd_receive(link->socket, &message, sizeof(message), fds, &count);
		if (size == -EAGAIN)
			break;
		for (size_t i = 0; size >= 0 && i < count; i++)
			fd_close(&fds[i]);
		if (size != (ssize_t)sizeof(message)) {
			fd_close(&link->socket);
			return -EPIPE;
		}
		link_take_message(link, &message);
	}
	link_note_lost(link);
	link_send_pending(link);
	return link->socket >= 0 ? 0 : -EPIPE;
}

int audit_link_add(struct audit_link *link, const uint8_t queue_id[16], int memfd,
		   int engine_eventfd)
{
	struct audit_identity identity;
	int error = audit_queue_identity(memfd, &identity);
	if (error < 0)
		return error;
	struct link_queue *queue = calloc(1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	queue->identity = identity;
	memcpy(queue->identity.queue_id, queue_id, sizeof(queue->identity.queue_id));
	queue->memfd = fcntl(memfd, F_DUPFD_CLOEXEC, 0);
	queue->engine_eventfd = fcntl(engine_eventfd, F_DUPFD_CLOEXEC, 0);
	if (queue->memfd < 0 || queue->engine_eventfd < 0) {
		error = -errno;
		link_free_queue(queue);
		return error;
	}
	queue->next = link->queues;
	link->queues = queue;
	link_send_pending(link);
	return 0;
}

void audit_link_finish(struct audit_link *link, const uint8_t queue_id[16])
{
	struct link_queue *queue = link_find_queue(link, queue_id);
	if (!queue)
		return;
	queue->finishing = true;
	link_send_pending(link);
}

bool audit_link_ended_in_hook(struct audit_link *link, const uint8_t queue_id[16],
			      struct hook_mark *mark)
{
	struct link_queue *queue = link_find_queue(link, queue_id);
	return queue && audit_queue_ended_in_hook(queue->memfd, mark);
}

void audit_link_event(struct audit_link *link, enum audit_event kind, const char *guest,
		      uint32_t uid, const char *text)
{
	ASSERT(kind < AUDIT_EVENT_KINDS && text);
	struct link_event *event =
		link->event_count < AUDIT_LINK_EVENTS ? calloc(1, sizeof(*event)) : NULL;
	if (!event) {
		link->events_lost++;
		return;
	}
	event->number = ++link->last_number;
	event->event.wall_ns = clock_wall_ns();
	event->event.kind = (uint32_t)kind;
	event->event.uid = uid;
	if (guest) {
		event->event.has_guest = 1;
		snprintf(event->event.guest, sizeof(event->event.guest), "%s", guest);
	}
	snprintf(event->event.text, sizeof(event->event.text), "%s", text);
	if (link->events_last)
		link->events_last->next = event;
	else
		link->events = event;
	link->events_last = event;
	link->event_count++;
	link_send_pending(link);
}

uint32_t audit_link_pending(const struct audit_link *link)
{
	uint32_t pending = link->event_count + (link->events_lost != 0);
	for (const struct link_queue *queue = link->queues; queue; queue = queue->next)
		pending++;
	return pending;
}
