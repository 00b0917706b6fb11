/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of a query as SQL.
 *
 * Theory of operation. Terms of one field are alternatives, those of different fields must all
 * hold, and a negated term must not hold. Each field has one condition with placeholders, so no
 * value is ever part of the SQL text; query_filter_bind() walks the terms in the order in which
 * they were written.
 */
#include "audit/query/query_filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/store/schema.h"
#include "base/assert.h"
#include "base/decimal.h"
#include "call/call.h"
#include "call/wire_errno.h"

#define ERRNO_UNKNOWN (-1)

/* What a field's placeholders stand for. */
enum binding {
	BIND_TEXT,  /* text, `count` times */
	BIND_LOW,   /* low, `count` times */
	BIND_RANGE, /* low and high, `count` times */
};

struct field {
	int (*parse)(struct query_term *term, struct fault *fault);
	const char *condition;
	enum binding binding;
	int count;
};

#define RANGE(column)      column " BETWEEN ? AND ?"
#define DECISION(column)   "c.decision IN (SELECT id FROM decisions WHERE " column " GLOB ?)"
#define PORT_RANGE(column) "(" column " >= 0 AND (" column " & 65535) BETWEEN ? AND ?)"

static int filter_parse_text(struct query_term *term, struct fault *fault);
static int filter_parse_operation(struct query_term *term, struct fault *fault);
static int filter_parse_verdict(struct query_term *term, struct fault *fault);
static int filter_parse_outcome(struct query_term *term, struct fault *fault);
static int filter_parse_network(struct query_term *term, struct fault *fault);
static int filter_parse_port(struct query_term *term, struct fault *fault);
static int filter_parse_errno(struct query_term *term, struct fault *fault);
static int filter_parse_number(struct query_term *term, struct fault *fault);

/* clang-format off */
static const struct field fields[QUERY_FIELDS] = {
	[QUERY_FIELD_GUEST] = {filter_parse_text,
		"c.queue IN (SELECT id FROM queues WHERE guest GLOB ? OR uuid GLOB ?"
		" OR CAST(domid AS TEXT) = ?)", BIND_TEXT, 3},
	[QUERY_FIELD_OPERATION] = {filter_parse_operation, "(c.kind & 7) = ?", BIND_LOW, 1},
	[QUERY_FIELD_VERDICT] = {filter_parse_verdict, SCHEMA_SQL_VERDICT " = ?", BIND_LOW, 1},
	[QUERY_FIELD_DECIDER] = {filter_parse_text, DECISION("decider"), BIND_TEXT, 1},
	[QUERY_FIELD_RULE] = {filter_parse_text, DECISION("rule"), BIND_TEXT, 1},
	[QUERY_FIELD_REWRITER] = {filter_parse_text, DECISION("rewriter"), BIND_TEXT, 1},
	[QUERY_FIELD_REWRITE_RULE] = {filter_parse_text, DECISION("rewrite_rule"), BIND_TEXT, 1},
	[QUERY_FIELD_POLICY] = {filter_parse_text, DECISION("policy"), BIND_TEXT, 1},
	[QUERY_FIELD_ADDRESS] = {filter_parse_network,
		"(" RANGE("c.effective") " OR " RANGE("c.requested") " OR " RANGE("c.peer") ")",
		BIND_RANGE, 3},
	[QUERY_FIELD_TO] = {filter_parse_network,
		"((" RANGE("c.effective") " OR " RANGE("c.requested") ") AND (c.kind & 7) = 1)",
		BIND_RANGE, 2},
	[QUERY_FIELD_FROM] = {filter_parse_network,
		"(" RANGE("c.peer") " AND (c.kind & 7) = 5)", BIND_RANGE, 1},
	[QUERY_FIELD_PORT] = {filter_parse_port,
		"(" PORT_RANGE("c.effective") " OR " PORT_RANGE("c.requested") " OR"
		" ((c.kind & 7) IN (4, 5) AND " PORT_RANGE("c.local") "))", BIND_RANGE, 3},
	[QUERY_FIELD_OUTCOME] = {filter_parse_outcome, SCHEMA_SQL_OUTCOME " = ?", BIND_LOW, 1},
	[QUERY_FIELD_ERRNO] = {filter_parse_errno, "ifnull(c.result, -1) = ?", BIND_LOW, 1},
	[QUERY_FIELD_SOCKET] = {filter_parse_number,
		"(c.socket = ? OR c.parent = ?)", BIND_LOW, 2},
	[QUERY_FIELD_SERIAL] = {filter_parse_number, "c.serial = ?", BIND_LOW, 1},
};
/* clang-format on */

_Static_assert(PVCALLS_OP_CONNECT == 1 && PVCALLS_OP_LISTEN == 4 && PVCALLS_OP_ACCEPT == 5,
	       "as in the conditions above");

