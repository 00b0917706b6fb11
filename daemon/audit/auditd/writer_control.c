/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/auditd/writer_control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/auditd/writer_state.h"
#include "base/assert.h"
#include "base/fd.h"

void writer_control_tell(struct writer *writer, enum auditd_message_kind kind, const uint8_t id[16],
			 uint64_t number, const char *text)
{
	struct auditd_message message = {.kind = (uint32_t)kind, .number = number};
	if (id)
		memcpy(message.id, id, sizeof(message.id));
	if (text)
		snprintf(message.body.text, sizeof(message.body.text), "%s", text);
	if (!writer->control_open)
		return;
	int error = fd_send(writer->options->control, &message, sizeof(message), NULL, 0);
	if (error == -EPIPE || error == -ECONNRESET)
		writer->control_open = false;
	else if (error < 0)
		log_error(writer->log, "the supervisor does not take messages: %s",
			  strerror(-error));
}

static struct writer_queue *writer_control_find_queue(struct writer *writer, const uint8_t id[16])
{
	for (struct writer_queue *queue = writer->queues; queue; queue = queue->next) {
		if (memcmp(drain_identity(queue->drain)->queue_id, id, 16) == 0)
			return queue;
	}
	return NULL;
}

void writer_control_drop(struct writer *writer, struct writer_queue *queue)
{
	struct writer_queue **place = &writer->queues;
	while (*place && *place != queue)
		place = &(*place)->next;
	ASSERT(*place == queue);
	*place = queue->next;
	drain_close(queue->drain);
	free(queue);
}

/* Takes the two descriptors, whatever comes of it. */
static int writer_control_add_queue(struct writer *writer, const struct auditd_message *message,
				    int memfd, int engine_eventfd)
{
	if (writer_control_find_queue(writer, message->id)) {
		fd_close(&memfd);
		fd_close(&engine_eventfd);
		return 0;
	}
	struct audit_identity identity = message->body.identity;
	identity.name[sizeof(identity.name) - 1] = '\0';
	identity.uuid[sizeof(identity.uuid) - 1] = '\0';
	memcpy(identity.queue_id, message->id, sizeof(identity.queue_id));

	struct drain *drain = NULL;
	int error = drain_open(&drain, &identity, memfd, engine_eventfd);
	if (error < 0)
		return error;
	struct writer_queue *queue = calloc(1, sizeof(*queue));
	if (!queue) {
		drain_close(drain);
		return -ENOMEM;
	}
	queue->drain = drain;
	/* At the end: queues are drained, and rows numbered, in the order of their guests' arrival.
	 */
	struct writer_queue **place = &writer->queues;
	while (*place)
		place = &(*place)->next;
	*place = queue;
	return 0;
}

static void writer_control_take_add(struct writer *writer, const struct auditd_message *message,
				    int fds[], size_t count)
{
	int error = -EINVAL;
	if (count == 2) {
		error = writer_control_add_queue(writer, message, fds[0], fds[1]);
		fds[0] = -1;
		fds[1] = -1;
	}
	char text[FAULT_TEXT_MAX] = "";
	if (error < 0)
		snprintf(text, sizeof(text), "the audit queue can't be read: %s", strerror(-error));
	writer_control_tell(writer, AUDITD_MESSAGE_ADDED, message->id, 0, text);
}

static void writer_control_take_finish(struct writer *writer, const struct auditd_message *message)
{
	struct writer_queue *queue = writer_control_find_queue(writer, message->id);
	if (queue)
		queue->finishing = true;
	else
		writer_control_tell(writer, AUDITD_MESSAGE_FINISHED, message->id, 0, NULL);
}

static void writer_control_take_event(struct writer *writer, const struct auditd_message *message)
{
	ASSERT(writer->event_count < WRITER_EVENTS);
	struct auditd_message *event = &writer->events[writer->event_count++];
	*event = *message;
	event->body.event.guest[sizeof(event->body.event.guest) - 1] = '\0';
	event->body.event.text[sizeof(event->body.event.text) - 1] = '\0';
}

static void writer_control_take_message(struct writer *writer, const struct auditd_message *message,
					int fds[], size_t count)
{
	switch (message->kind) {
	case AUDITD_MESSAGE_HELLO:
		memcpy(writer->link_id, message->id, sizeof(writer->link_id));
		writer->has_link = true;
		writer->link_entered = false;
		break;
	case AUDITD_MESSAGE_ADD:
		writer_control_take_add(writer, message, fds, count);
		break;
	case AUDITD_MESSAGE_FINISH:
		writer_control_take_finish(writer, message);
		break;
	case AUDITD_MESSAGE_EVENT:
		writer_control_take_event(writer, message);
		break;
	default:
		log_error(writer->log,
			  "a message of unknown kind %u: supervisor and writer are "
			  "not of one version",
			  message->kind);
		break;
	}
}

void writer_control_read(struct writer *writer)
{
	while (writer->control_open && writer->event_count < WRITER_EVENTS) {
		struct auditd_message message;
		int fds[FDS_PER_MESSAGE];
		size_t count = 0;
		ssize_t size = fd_receive(writer->options->control, &message, sizeof(message), fds,
					  &count);
		if (size == -EAGAIN)
			return;
		if (size == (ssize_t)sizeof(message))
			writer_control_take_message(writer, &message, fds, count);
		else
			writer->control_open = false;
		for (size_t i = 0; size > 0 && i < count; i++)
			fd_close(&fds[i]);
	}
}
