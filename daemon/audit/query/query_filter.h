/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which records are wanted: terms as people write them, as SQL. */
#ifndef AUDIT_QUERY_FILTER_H
#define AUDIT_QUERY_FILTER_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define QUERY_FILTER_TERMS_MAX 128u

/* What a term is about, and how its value is written. */
enum query_field {
	QUERY_FIELD_GUEST,        /* name, uuid (globs) or domid */
	QUERY_FIELD_OPERATION,    /* "connect"; "unknown" is one */
	QUERY_FIELD_VERDICT,      /* "deny" */
	QUERY_FIELD_DECIDER,      /* of a plugin, "floor" or "default"; glob */
	QUERY_FIELD_RULE,         /* glob */
	QUERY_FIELD_REWRITER,     /* of the plugin that changed the address; glob */
	QUERY_FIELD_REWRITE_RULE, /* and its rule; glob */
	QUERY_FIELD_POLICY,       /* glob */
	QUERY_FIELD_ADDRESS,      /* any endpoint but the local one is in it: "192.0.2.0/24" */
	QUERY_FIELD_TO,           /* connections to it */
	QUERY_FIELD_FROM,         /* accepted from it */
	QUERY_FIELD_PORT,         /* "443" or "8000-8100" */
	QUERY_FIELD_OUTCOME,      /* "cancelled" */
	QUERY_FIELD_ERRNO,        /* "ECONNREFUSED", "111", "ok" or "unknown" */
	QUERY_FIELD_SOCKET,       /* number of a socket, or of the listener it came from */
	QUERY_FIELD_SERIAL,       /* number of the call within its engine */
	QUERY_FIELDS,
};

/* One term, checked. */
struct query_term {
	enum query_field field;
	bool negated;
	const char *text; /* borrowed from who added it */
	int64_t low;      /* of a number or range ... */
	int64_t high;     /* ... both ends are in it */
};

/*
 * Which records are wanted. Terms of one field are alternatives, those of different fields must all
 * hold, and a negated term must not hold. Zeroed, but for calls or events: all of them.
 */
struct query_filter {
	struct query_term term[QUERY_FILTER_TERMS_MAX];
	size_t count;
	int64_t since_ns; /* UTC; 0: no bound */
	int64_t until_ns; /* UTC; 0: no bound; exclusive */
	bool calls;
	bool events;
};

/*
 * Adds a term; value is borrowed as long as the filter is used. Returns 0, or -EINVAL and *fault if
 * value makes no sense for field, or there are too many terms.
 */
int query_filter_add(struct query_filter *filter, enum query_field field, bool negated,
		     const char *value, struct fault *fault);
/*
 * The condition on call_log AS c, or on event_log AS e, as SQL; the caller frees it. Values are
 * bound by query_filter_bind(). NULL: no memory. Of events: an impossible condition if a term asks
 * for what events don't have.
 */
char *query_filter_calls(const struct query_filter *filter);
char *query_filter_events(const struct query_filter *filter);
/*
 * Binds the values of query_filter_calls() or (events) query_filter_events() from parameter `first`
 * on. Returns the next free one.
 */
int query_filter_bind(const struct query_filter *filter, bool events, sqlite3_stmt *statement,
		      int first);

#endif
