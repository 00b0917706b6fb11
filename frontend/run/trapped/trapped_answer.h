/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the handlers of trapped calls share: arguments, answers, what the program set on its end. */
#ifndef TRAPPED_TRAPPED_ANSWER_H
#define TRAPPED_TRAPPED_ANSWER_H

#include "run/endpoints/endpoint.h"

/*
 * A handler: answers the call, now or later. theirs is a duplicate of the program's end of the
 * endpoint, which is closed when the handler returns.
 */
typedef void (*trapped_handler)(struct endpoint *endpoint, const struct trapped_call *call,
				int theirs);

/* Answers with result (0 or more, or -errno); if it does not arrive, it is kept for when the call
 * is restarted. */
void trapped_answer(struct endpoint *endpoint, const struct trapped_call *call, int result);
/* Reads an IPv4 address that the program passed as args[1], args[2]. 0, or the -errno of bind(2)
 * and connect(2). */
int trapped_answer_read_address(const struct trapped_call *call, struct sockaddr_in *address);
/* Writes an address to *args[pointer], as much as fits *args[pointer + 1]. 0 or -EFAULT. */
int trapped_answer_write_address(struct trap *trap, const struct trapped_call *call, int pointer,
				 const struct sockaddr_in *address);
/* Milliseconds of SO_RCVTIMEO or SO_SNDTIMEO of an end; 0: none. */
uint64_t trapped_answer_timeout(int fd, int option);
/*
 * The pair of what has failed is dead: a new one takes its place, with the program's end in *fresh
 * (the caller's to close). 0 or -errno.
 */
int trapped_answer_renew(struct endpoint *endpoint, const struct trapped_call *call, int theirs,
			 int *fresh);
/* Whether calls on an end do not wait (O_NONBLOCK). */
bool trapped_answer_nonblocking(int fd);

#endif
