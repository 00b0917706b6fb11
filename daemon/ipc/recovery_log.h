/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the next engine of a guest must know if this one is killed: the guest's rings outlive it
 * (on Xen), and programs in the guest wait for answers that only it knew of.
 *
 * Theory of operation. The recovery log is a file that the supervisor made and both map; it needs
 * no write-back, for it only has to survive processes. Every change is one store, in an order that
 * makes each moment between two of them mean something: a request is noted before it is counted as
 * taken, an answer's place is noted before the answer is counted. The successor answers what was
 * taken and not answered with an error, ends the sockets' streams with one, and goes on with the
 * ring where it stands.
 *
 * The guest can't write here, but an engine that it has captured can. So a successor believes
 * nothing of it that could harm anybody else: references and ports are its guest's own.
 */
#ifndef IPC_RECOVERY_LOG_H
#define IPC_RECOVERY_LOG_H

#include <stdint.h>

#include "ring/layout.h"

#define RECOVERY_LOG_VERSION 0x4b435650u /* "PVCK": of this layout */
#define RECOVERY_LOG_NONE    UINT32_MAX

/* Calls, by their numbers, and behind them the COLLECTs that are not answered. */
#define RECOVERY_LOG_REQUESTS (PARKED_MAX + COMMAND_SLOTS)

enum recovery_log_state {
	RECOVERY_LOG_FREE,
	RECOVERY_LOG_TAKEN,    /* index: of the request; it counts once req_cons is beyond */
	RECOVERY_LOG_ANSWERED, /* index: of the response; it counts once rsp_prod is beyond */
};

enum recovery_log_parked {
	RECOVERY_LOG_IN_SLOT,
	RECOVERY_LOG_PARKING, /* parked once rsp_prod is beyond parked_at */
	RECOVERY_LOG_PARKED,
};

struct recovery_log_request {
	uint32_t state; /* enum recovery_log_state */
	uint32_t index;
	uint32_t req_id;
	uint32_t cmd;
	uint64_t id;
	uint32_t parked; /* enum recovery_log_parked */
	uint32_t parked_at;
	uint32_t ticket;
	uint32_t pad;
};

/* An active socket's pages and event channel. */
struct recovery_log_socket {
	uint32_t used;
	uint32_t ref; /* of its indexes page */
	uint32_t port;
};

struct recovery_log_page {
	uint32_t version;
	uint32_t ring_ref; /* the ring that all of this is about */
	uint32_t port;
	uint32_t req_cons;
	uint32_t rsp_prod;
	uint32_t pad;
	struct recovery_log_request requests[RECOVERY_LOG_REQUESTS];
	struct recovery_log_socket sockets[];
};

struct recovery_log {
	struct recovery_log_page *page; /* NULL: this transport's rings end with their engine */
	uint32_t sockets;
	uint32_t *free; /* numbers of unused sockets, a stack */
	uint32_t free_count;
};

/* Bytes of the file for an engine of so many sockets. */
size_t recovery_log_bytes(uint32_t sockets);
/*
 * Maps the file, which stays the caller's; *log is zeroed before. Returns 0 or -errno: -EINVAL if
 * the file is too small.
 */
int recovery_log_open(struct recovery_log *log, int fd, uint32_t sockets);
/* Unmaps it, if it is mapped. Everything below does nothing to a log that is not mapped. */
void recovery_log_close(struct recovery_log *log);

/* Begins anew, for this ring; req_cons and rsp_prod are where it stands. */
void recovery_log_begin(struct recovery_log *log, uint32_t ring_ref, uint32_t port,
			uint32_t req_cons, uint32_t rsp_prod);
/*
 * The request was taken from the ring as this pending call, a number below RECOVERY_LOG_REQUESTS;
 * req_cons counts it already.
 */
void recovery_log_taken(struct recovery_log *log, uint32_t call, const struct wire_request *request,
			uint32_t req_cons);
/* Before and after the response is written as number rsp_prod. */
void recovery_log_answering(struct recovery_log *log, uint32_t call, uint32_t rsp_prod);
void recovery_log_answered(struct recovery_log *log, uint32_t call, uint32_t rsp_prod);
/* Before and after the call is parked, by the response with number rsp_prod. */
void recovery_log_parking(struct recovery_log *log, uint32_t call, uint32_t ticket,
			  uint32_t rsp_prod);
void recovery_log_parked(struct recovery_log *log, uint32_t call, uint32_t rsp_prod);
/* The pending call ends without an answer. */
void recovery_log_unanswered(struct recovery_log *log, uint32_t call);
/* A socket has its pages; returns its place, RECOVERY_LOG_NONE if there is none. */
uint32_t recovery_log_add_socket(struct recovery_log *log, uint32_t ref, uint32_t port);
/* Its pages go; place is what recovery_log_add_socket() returned. */
void recovery_log_remove_socket(struct recovery_log *log, uint32_t place);

#endif
