/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the supervisor and one engine say to each other: a SOCK_SEQPACKET pair, descriptor
 * ENGINE_SOCKET_FD of the engine. Each message is a struct engine_message, cut after its body.
 *
 * An engine's life: START (with descriptors), TRANSPORT (with descriptors), POLICY; it answers
 * READY after it has closed its sandbox. ATTACH maps the command ring: ATTACHED or FAILED. DETACH
 * closes everything, with a release record for each socket: DETACHED. The end of the socket means
 * the same as DETACH, followed by the end of the process. An engine whose own state is not what it
 * believes says ASSERTION and aborts.
 */
#ifndef IPC_ENGINE_MESSAGE_H
#define IPC_ENGINE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#define ENGINE_SOCKET_FD        3
#define ENGINE_MESSAGE_TEXT_MAX 16384 /* bytes of a text, with its NUL */
#define ENGINE_MESSAGE_PATH_MAX 1024

enum engine_message_kind {
	/* supervisor to engine */
	/* start; descriptors: memfd of the queue, auditd's eventfd, engine's eventfd, memfd of what
	 * the guest has used of its limits, and, if its rings outlive the engine, its recovery log
	 */
	ENGINE_MESSAGE_START = 1,
	ENGINE_MESSAGE_TRANSPORT, /* value: number of descriptors, for transport_..._open() */
	ENGINE_MESSAGE_POLICY,    /* text: the file's path; descriptor: its text. None: deny all */
	ENGINE_MESSAGE_ATTACH,    /* attach */
	ENGINE_MESSAGE_DETACH,    /* value: enum audit_close */
	ENGINE_MESSAGE_PING,      /* value is echoed by PONG */
	ENGINE_MESSAGE_STATUS,    /* value: enum engine_status */
	ENGINE_MESSAGE_KILL,      /* number: the socket to close; value: enum audit_close */
	/* engine to supervisor */
	ENGINE_MESSAGE_READY,    /* the sandbox is closed */
	ENGINE_MESSAGE_ATTACHED, /* the command ring is served */
	ENGINE_MESSAGE_FAILED,   /* START, TRANSPORT or ATTACH failed; value: errno; text: why */
	ENGINE_MESSAGE_FULL,     /* all slots of the command ring wait; text: for what */
	ENGINE_MESSAGE_BROKEN,   /* the guest broke the protocol and was cut off; text: how */
	ENGINE_MESSAGE_DETACHED, /* value: 1 if peers are still to get what the guest had written,
				    or the trail what became of its sockets */
	ENGINE_MESSAGE_PONG,
	ENGINE_MESSAGE_POLICY_TAKEN, /* value: 0 or errno (the old policy stays); text: faults */
	ENGINE_MESSAGE_REPORT, /* answer to STATUS: text of "key value" lines; value: 1 if more
				  follow */
	ENGINE_MESSAGE_KILLED, /* answer to KILL; value: 0 or ENOENT */
	/* an assertion has failed and it aborts; text: "file:line: in function(): condition" */
	ENGINE_MESSAGE_ASSERTION,
};

/* What is asked. */
enum engine_status {
	ENGINE_STATUS_COUNTERS,
	ENGINE_STATUS_SOCKETS, /* every one */
	ENGINE_STATUS_METRICS, /* of the policy's plugins */
};

enum engine_transport {
	ENGINE_TRANSPORT_LOCAL,
	ENGINE_TRANSPORT_XEN,
};

struct engine_start_args {
	struct pvcalls_guest guest;
	uint32_t transport;  /* enum engine_transport */
	uint32_t uid;        /* what to become; also the gid. UINT32_MAX: stay */
	uint32_t uids_first; /* the range that engines' uids come from; see host_view_open() */
	uint32_t uids_count;
	uint32_t low_ports;      /* 1: keep CAP_NET_BIND_SERVICE */
	uint32_t sync;           /* 1: responses wait for the commit */
	uint32_t log_level;      /* enum log_level */
	uint32_t sockets;        /* most sockets of the guest */
	uint32_t adapt_priority; /* 1: see engine/scheduling/priority.h */
	uint32_t read_local;     /* 1: see engine/connections/local_name.h */
	char plugin_dir[ENGINE_MESSAGE_PATH_MAX];
};

struct engine_attach_args {
	uint32_t ring_ref;
	uint32_t port;
	uint32_t names;           /* 1: the frontend reads struct wire_names */
	uint32_t names_on_demand; /* 1: local_wanted of struct indexes_page means what it says */
	uint32_t take_over;  /* 1: another engine served this ring before, see recovery_log.h */
	uint32_t reuse;      /* 1: RELEASE's `reuse` means what it says */
	uint32_t half_close; /* 1: out_end of struct indexes_page means what it says */
	uint32_t cancel;     /* 1: it takes answers to ACCEPTs in flight on a released listener */
	uint32_t park;       /* 1: it takes outcomes later than their slots, see ring/layout.h */
};

struct engine_message {
	uint32_t kind;
	uint32_t value;
	uint64_t number;
	union {
		struct engine_start_args start;
		struct engine_attach_args attach;
		char text[ENGINE_MESSAGE_TEXT_MAX];
	} body;
};

/* Sends a message without body, or with text (may be NULL). Never blocks. Returns 0 or -errno. */
int engine_message_send(int socket, enum engine_message_kind kind, uint32_t value, uint64_t number,
			const char *text, const int *fds, uint32_t count);

#endif
