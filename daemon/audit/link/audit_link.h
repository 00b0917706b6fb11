/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's end of pvcalls-auditd: which queues it must drain and which events it must
 * store.
 *
 * The link outlives the writer. What the writer has not confirmed stays here, and
 * audit_link_connect() gives all of it to a new writer: a killed writer loses nothing. Each event
 * has a number; the writer stores the number with it and so stores none twice.
 */
#ifndef AUDIT_LINK_H
#define AUDIT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/auditd_message.h"

#define AUDIT_LINK_EVENTS 8192u /* events that wait for the writer: about 6 MB */

struct audit_link;
struct hook_mark;

/* What the writer says; each may be NULL. */
struct audit_link_calls {
	/* The writer has opened the trail and takes rows. */
	void (*ready)(void *owner);
	/* The trail can't be opened, or rows can't be stored (they wait); text says why. */
	void (*trouble)(void *owner, const char *text);
	/* Rows are stored again. */
	void (*recovered)(void *owner);
	/* Everything of a queue given to audit_link_finish() is stored; the memory may go. */
	void (*finished)(void *owner, const uint8_t queue_id[16]);
	/*
	 * A queue's memory holds what no engine of ours writes: its engine is captured or broken,
	 * and must be ended. Told once.
	 */
	void (*damaged)(void *owner, const uint8_t queue_id[16], const char *text);
	void *owner;
};

/* Makes a link without a writer; calls are copied. Returns 0 and *link, or -ENOMEM or -EIO. */
int audit_link_create(struct audit_link **link, const struct audit_link_calls *calls);
/* Forgets what is not confirmed, and closes the socket; NULL is left alone. */
void audit_link_destroy(struct audit_link *link);

/*
 * A writer was started; socket (SOCK_SEQPACKET, non-blocking) is our end, owned by the link now.
 * Closes the one before. Returns 0.
 */
int audit_link_connect(struct audit_link *link, int socket);
/* The descriptor to watch for EPOLLIN; -1 while there is no writer. */
int audit_link_fd(const struct audit_link *link);
/* Reads what the writer says. Returns 0, or -EPIPE when it is gone (then connect a new one). */
int audit_link_dispatch(struct audit_link *link);

/*
 * Has a queue drained: its memory, of audit_queue_create(), and the eventfd by which its engine is
 * woken. Both descriptors are duplicated. Returns 0 or -errno.
 */
int audit_link_add(struct audit_link *link, const uint8_t queue_id[16], int memfd,
		   int engine_eventfd);
/*
 * The queue's engine has ended: has the rest stored, decided calls as outcome "unknown". A queue
 * that was not added is left alone.
 */
void audit_link_finish(struct audit_link *link, const uint8_t queue_id[16]);
/* Whether the queue's engine, which has ended, did so in a plugin's hook: then *mark says which. To
 * be asked before audit_link_finish(). */
bool audit_link_ended_in_hook(struct audit_link *link, const uint8_t queue_id[16],
			      struct hook_mark *mark);
/*
 * Has an event stored; guest may be NULL, uid is whose command it was or 0. Strings are copied, and
 * cut to their room. While the writer is away
 * AUDIT_LINK_EVENTS events are kept; of those beyond, their number is stored.
 */
void audit_link_event(struct audit_link *link, enum audit_event kind, const char *guest,
		      uint32_t uid, const char *text);
/* Queues and events that are not yet confirmed: 0 means that everything is on disk. */
uint32_t audit_link_pending(const struct audit_link *link);

#endif
