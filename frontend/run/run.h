/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of pvcalls-run share: the run, and the program's sockets ("endpoints"). */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/frontend.h>

#include "loop.h"
#include "notice.h"

#define ENDPOINT_BUCKETS 4096u
#define ACCEPT_AHEAD     4   /* connections accepted before the program asks */
#define FAILED_KEPT      256 /* failed endpoints that still know why */

/*
 * ENDPOINT_NEW        socket() was called, or a blocking connect() failed.
 * ENDPOINT_BINDING    bind() waits for its answer.
 * ENDPOINT_BOUND      bind() succeeded.
 * ENDPOINT_STARTING   listen() waits for its answer.
 * ENDPOINT_LISTENING  connections are accepted ahead.
 * ENDPOINT_CONNECTING the program's end can't be written to, if it does not block.
 * ENDPOINT_CONNECTED  the pump joins our end with the data ring.
 * ENDPOINT_FAILED     connect() failed while the program was not waiting, or the listener was shut
 *                     down: our end is closed.
 * ENDPOINT_GONE       released; freed at the end of the loop's turn.
 */
enum endpoint_state {
	ENDPOINT_NEW,
	ENDPOINT_BINDING,
	ENDPOINT_BOUND,
	ENDPOINT_STARTING,
	ENDPOINT_LISTENING,
	ENDPOINT_CONNECTING,
	ENDPOINT_CONNECTED,
	ENDPOINT_FAILED,
	ENDPOINT_GONE,
};

/* A call of the program that waits for an answer. */
struct waiter {
	struct waiter *next;
	struct notice notice;
	uint64_t deadline_ms; /* 0: none */
};

/* A connection that was accepted before the program asked for it. */
struct early {
	struct early *next;
	struct pvcalls_front_socket *remote;
};

struct remembered; /* a socket option */

struct endpoint {
	struct run *run;
	struct endpoint *next;  /* in its bucket, then in the graveyard */
	struct endpoint *ready; /* in the pump's queue */
	struct source source;   /* our end */
	uint64_t inode;         /* of the program's end */
	enum endpoint_state state;
	struct pvcalls_front_socket *remote;
	struct sockaddr_in local;
	struct sockaddr_in peer;
	struct waiter *waiters; /* connect, accept, bind, listen */
	struct early *early;    /* oldest first */
	uint32_t early_count;
	uint32_t accepting; /* ACCEPTs in flight */
	uint32_t backlog;
	uint32_t failures; /* ACCEPTs that failed one after the other */
	int error;         /* for getsockopt(SO_ERROR) and the next connect() */
	int lost_call;     /* a call whose answer did not reach the program ... */
	int lost_result;   /* ... and the answer */
	pid_t last_tid;    /* where the program's end was last seen */
	int last_fd;
	uint32_t junk;    /* bytes in our end that the program did not write */
	uint32_t options; /* remembered */
	struct remembered *option;
	bool blocking;     /* CONNECTING: the buffer was not filled */
	bool untold;       /* CONNECTED: no connect() has returned 0 yet */
	bool queued;       /* in the pump's queue */
	bool can_read;     /* our end may have bytes */
	bool can_write;    /* our end may have room */
	bool ending;       /* behind the bytes in our end is their end */
	bool hung_up;      /* no process has the program's end any more */
	bool out_done;     /* the program writes no more, and all of it is in the ring */
	bool in_done;      /* the program got everything, and the end */
	bool hungry;       /* LISTENING: no pages for an ACCEPT */
	bool in_discarded; /* the program does not read any more */
};

struct run {
	struct pvcalls_front *front;
	int epoll_fd;
	struct source front_source;
	struct source notice_source;
	struct source signal_source;
	struct notices notices;
	uint32_t order; /* of every ring; 0: by number of endpoints */
	uint32_t streams;
	uint32_t endpoints;
	struct endpoint *bucket[ENDPOINT_BUCKETS];
	struct endpoint *pump_first;
	struct endpoint *pump_last;
	struct endpoint *graveyard;
	struct endpoint *failed[FAILED_KEPT];
	uint32_t failed_next;
	uint32_t deadlines; /* waiters that have one */
	pid_t command;
	int status; /* of the command, once it ended */
	bool ended;
	bool told_shortage;
	bool front_event;   /* the frontend's descriptor was readable */
	uint64_t hungry_ms; /* when ACCEPTs that got no pages are tried again; 0: none */
};

#endif
