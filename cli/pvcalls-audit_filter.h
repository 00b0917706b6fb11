/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which records are wanted: terms from the command line, as SQL. */
#ifndef PVCALLS_AUDIT_FILTER_H
#define PVCALLS_AUDIT_FILTER_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define FILTER_TERMS_MAX 128u

enum filter_field {
	FILTER_GUEST,
	FILTER_OPERATION,
	FILTER_VERDICT,
	FILTER_DECIDER,
	FILTER_RULE,
	FILTER_POLICY,
	FILTER_ADDRESS,
	FILTER_TO,
	FILTER_FROM,
	FILTER_PORT,
	FILTER_ERRNO,
	FILTER_SOCKET,
	FILTER_SERIAL,
	FILTER_FIELDS,
};

/* One --OPTION VALUE, checked. Texts point into argv. */
struct filter_term {
	enum filter_field field;
	bool negated;
	const char *text;
	int64_t low; /* numbers, ranges */
	int64_t high;
};

/* Which records are wanted; zeroed: all calls. */
struct filter {
	struct filter_term term[FILTER_TERMS_MAX];
	size_t count;
	int64_t since_ns; /* 0: no bound */
	int64_t until_ns; /* 0: no bound; exclusive */
	bool calls;
	bool events;
};

/* Adds a term. Returns 0, or -EINVAL and *fault if value makes no sense for field. */
int filter_add(struct filter *filter, enum filter_field field, bool negated, const char *value,
	       struct fault *fault);
/*
 * The condition on call_log AS c, or on event_log AS e, as SQL; the caller frees it. Values are
 * bound by filter_bind(). NULL: no memory. filter_events(): an impossible condition if a term asks
 * for what events don't have.
 */
char *filter_calls(const struct filter *filter);
char *filter_events(const struct filter *filter);
/* Binds the values of filter_calls() or (events) filter_events() from parameter `first` on. Returns
 * the next free one. */
int filter_bind(const struct filter *filter, bool events, sqlite3_stmt *statement, int first);

#endif