static int filter_parse_text(struct query_term *term, struct fault *fault)
{
	(void)term;
	(void)fault;
	return 0;
}

static int filter_parse_operation(struct query_term *term, struct fault *fault)
{
	for (uint32_t op = 0; op <= PVCALLS_OP_COUNT; op++) {
		if (strcmp(term->text, call_operations[op].name) == 0) {
			term->low = op;
			return 0;
		}
	}
	return fault_set(
		fault, EINVAL,
		"'%s' is no operation: socket, connect, release, bind, listen, accept, poll "
		"or unknown",
		term->text);
}

static int filter_parse_verdict(struct query_term *term, struct fault *fault)
{
	for (uint32_t verdict = 0; verdict < VERDICTS; verdict++) {
		if (strcmp(term->text, schema_verdict_name(verdict)) == 0) {
			term->low = verdict;
			return 0;
		}
	}
	return fault_set(fault, EINVAL,
			 "'%s' is no verdict: allow, deny, would_deny, fault or none", term->text);
}

static int filter_parse_outcome(struct query_term *term, struct fault *fault)
{
	for (uint32_t outcome = 0; outcome < SCHEMA_OUTCOMES; outcome++) {
		if (strcmp(term->text, schema_outcome_name(outcome)) == 0) {
			term->low = outcome;
			return 0;
		}
	}
	return fault_set(fault, EINVAL, "'%s' is no outcome: ok, error, cancelled or unknown",
			 term->text);
}

/* Moves *text behind a number of at most max. Returns 0, or -EINVAL if there is none. */
static int filter_read_number(const char **text, int64_t max, int64_t *number)
{
	uint64_t value;
	if (decimal_read_head(*text, text, (uint64_t)max, &value) < 0)
		return -EINVAL;
	*number = (int64_t)value;
	return 0;
}

static int filter_parse_network(struct query_term *term, struct fault *fault)
{
	char address[64];
	struct in_addr binary;
	int64_t bits = 32;
	const char *slash = strchr(term->text, '/');
	size_t length = slash ? (size_t)(slash - term->text) : strlen(term->text);
	const char *rest = slash ? slash + 1 : "";
	if (length < sizeof(address)) {
		memcpy(address, term->text, length);
		address[length] = '\0';
	}
	if (length >= sizeof(address) || inet_pton(AF_INET, address, &binary) != 1 ||
	    (slash && filter_read_number(&rest, 32, &bits) < 0) || *rest != '\0')
		return fault_set(
			fault, EINVAL,
			"'%s' is no IPv4 address or network: write 192.0.2.1 or 192.0.2.0/24",
			term->text);
	int64_t mask = bits == 0 ? 0 : (int64_t)(UINT32_MAX << (32 - bits));
	int64_t first = (int64_t)ntohl(binary.s_addr) & mask;
	int64_t last = first | (UINT32_MAX & ~mask);
	term->low = first << SCHEMA_PORT_BITS;
	term->high = last << SCHEMA_PORT_BITS | UINT16_MAX;
	return 0;
}

static int filter_parse_port(struct query_term *term, struct fault *fault)
{
	const char *rest = term->text;
	int error = filter_read_number(&rest, UINT16_MAX, &term->low);
	term->high = term->low;
	if (error == 0 && *rest == '-') {
		rest++;
		error = filter_read_number(&rest, UINT16_MAX, &term->high);
	}
	if (error < 0 || *rest != '\0' || term->high < term->low)
		return fault_set(fault, EINVAL, "'%s' is no port: write 443 or 8000-8100",
				 term->text);
	return 0;
}

static int filter_parse_errno(struct query_term *term, struct fault *fault)
{
	const char *rest = term->text;
	term->low = wire_errno_from_name(term->text);
	if (term->low != 0 || strcmp(term->text, "ok") == 0)
		return 0;
	if (strcmp(term->text, "unknown") == 0)
		term->low = ERRNO_UNKNOWN;
	else if (filter_read_number(&rest, 4095, &term->low) < 0 || *rest != '\0')
		return fault_set(fault, EINVAL,
				 "'%s' is no error: write ECONNREFUSED, 111, ok or unknown",
				 term->text);
	return 0;
}

static int filter_parse_number(struct query_term *term, struct fault *fault)
{
	const char *rest = term->text;
	if (filter_read_number(&rest, INT64_MAX, &term->low) < 0 || *rest != '\0')
		return fault_set(fault, EINVAL, "'%s' is no number", term->text);
	return 0;
}

int query_filter_add(struct query_filter *filter, enum query_field field, bool negated,
		     const char *value, struct fault *fault)
{
	ASSERT(field < QUERY_FIELDS && value);
	if (filter->count == QUERY_FILTER_TERMS_MAX)
		return fault_set(fault, EINVAL, "more than %u filters", QUERY_FILTER_TERMS_MAX);
	struct query_term *term = &filter->term[filter->count];
	*term = (struct query_term){.field = field, .negated = negated, .text = value};
	int error = fields[field].parse(term, fault);
	filter->count += error == 0;
	return error;
}

