/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Endpoints: the program's sockets. The program holds one end of a socket pair, by whose inode it
 * is found; the other end is ours.
 */
#ifndef ENDPOINTS_ENDPOINT_H
#define ENDPOINTS_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "run/program/event_source.h"
#include "run/program/trap.h"

struct endpoint_table;
struct pvcalls_front_socket;
struct remembered_option; /* a socket option */
struct waiting_call;

enum endpoint_state {
	ENDPOINT_NEW,        /* socket() was called, or a blocking connect() failed */
	ENDPOINT_BINDING,    /* bind() waits for its answer */
	ENDPOINT_BOUND,      /* bind() succeeded */
	ENDPOINT_STARTING,   /* listen() waits for its answer */
	ENDPOINT_LISTENING,  /* connections are accepted ahead */
	ENDPOINT_CONNECTING, /* the program's end can't be written to */
	ENDPOINT_CONNECTED,  /* the pump joins our end with the data ring */
	ENDPOINT_FAILED,     /* connect() failed unwaited for, or it or the listener was shut */
	ENDPOINT_ENDED,      /* both directions of a stream have; as FAILED, our end is closed */
	ENDPOINT_GONE,       /* released; freed at the end of the loop's turn */
};

/* A connection that was accepted before the program asked for it. */
struct early_connection {
	struct early_connection *next;
	struct pvcalls_front_socket *remote;
};

/* A socket of the program: a pair of which it has one end, and what the library makes of it. */
struct endpoint {
	struct endpoint_table *table;
	struct endpoint *next;      /* in its bucket, then of those that ended */
	struct endpoint *ready;     /* in the pump's queue */
	struct event_source source; /* our end */
	uint64_t inode;             /* of the program's end */
	enum endpoint_state state;
	struct pvcalls_front_socket *remote;
	struct sockaddr_in local;
	struct sockaddr_in peer;
	struct waiting_call *waiting;   /* see waiting_calls.h */
	struct early_connection *early; /* oldest first */
	uint32_t early_count;
	uint32_t accepting; /* ACCEPTs in flight */
	uint32_t backlog;
	uint32_t failures; /* ACCEPTs that failed one after the other */
	int error;         /* for getsockopt(SO_ERROR) and the next connect() */
	int lost_call;     /* a call whose answer did not reach the program ... */
	int lost_result;   /* ... and the answer */
	pid_t last_tid;    /* where the program's end was last seen */
	int last_fd;
	uint32_t filler;  /* bytes in our end that the program did not write */
	uint32_t options; /* remembered */
	struct remembered_option *option;
	bool blocking;     /* CONNECTING: by a connect() that waits, if it still does */
	bool untold;       /* CONNECTED: no connect() has returned 0 yet */
	bool queued;       /* in the pump's queue */
	bool can_read;     /* our end may have bytes */
	bool can_write;    /* our end may have room */
	bool ending;       /* behind the bytes in our end is their end */
	bool hung_up;      /* no process has the program's end any more */
	bool out_done;     /* the program writes no more, and all of it is in the ring */
	bool in_done;      /* the program got everything, and the end */
	bool starved;      /* LISTENING: no pages for an ACCEPT */
	bool in_discarded; /* the program does not read any more */
	bool marked;       /* the reset mark is in our end */
	bool shut;         /* the program's direction is: by itself, or since the peer has left */
	bool shut_read;    /* the program reads no more: a pair shut both ways is hung up, too */
};

/*
 * Makes a pair; our end is watched. Returns the endpoint with the program's end in *theirs (the
 * caller's to close), or NULL with errno set.
 */
struct endpoint *endpoint_new(struct endpoint_table *table, bool nonblocking, int *theirs);
/* A new pair in the place of a closed one. 0 with *theirs, or -errno: then it is as before. */
int endpoint_renew(struct endpoint *endpoint, bool nonblocking, int *theirs);
/*
 * The endpoint that a descriptor of the call's process means, with a duplicate of the program's
 * end in *theirs (the caller's to close); NULL: none of ours.
 */
struct endpoint *endpoint_find(struct endpoint_table *table, const struct trapped_call *call,
			       int *theirs);
/* A duplicate of the program's end, wherever its processes have it, or -1. */
int endpoint_fetch(struct endpoint *endpoint);
/* Releases everything; the endpoint is freed by endpoint_bury(). */
void endpoint_end(struct endpoint *endpoint);
/* Frees endpoints that have ended, at the end of a turn; ends and frees all of them. */
void endpoint_bury(struct endpoint_table *table);
void endpoint_end_all(struct endpoint_table *table);
/*
 * The attempt came to nothing: closes our end, which hangs up the program's, and keeps the error
 * (or 0) to be asked for. Nobody tells when such a socket is closed: the last FAILED_KEPT are kept.
 */
void endpoint_fail(struct endpoint *endpoint, int error);
/* Both directions of a stream have ended: releases it. The last ENDED_KEPT keep their names. */
void endpoint_finish(struct endpoint *endpoint);
/* The endpoint leaves its state: takes what waits there out of the table's counts. */
void endpoint_settle(struct endpoint *endpoint);
/* Has the program's writes fail. */
void endpoint_refuse(struct endpoint *endpoint);
/* Closes our end so that the program, when it has read what is there, fails with ECONNRESET. */
void endpoint_reset(struct endpoint *endpoint);
/* Closes our end, if it is open: the program's hangs up. */
void endpoint_close_end(struct endpoint *endpoint);
/* Has the pump move the endpoint's bytes in its next turn. */
void endpoint_queue(struct endpoint *endpoint);

#endif
