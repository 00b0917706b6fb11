/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer's conversation with the supervisor, and the list of queues that results from it. */
#ifndef AUDITD_WRITER_CONTROL_H
#define AUDITD_WRITER_CONTROL_H

#include <stdint.h>

#include "ipc/auditd_message.h"

struct writer;
struct writer_queue;

/*
 * Reads what the supervisor says until there is no more, or no room for more events. Clears
 * control_open when the supervisor is gone.
 */
void writer_control_read(struct writer *writer);
/*
 * Sends a message; id and text may be NULL, and text is cut to its room. A supervisor that does not
 * read gets none.
 */
void writer_control_tell(struct writer *writer, enum auditd_message_kind kind, const uint8_t id[16],
			 uint64_t number, const char *text);
/* Takes a queue off the list, and frees it with its drain. */
void writer_control_drop(struct writer *writer, struct writer_queue *queue);

#endif
