/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done for each system call that the filter catches. */
#ifndef RUN_CALLS_H
#define RUN_CALLS_H

#include "run.h"

/*
 * A handler answers the notice, now or later. theirs is a duplicate of the program's end for the
 * time of the call (socket() has none, and no endpoint).
 */
typedef void (*call_handler)(struct run *run, struct endpoint *endpoint,
			     const struct notice *notice, int theirs);

/* Takes one waiting notice and handles it. */
void calls_serve(struct run *run);

/* Answers; an answer that did not arrive is kept for when the call is restarted. */
void calls_answer(struct endpoint *endpoint, const struct notice *notice, int result);
/* Reads an IPv4 address that the program passed as args[1], args[2]. 0, or the -errno of bind(2)
 * and connect(2). */
int calls_read_address(const struct notice *notice, struct sockaddr_in *address);
/* Writes an address to *args[pointer], as much as fits *args[pointer + 1]. 0 or -EFAULT. */
int calls_write_address(struct run *run, const struct notice *notice, int pointer,
			const struct sockaddr_in *address);
/* Milliseconds of SO_RCVTIMEO or SO_SNDTIMEO of an end; 0: none. */
uint64_t calls_timeout(int fd, int option);
bool calls_nonblocking(int fd);

void calls_connect(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		   int theirs);
void calls_bind(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		int theirs);
void calls_listen(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		  int theirs);
void calls_accept(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		  int theirs);
void calls_getsockname(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		       int theirs);
void calls_getpeername(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		       int theirs);
void calls_setsockopt(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		      int theirs);
void calls_getsockopt(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		      int theirs);
/* The listener accepts no more: waiting accept()s fail, and the program's end hangs up. */
void calls_stop_listening(struct endpoint *endpoint, int error);

/* Tries ACCEPTs again that got no pages; when run->hungry_ms has come. */
void calls_feed(struct run *run);

/* The buffer size the program asked for its end, or 0. */
int calls_wanted_buffer(const struct endpoint *endpoint);

#endif
