/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What supervisor and pvcalls-auditd say to each other over a SOCK_SEQPACKET pair.
 *
 * HELLO is first. Everything the supervisor sends is answered when it is done, so that it may hold
 * back what the socket has no room for until an answer comes. Both ends are one build: a message of
 * another size is an error.
 */
#ifndef IPC_AUDITD_MESSAGE_H
#define IPC_AUDITD_MESSAGE_H

#include <stdint.h>

#include "base/fault.h"
#include "ipc/audit_record.h"

#define AUDITD_SOCKET_FD 3 /* of pvcalls-auditd: the control socket ... */
#define AUDITD_EVENTFD   4 /* ... the eventfd that engines ring ... */
#define AUDITD_FOLDER_FD 5 /* ... and the trail's folder, O_DIRECTORY */

enum auditd_message_kind {
	/* supervisor to writer */
	AUDITD_MESSAGE_HELLO = 1, /* id: of the link */
	AUDITD_MESSAGE_ADD,       /* identity; descriptors: memfd, engine's eventfd. ADDED */
	AUDITD_MESSAGE_FINISH,    /* id: of the queue. FINISHED */
	AUDITD_MESSAGE_EVENT,     /* event. STORED */
	/* writer to supervisor */
	AUDITD_MESSAGE_READY,
	AUDITD_MESSAGE_TROUBLE, /* text */
	AUDITD_MESSAGE_RECOVERED,
	AUDITD_MESSAGE_ADDED,    /* id: of the queue; text: why it can't be drained, or empty */
	AUDITD_MESSAGE_FINISHED, /* id: of the queue */
	AUDITD_MESSAGE_STORED,   /* number: every event up to it is on disk */
	AUDITD_MESSAGE_DAMAGED,  /* id: of the queue; text */
};

enum audit_event {
	AUDIT_EVENT_START, /* the daemon started */
	AUDIT_EVENT_STOP,
	AUDIT_EVENT_GUEST_ATTACHED,
	AUDIT_EVENT_GUEST_DETACHED,
	AUDIT_EVENT_GUEST_REFUSED,
	AUDIT_EVENT_GUEST_CUT_OFF, /* broke the protocol; text says how */
	AUDIT_EVENT_ENGINE_CRASHED,
	AUDIT_EVENT_WRITER_CRASHED,
	AUDIT_EVENT_RELOAD,
	AUDIT_EVENT_POLICY_REFUSED,
	AUDIT_EVENT_OPERATOR,  /* a command of pvcallsctl; uid is whose */
	AUDIT_EVENT_DISK,      /* the disk failed, filled, or recovered */
	AUDIT_EVENT_TRANSPORT, /* xenstored went away, or is back */
	/* the daemon before this one ended without AUDIT_EVENT_STOP; the writer's own */
	AUDIT_EVENT_UNCLEAN_END,
	AUDIT_EVENT_SLOTS_FULL, /* a guest can't ask for anything; text says what it waits for */
	AUDIT_EVENT_KINDS,
};

#define AUDIT_EVENT_TEXT_MAX 512 /* bytes with the NUL; cut beyond */

struct auditd_message_event {
	uint64_t wall_ns;
	uint32_t kind; /* enum audit_event */
	uint32_t uid;
	uint32_t has_guest;
	uint32_t reserved;
	char guest[PVCALLS_NAME_MAX];
	char text[AUDIT_EVENT_TEXT_MAX];
};

struct auditd_message {
	uint32_t kind; /* enum auditd_message_kind */
	uint32_t reserved;
	uint64_t number; /* of an event, from 1 */
	uint8_t id[16];
	union {
		struct audit_identity identity;
		struct auditd_message_event event;
		char text[FAULT_TEXT_MAX];
	} body;
};

#endif