/* The alternatives of one field, or its exclusions: in the order in which they are bound. */
static void filter_write_field(FILE *out, const struct query_filter *filter, enum query_field field,
			       bool negated, const char *condition)
{
	const char *before = negated ? " AND NOT ifnull(" : " AND (";
	bool any = false;
	for (size_t i = 0; i < filter->count; i++) {
		const struct query_term *term = &filter->term[i];
		if (term->field != field || term->negated != negated)
			continue;
		/* What is unknown does not match, so its negation must. */
		fprintf(out, "%s%s%s", before, condition, negated ? ", 0)" : "");
		before = negated ? " AND NOT ifnull(" : " OR ";
		any = true;
	}
	if (any && !negated)
		fputs(")", out);
}

static void filter_write_times(FILE *out, const struct query_filter *filter, const char *column)
{
	if (filter->since_ns != 0)
		fprintf(out, " AND %s >= ?", column);
	if (filter->until_ns != 0)
		fprintf(out, " AND %s < ?", column);
}

/* Whether allowed calls can't match: then the index of all others serves. */
static bool filter_is_for_denied(const struct query_filter *filter)
{
	bool any = false;
	for (size_t i = 0; i < filter->count; i++) {
		const struct query_term *term = &filter->term[i];
		if (term->field != QUERY_FIELD_VERDICT || term->negated)
			continue;
		any = true;
		if (term->low == VERDICT_ALLOW)
			return false;
	}
	return any;
}

char *query_filter_calls(const struct query_filter *filter)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fputs(filter->calls ? "1" : "0", out);
	for (enum query_field field = 0; field < QUERY_FIELDS; field++) {
		filter_write_field(out, filter, field, false, fields[field].condition);
		filter_write_field(out, filter, field, true, fields[field].condition);
	}
	/* The condition of the index call_denied again, so that it is used. */
	if (filter_is_for_denied(filter))
		fputs(" AND (c.kind >> 3 & 3) <> 1", out);
	filter_write_times(out, filter, "c.time");
	return fclose(out) == 0 ? text : NULL;
}

/* An event has a time and perhaps a guest; who asks for more wants no events. */
static bool filter_allows_events(const struct query_filter *filter)
{
	for (size_t i = 0; i < filter->count; i++) {
		if (filter->term[i].field != QUERY_FIELD_GUEST && !filter->term[i].negated)
			return false;
	}
	return filter->events;
}

char *query_filter_events(const struct query_filter *filter)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fputs(filter_allows_events(filter) ? "1" : "0", out);
	filter_write_field(out, filter, QUERY_FIELD_GUEST, false, "e.guest GLOB ?");
	filter_write_field(out, filter, QUERY_FIELD_GUEST, true, "e.guest GLOB ?");
	filter_write_times(out, filter, "e.time");
	return fclose(out) == 0 ? text : NULL;
}

static int filter_bind_term(const struct query_term *term, int count, sqlite3_stmt *statement,
			    int next)
{
	for (int i = 0; i < count; i++) {
		switch (fields[term->field].binding) {
		case BIND_TEXT:
			sqlite3_bind_text(statement, next++, term->text, -1, SQLITE_STATIC);
			break;
		case BIND_LOW:
			sqlite3_bind_int64(statement, next++, term->low);
			break;
		case BIND_RANGE:
			sqlite3_bind_int64(statement, next++, term->low);
			sqlite3_bind_int64(statement, next++, term->high);
			break;
		}
	}
	return next;
}

static int filter_bind_field(const struct query_filter *filter, enum query_field field, int count,
			     sqlite3_stmt *statement, int next)
{
	for (int negated = 0; negated < 2; negated++) {
		for (size_t i = 0; i < filter->count; i++) {
			const struct query_term *term = &filter->term[i];
			if (term->field == field && term->negated == (negated != 0))
				next = filter_bind_term(term, count, statement, next);
		}
	}
	return next;
}

int query_filter_bind(const struct query_filter *filter, bool events, sqlite3_stmt *statement,
		      int first)
{
	int next = first;
	if (events)
		next = filter_bind_field(filter, QUERY_FIELD_GUEST, 1, statement, next);
	for (enum query_field field = 0; !events && field < QUERY_FIELDS; field++)
		next = filter_bind_field(filter, field, fields[field].count, statement, next);
	if (filter->since_ns != 0)
		sqlite3_bind_int64(statement, next++, filter->since_ns);
	if (filter->until_ns != 0)
		sqlite3_bind_int64(statement, next++, filter->until_ns);
	return next;
}
