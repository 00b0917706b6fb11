/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the control socket can be asked.
 *
 * A request is {"command": NAME} with "guest" (name, domid or uuid) and "socket" (a number) where
 * the command takes them. What only engines know is asked of them with a deadline, so that a slow
 * one holds up nobody.
 */
#ifndef SUPERVISOR_REQUESTS_H
#define SUPERVISOR_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/fault.h"

#define REQUEST_GUEST_MAX 64u
#define REQUEST_ANSWER_NS (1 * NS_PER_S) /* for an engine's answer */

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

/* Adds the "key value" lines of an engine's report to object: numbers as numbers. */
void report_add(json_t *object, const char *text);
/* The sockets of a report, each a line of "key value" pairs. Returns an array. */
json_t *report_sockets(const char *text);

#endif
