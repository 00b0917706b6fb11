/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What pvcalls-auditd knows, for the files that make up its loop and for no others:
 *
 *   writer.c          when to work and when to sleep; calls the two below
 *   writer_store.c    one transaction after the other; calls the one below
 *   writer_control.c  the supervisor's word and our answers; the list of queues
 */
#ifndef AUDITD_WRITER_STATE_H
#define AUDITD_WRITER_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/auditd/sealer.h"
#include "audit/auditd/writer.h"
#include "audit/queue/drain.h"
#include "ipc/auditd_message.h"

#define WRITER_EVENTS 64u /* events taken from the socket and not yet committed */

/* A queue that the supervisor has named. Owned by the list in struct writer. */
struct writer_queue {
	struct writer_queue *next;
	struct drain *drain; /* owned */

	/* In the store; forgotten when it is closed after an error. */
	int64_t id;      /* of the row that stands for the queue */
	bool entered;    /* id is valid in the store that is open now */
	bool wrapped_up; /* leftovers are in the open transaction */

	/* In the transaction that is being made. */
	uint32_t taken;   /* records */
	uint64_t next_ns; /* time of the next record; UINT64_MAX: no more are taken */

	/* Its end, and what the supervisor was told. */
	bool finishing; /* its engine has ended */
	bool finished;  /* and everything is committed */
	bool damage_told;
};

/* The whole process; lives in writer_run(). */
struct writer {
	const struct writer_options *options;
	const struct log *log;

	/* The store, and how things stand with the disk. */
	struct store *store; /* owned; NULL: in trouble, or not opened yet */
	bool was_ready;      /* the supervisor has heard READY */
	bool in_trouble;     /* and TROUBLE, without RECOVERED since */
	bool verify;         /* the last error was the disk's: look closely at the next opening */
	bool again;          /* another transaction should follow at once */
	uint64_t retry_ns;   /* monotonic: when to try to open the store again */
	uint64_t patient_ns; /* monotonic: until then a former writer may hold the trail */

	uint64_t touch_ns; /* monotonic: when to leave the next sign of life; 0: at once */

	/* The process that seals full segments. */
	struct sealer sealer;
	uint64_t seal_ns; /* monotonic: when to look for a segment to seal again */

	/* The engines' queues, in the order of their guests' arrival. */
	struct writer_queue *queues;

	/* The supervisor, and its events. */
	bool control_open;
	bool has_link;         /* link_id is the supervisor's */
	bool link_entered;     /* link and event_place are valid in the store that is open now */
	uint8_t link_id[16];   /* random, the supervisor's */
	int64_t link;          /* of the row that stands for the supervisor */
	bool end_told;         /* the log says how the one before it ended, if not in order */
	uint64_t gone_ns;      /* UTC: since when it is gone; 0: it is there */
	int64_t gone_call;     /* the last call that was stored then; -1: nobody knows */
	uint64_t event_place;  /* number of the last event that is in the store */
	uint64_t event_answer; /* and of the last that was confirmed to the supervisor */
	uint32_t event_count;  /* in events: not yet committed */
	struct auditd_message events[WRITER_EVENTS];
};

#endif
