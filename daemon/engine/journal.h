/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the next engine of a guest must know if this one is killed: the guest's rings outlive it
 * (on Xen), and programs in the guest wait for answers that only it knew of.
 *
 * Theory of operation. The journal is a file that the supervisor made and both map; it needs no
 * write-back, for it only has to survive processes. Every change is one store, in an order that
 * makes each moment between two of them mean something: a request is noted before it is counted as
 * taken, an answer's place is noted before the answer is counted. The successor answers what was
 * taken and not answered with an error, ends the sockets' streams with one, and goes on with the
 * ring where it stands.
 *
 * The guest can't write here, but an engine that it has captured can. So a successor believes
 * nothing of it that could harm anybody else: references and ports are its guest's own.
 */
#ifndef ENGINE_JOURNAL_H
#define ENGINE_JOURNAL_H

#include <stdint.h>

#include "ring/layout.h"

#define JOURNAL_VERSION 0x4a435650u /* "PVCJ", first version */
#define JOURNAL_NONE    UINT32_MAX

enum journal_state {
	JOURNAL_FREE,
	JOURNAL_TAKEN,    /* index: of the request; it counts once req_cons is beyond */
	JOURNAL_ANSWERED, /* index: of the response; it counts once rsp_prod is beyond */
};

struct journal_request {
	uint32_t state; /* enum journal_state */
	uint32_t index;
	uint32_t req_id;
	uint32_t cmd;
	uint64_t id;
};

/* An active socket's pages and event channel. */
struct journal_socket {
	uint32_t used;
	uint32_t ref; /* of its indexes page */
	uint32_t port;
};

struct journal_page {
	uint32_t version;
	uint32_t ring_ref; /* the ring that all of this is about */
	uint32_t port;
	uint32_t req_cons;
	uint32_t rsp_prod;
	uint32_t pad;
	struct journal_request requests[COMMAND_SLOTS];
	struct journal_socket sockets[];
};

struct journal {
	struct journal_page *page; /* NULL: this transport's rings end with their engine */
	uint32_t sockets;
	uint32_t *free; /* numbers of unused sockets, a stack */
	uint32_t free_count;
};

/* Bytes of the file for an engine of so many sockets. */
size_t journal_bytes(uint32_t sockets);
/* Maps the file, which stays the caller's. Returns 0 or -errno. */
int journal_open(struct journal *journal, int fd, uint32_t sockets);
void journal_close(struct journal *journal);

/* Begins anew, for this ring; req_cons and rsp_prod are where it stands. */
void journal_begin(struct journal *journal, uint32_t ring_ref, uint32_t port, uint32_t req_cons,
		   uint32_t rsp_prod);
/* The request was taken from the ring, as this flight; req_cons counts it already. */
void journal_taken(struct journal *journal, uint32_t flight, const struct wire_request *request,
		   uint32_t req_cons);
/* Before and after the response is written as number rsp_prod. */
void journal_answering(struct journal *journal, uint32_t flight, uint32_t rsp_prod);
void journal_answered(struct journal *journal, uint32_t flight, uint32_t rsp_prod);
/* The flight ends without an answer. */
void journal_unanswered(struct journal *journal, uint32_t flight);
/* A socket has its pages; returns its place, JOURNAL_NONE if there is none. */
uint32_t journal_add_socket(struct journal *journal, uint32_t ref, uint32_t port);
void journal_remove_socket(struct journal *journal, uint32_t place);

#endif
