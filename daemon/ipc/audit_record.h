/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One record of the trail, as it lies in the queue between an engine and pvcalls-auditd. */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include <stdint.h>

#include <pvcalls/plugin.h>

#define AUDIT_DIGEST_BYTES 32

enum audit_slot_state {
	AUDIT_SLOT_FREE,    /* the engine may take it */
	AUDIT_SLOT_TAKEN,   /* being filled; nothing was executed: dropped if the engine dies */
	AUDIT_SLOT_DECIDED, /* the decision is in it; stored as outcome "unknown" if the engine dies
			     */
	AUDIT_SLOT_DONE,    /* complete: the writer may take it */
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

/* Fixed size; strings end with NUL within their array. Written by one engine, checked by the
 * writer. */
struct audit_record {
	uint32_t state; /* enum audit_slot_state; accessed atomically */
	uint32_t op;    /* PVCALLS_OP_..., PVCALLS_OP_COUNT for an unknown command */
	uint64_t serial;
	uint64_t wall_ns;
	uint64_t socket; /* engine's number of the socket; 0: none */
	uint64_t parent; /* number of the listener it came from; 0: none */
	struct pvcalls_endpoint requested;
	struct pvcalls_endpoint effective;
	struct pvcalls_endpoint local;
	struct pvcalls_endpoint peer;
	uint32_t verdict; /* enum decision_verdict */
	uint32_t rewritten;
	int32_t result; /* 0 or a negative wire errno */
	uint32_t close_reason;
	uint64_t decision_ns; /* time floor and chain took */
	uint64_t total_ns;    /* from the ring to the outcome */
	uint64_t bytes_in;    /* release: to the guest */
	uint64_t bytes_out;   /* release: from the guest */
	uint64_t duration_ns; /* release: age of the socket */
	uint8_t policy_digest[AUDIT_DIGEST_BYTES];
	char policy[PVCALLS_NAME_MAX];
	char decider[PVCALLS_NAME_MAX];
	char rule[PVCALLS_RULE_MAX];
	char reason[PVCALLS_REASON_MAX];
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
