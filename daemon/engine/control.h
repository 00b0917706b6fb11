/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the supervisor and one engine say to each other: a SOCK_SEQPACKET pair, descriptor
 * CONTROL_FD of the engine. Each message is a struct control_message, cut after its body.
 *
 * An engine's life: START (with descriptors), TRANSPORT (with descriptors), POLICY; it answers
 * READY after it has closed its sandbox. ATTACH maps the command ring: ATTACHED or FAILED. DETACH
 * closes everything, with a release record for each socket: DETACHED. The end of the socket means
 * the same as DETACH, followed by the end of the process.
 */
#ifndef ENGINE_CONTROL_H
#define ENGINE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#define CONTROL_FD       3
#define CONTROL_TEXT_MAX 16384 /* bytes of a text, with its NUL */
#define CONTROL_PATH_MAX 1024

enum control_kind {
	/* supervisor to engine */
	CONTROL_START = 1, /* start; descriptors: queue memfd, writer's doorbell, engine's doorbell;
			      journal */
	CONTROL_TRANSPORT, /* value: number of descriptors, for transport_..._open() */
	CONTROL_POLICY,    /* text: the file's path; descriptor: its text. None: deny all */
	CONTROL_ATTACH,    /* attach */
	CONTROL_DETACH,    /* value: enum audit_close */
	CONTROL_PING,      /* value is echoed by PONG */
	CONTROL_STATUS,    /* value: 0 counters, 1 every socket */
	CONTROL_KILL,      /* number: the socket to close; value: enum audit_close */
	/* engine to supervisor */
	CONTROL_READY,    /* the sandbox is closed */
	CONTROL_ATTACHED, /* the command ring is served */
	CONTROL_FAILED,   /* START, TRANSPORT or ATTACH failed; value: errno; text: why */
	CONTROL_BROKEN,   /* the guest broke the protocol and was cut off; text: how */
	CONTROL_DETACHED, /* value: 1 if peers are still to get what the guest had written */
	CONTROL_PONG,
	CONTROL_POLICY_TAKEN, /* value: 0 or errno (the old policy stays); text: faults */
	CONTROL_REPORT, /* answer to STATUS: text of "key value" lines; value: 1 if more follow */
	CONTROL_KILLED, /* answer to KILL; value: 0 or ENOENT */
};

enum control_transport {
	CONTROL_TRANSPORT_LOCAL,
	CONTROL_TRANSPORT_XEN,
};

struct control_start {
	struct pvcalls_guest guest;
	uint32_t transport;  /* enum control_transport */
	uint32_t uid;        /* what to become; also the gid. UINT32_MAX: stay */
	uint32_t uids_first; /* the range that engines' uids come from; see host_view_open() */
	uint32_t uids_count;
	uint32_t low_ports;      /* 1: keep CAP_NET_BIND_SERVICE */
	uint32_t sync;           /* 1: responses wait for the commit */
	uint32_t log_level;      /* enum log_level */
	uint32_t sockets;        /* most sockets of the guest */
	uint32_t adapt_priority; /* 1: see engine/priority.h */
	char plugin_dir[CONTROL_PATH_MAX];
};

struct control_attach {
	uint32_t ring_ref;
	uint32_t port;
	uint32_t names;      /* 1: the frontend reads struct wire_names */
	uint32_t adopt;      /* 1: another engine served this ring before, see journal.h */
	uint32_t reuse;      /* 1: RELEASE's `reuse` means what it says */
	uint32_t half_close; /* 1: out_end of struct indexes_page means what it says */
	uint32_t cancel;     /* 1: it takes answers to ACCEPTs in flight on a released listener */
};

struct control_message {
	uint32_t kind;
	uint32_t value;
	uint64_t number;
	union {
		struct control_start start;
		struct control_attach attach;
		char text[CONTROL_TEXT_MAX];
	} body;
};

/* Sends a message without body, or with text (may be NULL). Never blocks. Returns 0 or -errno. */
int control_send(int socket, enum control_kind kind, uint32_t value, uint64_t number,
		 const char *text, const int *fds, uint32_t count);

#endif
