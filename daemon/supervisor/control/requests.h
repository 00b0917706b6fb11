/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the control socket can be asked.
 *
 * A request is {"command": NAME} with "guest" (name, domid or uuid) and "socket" (a number) where
 * the command takes them. What only engines know is asked of them with a deadline, so that a slow
 * one holds up nobody.
 */
#ifndef SUPERVISOR_CONTROL_REQUESTS_H
#define SUPERVISOR_CONTROL_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define REQUEST_GUEST_MAX 64u

enum request_verb {
	REQUEST_STATUS,
	REQUEST_GUESTS,
	REQUEST_SOCKETS,
	REQUEST_RELOAD,
	REQUEST_KILL,
	REQUEST_VERBS,
};

struct request {
	enum request_verb verb;
	char guest[REQUEST_GUEST_MAX]; /* empty: none was named */
	uint64_t socket;               /* 0: none was named */
};

/* Whether the verb only looks. */
bool request_only_reads(enum request_verb verb);
/* Reads one line. Returns 0, or -EINVAL with *fault. */
int request_parse(struct request *request, const char *line, struct fault *fault);

#endif
