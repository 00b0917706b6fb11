/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What supervisor and pvcalls-auditd say to each other over a SOCK_SEQPACKET pair.
 *
 * HELLO is first. Everything the supervisor sends is answered when it is done, so that it may hold
 * back what the socket has no room for until an answer comes. Both ends are one build: a message of
 * another size is an error.
 */
#ifndef AUDIT_MESSAGE_H
#define AUDIT_MESSAGE_H

#include <stdint.h>

#include "audit/link.h"
#include "audit/record.h"

#define AUDIT_CONTROL_FD  3 /* of pvcalls-auditd: the control socket ... */
#define AUDIT_DOORBELL_FD 4 /* ... the eventfd that engines ring ... */
#define AUDIT_FOLDER_FD   5 /* ... and the trail's folder, O_DIRECTORY */

enum audit_message_kind {
	/* supervisor to writer */
	AUDIT_MESSAGE_HELLO = 1, /* id: of the link */
	AUDIT_MESSAGE_ADD,       /* identity; descriptors: memfd, engine's doorbell. ADDED */
	AUDIT_MESSAGE_FINISH,    /* id: of the queue. FINISHED */
	AUDIT_MESSAGE_EVENT,     /* event. STORED */
	/* writer to supervisor */
	AUDIT_MESSAGE_READY,
	AUDIT_MESSAGE_TROUBLE, /* text */
	AUDIT_MESSAGE_RECOVERED,
	AUDIT_MESSAGE_ADDED,    /* id: of the queue; text: why it can't be drained, or empty */
	AUDIT_MESSAGE_FINISHED, /* id: of the queue */
	AUDIT_MESSAGE_STORED,   /* number: every event up to it is on disk */
	AUDIT_MESSAGE_DAMAGED,  /* id: of the queue; text */
};

struct audit_message_event {
	uint64_t wall_ns;
	uint32_t kind; /* enum audit_event */
	uint32_t uid;
	uint32_t has_guest;
	uint32_t reserved;
	char guest[PVCALLS_NAME_MAX];
	char text[AUDIT_EVENT_TEXT_MAX];
};

struct audit_message {
	uint32_t kind; /* enum audit_message_kind */
	uint32_t reserved;
	uint64_t number; /* of an event, from 1 */
	uint8_t id[16];
	union {
		struct audit_identity identity;
		struct audit_message_event event;
		char text[FAULT_TEXT_MAX];
	} body;
};

#endif
