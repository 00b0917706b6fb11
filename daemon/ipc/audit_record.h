/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One record of the trail, as it lies in the queue between an engine and pvcalls-auditd. */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include <stdint.h>

#include <pvcalls/plugin.h>

#define AUDIT_DIGEST_BYTES 32

/*
 * A slot of the queue goes round: FREE, TAKEN, ASKED, DECIDED, DONE, FREE. What nobody need be
 * asked about is DECIDED at once; what waits before anybody can be asked is WAITING. Back it goes
 * from TAKEN to FREE (the call waits on), and from DECIDED to ASKED (it is decided anew).
 */
enum audit_slot_state {
	/* The engine may take it. */
	AUDIT_SLOT_FREE,
	/* Being filled. Nothing was executed: dropped if the engine dies. */
	AUDIT_SLOT_TAKEN,
	/* What is asked for is in it, and waits for what the policy is to be asked about. Stored as
	 * outcome "unknown", verdict none, if the engine dies. */
	AUDIT_SLOT_WAITING,
	/* What is asked is in it, and the policy has the word. Stored as outcome "unknown" if the
	 * engine dies, with the plugin in which it died as who decided. */
	AUDIT_SLOT_ASKED,
	/* The decision is in it. Stored as outcome "unknown" if the engine dies. */
	AUDIT_SLOT_DECIDED,
	/* Complete: the writer may take it. */
	AUDIT_SLOT_DONE,
};

/* Why a socket was closed: in the record of its release. */
enum audit_close {
	AUDIT_CLOSE_NONE,
	AUDIT_CLOSE_RELEASED,   /* the guest released it */
	AUDIT_CLOSE_GUEST_GONE, /* the guest closed its device or disappeared */
	AUDIT_CLOSE_CUT_OFF,    /* the guest broke the protocol */
	AUDIT_CLOSE_OPERATOR,   /* pvcallsctl kill */
	AUDIT_CLOSE_SHUTDOWN,   /* the daemon stops */
	AUDIT_CLOSE_REASONS,
};

/*
 * Fixed size; strings end with NUL within their array. Written by one engine, checked by the
 * writer. Times are in nanoseconds. wall_ns is when what the record tells of had happened: when the
 * call's outcome was known, to a millisecond. So records, which are handed over in the same order,
 * never go back in time unless the clock is set back. A call that is done within the turn in which
 * it was taken is measured by the processor's counter, one that waited by CLOCK_MONOTONIC from turn
 * to turn.
 */
struct audit_record {
	/* Which call. */
	uint32_t state;   /* enum audit_slot_state; accessed atomically */
	uint32_t op;      /* PVCALLS_OP_..., PVCALLS_OP_COUNT for an unknown command */
	uint64_t serial;  /* of the call, counted by the engine from 1 */
	uint64_t wall_ns; /* when it was done, of a record that is only decided, when it was taken:
			     UTC, since 1970, so not always rising */
	uint64_t socket;  /* engine's number of the socket; 0: none */
	uint64_t parent;  /* number of the listener it came from; 0: none */

	/* What it was about; family 0: none. */
	struct pvcalls_endpoint requested; /* asked for by the guest; of accept: the peer */
	struct pvcalls_endpoint effective; /* used, after rewriting */
	struct pvcalls_endpoint local;     /* the socket's own end */
	struct pvcalls_endpoint peer;      /* the other end */

	/* What came of it. */
	uint32_t verdict;      /* enum decision_verdict */
	uint32_t rewritten;    /* 1: effective is not what was requested */
	int32_t result;        /* 0 or a negative wire errno */
	uint32_t close_reason; /* enum audit_close; of a release only */
	uint32_t cancelled;    /* 1: ended before it was done, with its socket or its guest */
	uint32_t reserved;

	/* How long it took. */
	uint64_t decision_ns; /* that host rules and chain took; 0 if the protocol decided */
	uint64_t total_ns;    /* until wall_ns, with delays and the network's answer: from the ring,
				 of an accept from the coming of its peer */

	/* Of a release only: the whole life of its socket. */
	uint64_t bytes_in;    /* to the guest */
	uint64_t bytes_out;   /* from the guest */
	uint64_t duration_ns; /* from the making of the socket to its release */

	/* Who decided: see decisions.c, which compares all of it as bytes. */
	uint8_t policy_digest[AUDIT_DIGEST_BYTES];
	char policy[PVCALLS_NAME_MAX];
	char decider[PVCALLS_NAME_MAX];
	char rule[PVCALLS_RULE_MAX];
	char reason[PVCALLS_REASON_MAX];
	char rewriter[PVCALLS_NAME_MAX]; /* plugin that made effective what it is; empty: none */
	char rewrite_rule[PVCALLS_RULE_MAX];
};

_Static_assert(sizeof(struct audit_record) % 8 == 0, "records lie one after the other");

/* Who a queue's records are about; written by the supervisor before the engine starts. */
struct audit_identity {
	uint32_t domid;
	char name[PVCALLS_NAME_MAX];
	char uuid[40];
	uint8_t queue_id[16]; /* random: tells this queue from every other, across restarts */
};

#endif
