/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One call of a guest, from the ring to the record.
 *
 * Theory of operation. A request is copied from the ring once; call_decode() turns the copy into a
 * struct call, and nothing after that looks at guest memory. The stages (policy, sock, audit) each
 * fill their part of it and do not know each other; only engine/calls/serve.c knows their order.
 */
#ifndef CALL_CALL_H
#define CALL_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "ring/layout.h"

/* How far a call is. call_advance() alone changes it. */
enum call_state {
	/* Copied from the ring and decoded; has a serial number and a slot of the audit queue. A
	 * RELEASE of a socket that was killed is done now: there is nothing to decide or record. */
	CALL_TAKEN,
	/* Its socket was found in a state for the call, and what it will need is reserved. An
	 * ACCEPT waits here for a peer, and comes back here if the policy refuses that peer. */
	CALL_PREPARED,
	/* Host rules and chain, or the protocol itself, have spoken; the slot has the decision. */
	CALL_DECIDED,
	/* A plugin has it wait; then the host rules look again. */
	CALL_DELAYED,
	/* Being executed; waits for the network, a peer or a connection. */
	CALL_RUNNING,
	/* The outcome is known and in the slot. The response may be pushed. */
	CALL_DONE,
};

#define CALL_OP_UNKNOWN PVCALLS_OP_COUNT /* a command number that is not in the table */

/* What was asked. Filled by call_decode() from one copy of a request; then constant. */
struct call {
	enum call_state state;
	uint32_t op;      /* PVCALLS_OP_..., or CALL_OP_UNKNOWN */
	uint32_t req_id;  /* the frontend's cookie: echoed, never used as a key, not unique */
	uint32_t cmd;     /* as on the wire: echoed */
	uint64_t id;      /* the frontend's name for the socket: echoed */
	uint64_t id_new;  /* accept: the frontend's name for the new socket */
	uint32_t ref;     /* connect, accept: grant of the indexes page */
	uint32_t evtchn;  /* connect, accept: the frontend's event channel */
	uint32_t backlog; /* listen: clamped to CALL_BACKLOG_MAX */
	bool reuse;       /* release: the same pages and event channel will be offered again */
	int invalid;      /* negative errno if the request is malformed: answered so, not decided */
	uint64_t serial;  /* number within this engine, from 1 */
	uint64_t wall_ns;
	uint64_t taken_ns;                 /* CLOCK_MONOTONIC */
	struct pvcalls_endpoint requested; /* connect, bind; accept: the peer, once there is one */
	uint32_t slot;                     /* of the audit queue */
};

#define CALL_BACKLOG_MAX 128u

/* What host rules and chain said of a call. */
struct decision {
	uint32_t verdict; /* enum decision_verdict */
	int error;        /* 0, or the negative errno the guest gets */
	bool rewritten;
	bool only_connects;                /* bind: to port 0 without a rule that allows it */
	struct pvcalls_endpoint effective; /* what will really be used */
	uint64_t delay_ns;                 /* wait so long before execution */
	uint32_t meter_in;                 /* meters for the stream, 0: none */
	uint32_t meter_out;
	char decider[PVCALLS_NAME_MAX]; /* "floor", "default", "protocol" or a plugin's name */
	char rule[PVCALLS_RULE_MAX];
	char reason[PVCALLS_REASON_MAX];
	/* If rewritten: the plugin, and its rule, whose address is the effective one. */
	char rewriter[PVCALLS_NAME_MAX];
	char rewrite_rule[PVCALLS_RULE_MAX];
};

enum decision_verdict {
	VERDICT_DENY,       /* 0: zeroed memory never grants */
	VERDICT_ALLOW,      /* executed */
	VERDICT_WOULD_DENY, /* denied by the chain, let through by `mode: audit` */
	VERDICT_FAULT,      /* a plugin failed: denied */
	VERDICT_NONE,       /* the call ended before anybody was asked: nothing to deny or allow */
	VERDICTS,
};

/* Whether a call with this verdict is executed. */
static inline bool decision_permits(const struct decision *decision)
{
	return decision->verdict == VERDICT_ALLOW || decision->verdict == VERDICT_WOULD_DENY;
}

/* A row of the table of operations. */
struct call_operation {
	const char *name;
	/* Fills call from request; 0, or the negative errno for a malformed request. */
	int (*decode)(struct call *call, const struct wire_request *request);
	bool names_endpoint; /* requested is meaningful from the start: connect, bind */
	bool default_allows; /* holds no address of its own: allowed unless a plugin denies it */
	bool always_runs;    /* a denial is recorded as a fault of the policy and not enforced */
};

/* Indexed by operation; CALL_OP_UNKNOWN has a row too. */
extern const struct call_operation call_operations[PVCALLS_OP_COUNT + 1];

/* Decodes one request, already copied out of the ring, into *call (state TAKEN). Cannot fail. */
void call_decode(struct call *call, const struct wire_request *request);

/* Moves a call to its next state, which must be one that may follow. */
void call_advance(struct call *call, enum call_state state);

/* The 24 bytes of the answer to call: ret is 0 or a negative errno, put into wire numbering. */
struct wire_response call_response(const struct call *call, int ret);

#endif
