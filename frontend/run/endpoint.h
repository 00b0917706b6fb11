/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Endpoints: the program's sockets, found by the inode of the end that the program holds. */
#ifndef RUN_ENDPOINT_H
#define RUN_ENDPOINT_H

#include "run.h"

/*
 * Makes a pair; our end is watched. Returns the endpoint with the program's end in *theirs (the
 * caller's to close), or NULL with errno set.
 */
struct endpoint *endpoint_new(struct run *run, bool nonblocking, int *theirs);
/* Makes a new pair for an endpoint whose end is closed. 0 with *theirs, or -errno. */
int endpoint_renew(struct endpoint *endpoint, bool nonblocking, int *theirs);
/*
 * The endpoint that a descriptor of the notice's process means, with a duplicate of the program's
 * end in *theirs (the caller's to close); NULL: none of ours.
 */
struct endpoint *endpoint_find(struct run *run, const struct notice *notice, int *theirs);
/* A duplicate of the program's end from where it was last seen, or -1. */
int endpoint_fetch(struct endpoint *endpoint);
/* Releases everything; the endpoint is freed by endpoint_bury(). */
void endpoint_end(struct endpoint *endpoint);
/* Frees endpoints that have ended; at the end of a turn. */
void endpoint_bury(struct run *run);
/* Ends and frees all of them. */
void endpoint_end_all(struct run *run);
/*
 * The endpoint's attempt came to nothing: closes our end, which hangs up the program's, and keeps
 * the error (or 0) for the program to ask for. Nobody tells when the program closes such a socket,
 * so only the last FAILED_KEPT of them are kept.
 */
void endpoint_fail(struct endpoint *endpoint, int error);
/* Closes our end so that the program's reads and writes fail with ECONNRESET, as far as possible.
 */
void endpoint_reset(struct endpoint *endpoint);
void endpoint_close_end(struct endpoint *endpoint);

/* Lets the notice wait; deadline in ms from now, 0: for ever. 0 or -ENOMEM. */
int endpoint_wait(struct endpoint *endpoint, const struct notice *notice, uint64_t timeout_ms);
void endpoint_drop_first_waiter(struct endpoint *endpoint);
/* Answers everything that waits. Returns whether at least one answer arrived. */
bool endpoint_answer_all(struct endpoint *endpoint, int result);
/* Answers waiters whose time is over with `result`; at every turn while there are deadlines. */
void endpoint_expire(struct run *run);
/* Milliseconds until the next deadline, or -1. */
int endpoint_next_deadline(struct run *run);

/* Whether error means that pages or event channels are short; says so once, with the remedy. */
bool endpoint_is_short(struct run *run, int error);
/* The ring order for one more connection. */
uint32_t endpoint_order(const struct run *run);

#endif
