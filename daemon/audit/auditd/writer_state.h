/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer's state: private to writer.c, writer_control.c and writer_store.c. */
#ifndef AUDITD_WRITER_STATE_H
#define AUDITD_WRITER_STATE_H

#include "audit/auditd/sealer.h"
#include "audit/auditd/writer.h"
#include "audit/queue/drain.h"
#include "ipc/auditd_message.h"

#define WRITER_EVENTS 64u /* events taken from the socket and not yet committed */

struct writer_queue {
	struct writer_queue *next;
	struct drain *drain;
	int64_t id;      /* in the store */
	bool entered;    /* id is valid in the store that is open now */
	bool finishing;  /* its engine has ended */
	bool finished;   /* and everything is committed */
	bool wrapped_up; /* leftovers are in the open transaction */
	bool damage_told;
};

struct writer {
	const struct writer_options *options;
	const struct log *log;
	struct store *store; /* NULL: in trouble */
	struct sealer sealer;
	struct writer_queue *queues;
	uint8_t link_id[16];
	bool has_link;
	bool link_entered;
	int64_t link;          /* id in the store */
	uint64_t event_place;  /* number of the last event that is in the store */
	uint64_t event_answer; /* and of the last that was confirmed to the supervisor */
	struct auditd_message events[WRITER_EVENTS];
	uint32_t event_count;
	bool control_open;
	bool was_ready;
	bool in_trouble;
	bool again;          /* another transaction should follow at once */
	bool verify;         /* the last error was the disk's: look closely at the next opening */
	uint64_t retry_ns;   /* monotonic: when to try to open the store again */
	uint64_t patient_ns; /* monotonic: until then a former writer may hold the trail */
	uint64_t seal_ns;    /* monotonic: when to look for a segment to seal again */
};

/* Reads what the supervisor says until there is no more, or no room for more events. */
void writer_listen(struct writer *writer);
/* Sends a message; id and text may be NULL. A supervisor that does not read gets none. */
void writer_tell(struct writer *writer, enum auditd_message_kind kind, const uint8_t id[16],
		 uint64_t number, const char *text);
/* Forgets a queue and frees its memory. */
void writer_drop(struct writer *writer, struct writer_queue *queue);

/* Opens the store if it is not open and it is time to. Tells the supervisor what came of it. */
void writer_open(struct writer *writer, uint64_t now_ns);
/*
 * Stores what waits, in one transaction; returns the number of rows, and sets `again` if another
 * should follow. On an error the store is closed (store is NULL), the queues stand where they were,
 * and the supervisor knows.
 */
uint32_t writer_store(struct writer *writer, uint64_t now_ns);

#endif
