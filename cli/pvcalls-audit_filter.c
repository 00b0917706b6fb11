/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of a query as SQL.
 *
 * Theory of operation. Terms of one field are alternatives, those of different fields must all
 * hold, and a negated term must not hold. Each field has one condition with placeholders, so no
 * value is ever part of the SQL text; filter_bind() walks the terms in the order in which they were
 * written.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audit/store/schema.h"
#include "base/decimal.h"
#include "call/call.h"
#include "call/wire_errno.h"
#include "pvcalls-audit.h"

#define ERRNO_UNKNOWN (-1)

/* What a field's placeholders stand for. */
enum binding {
	BIND_TEXT,  /* text, `count` times */
	BIND_LOW,   /* low, `count` times */
	BIND_RANGE, /* low and high, `count` times */
};

struct field {
	int (*parse)(struct filter_term *term, struct fault *fault);
	const char *condition;
	enum binding binding;
	int count;
};

#define RANGE(column)      column " BETWEEN ? AND ?"
#define DECISION(column)   "c.decision IN (SELECT id FROM decisions WHERE " column " GLOB ?)"
#define PORT_RANGE(column) "(" column " >= 0 AND (" column " & 65535) BETWEEN ? AND ?)"

static int parse_text(struct filter_term *term, struct fault *fault);
static int parse_operation(struct filter_term *term, struct fault *fault);
static int parse_verdict(struct filter_term *term, struct fault *fault);
static int parse_network(struct filter_term *term, struct fault *fault);
static int parse_port(struct filter_term *term, struct fault *fault);
static int parse_errno(struct filter_term *term, struct fault *fault);
static int parse_number(struct filter_term *term, struct fault *fault);

static const struct field fields[FILTER_FIELDS] = {
	[FILTER_GUEST] = {parse_text,
			  "c.queue IN (SELECT id FROM queues WHERE guest GLOB ? OR uuid GLOB ?"
			  " OR CAST(domid AS TEXT) = ?)",
			  BIND_TEXT, 3},
	[FILTER_OPERATION] = {parse_operation, "(c.kind & 7) = ?", BIND_LOW, 1},
	/* The second half repeats the condition of the index call_denied, so that it is used. */
	[FILTER_VERDICT] = {parse_verdict, "(c.kind >> 3 & 3) = ?", BIND_LOW, 1},
	[FILTER_DECIDER] = {parse_text, DECISION("decider"), BIND_TEXT, 1},
	[FILTER_RULE] = {parse_text, DECISION("rule"), BIND_TEXT, 1},
	[FILTER_POLICY] = {parse_text, DECISION("policy"), BIND_TEXT, 1},
	[FILTER_ADDRESS] = {parse_network,
			    "(" RANGE("c.effective") " OR " RANGE("c.requested") " OR " RANGE(
				    "c.peer") ")",
			    BIND_RANGE, 3},
	[FILTER_TO] = {parse_network,
		       "((" RANGE("c.effective") " OR " RANGE("c.requested") ") AND"
									     " (c.kind & 7) = 1)",
		       BIND_RANGE, 2},
	[FILTER_FROM] = {parse_network, "(" RANGE("c.peer") " AND (c.kind & 7) = 5)", BIND_RANGE,
			 1},
	[FILTER_PORT] = {parse_port,
			 "(" PORT_RANGE("c.effective") " OR " PORT_RANGE(
				 "c.requested") " OR"
						" ((c.kind & 7) IN (4, 5) AND " PORT_RANGE(
							"c.local") "))",
			 BIND_RANGE, 3},
	[FILTER_ERRNO] = {parse_errno, "ifnull(c.result, -1) = ?", BIND_LOW, 1},
	[FILTER_SOCKET] = {parse_number, "(c.socket = ? OR c.parent = ?)", BIND_LOW, 2},
	[FILTER_SERIAL] = {parse_number, "c.serial = ?", BIND_LOW, 1},
};

_Static_assert(PVCALLS_OP_CONNECT == 1 && PVCALLS_OP_LISTEN == 4 && PVCALLS_OP_ACCEPT == 5,
	       "as in the conditions above");

static int parse_text(struct filter_term *term, struct fault *fault)
{
	(void)term;
	(void)fault;
	return 0;
}

static int parse_operation(struct filter_term *term, struct fault *fault)
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

static int parse_verdict(struct filter_term *term, struct fault *fault)
{
	for (uint32_t verdict = 0; verdict <= VERDICT_FAULT; verdict++) {
		if (strcmp(term->text, schema_verdict_name(verdict)) == 0) {
			term->low = verdict;
			return 0;
		}
	}
	return fault_set(fault, EINVAL, "'%s' is no verdict: allow, deny, would_deny or fault",
			 term->text);
}

/* Moves *text behind a number of at most max. Returns 0, or -EINVAL if there is none. */
static int read_number(const char **text, int64_t max, int64_t *number)
{
	uint64_t value;
	if (decimal_read_head(*text, text, (uint64_t)max, &value) < 0)
		return -EINVAL;
	*number = (int64_t)value;
	return 0;
}

static int parse_network(struct filter_term *term, struct fault *fault)
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
	    (slash && read_number(&rest, 32, &bits) < 0) || *rest != '\0')
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

static int parse_port(struct filter_term *term, struct fault *fault)
{
	const char *rest = term->text;
	int error = read_number(&rest, UINT16_MAX, &term->low);
	term->high = term->low;
	if (error == 0 && *rest == '-') {
		rest++;
		error = read_number(&rest, UINT16_MAX, &term->high);
	}
	if (error < 0 || *rest != '\0' || term->high < term->low)
		return fault_set(fault, EINVAL, "'%s' is no port: write 443 or 8000-8100",
				 term->text);
	return 0;
}

static int parse_errno(struct filter_term *term, struct fault *fault)
{
	const char *rest = term->text;
	term->low = wire_errno_from_name(term->text);
	if (term->low != 0 || strcmp(term->text, "ok") == 0)
		return 0;
	if (strcmp(term->text, "unknown") == 0)
		term->low = ERRNO_UNKNOWN;
	else if (read_number(&rest, 4095, &term->low) < 0 || *rest != '\0')
		return fault_set(fault, EINVAL,
				 "'%s' is no error: write ECONNREFUSED, 111, ok or unknown",
				 term->text);
	return 0;
}

static int parse_number(struct filter_term *term, struct fault *fault)
{
	const char *rest = term->text;
	if (read_number(&rest, INT64_MAX, &term->low) < 0 || *rest != '\0')
		return fault_set(fault, EINVAL, "'%s' is no number", term->text);
	return 0;
}

int filter_add(struct filter *filter, enum filter_field field, bool negated, const char *value,
	       struct fault *fault)
{
	if (filter->count == FILTER_TERMS_MAX)
		return fault_set(fault, EINVAL, "more than %u filters", FILTER_TERMS_MAX);
	struct filter_term *term = &filter->term[filter->count];
	*term = (struct filter_term){.field = field, .negated = negated, .text = value};
	int error = fields[field].parse(term, fault);
	filter->count += error == 0;
	return error;
}

/* The alternatives of one field, or its exclusions: in the order in which they are bound. */
static void write_field(FILE *out, const struct filter *filter, enum filter_field field,
			bool negated, const char *condition)
{
	const char *before = negated ? " AND NOT ifnull(" : " AND (";
	bool any = false;
	for (size_t i = 0; i < filter->count; i++) {
		const struct filter_term *term = &filter->term[i];
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

static void write_times(FILE *out, const struct filter *filter, const char *column)
{
	if (filter->since_ns != 0)
		fprintf(out, " AND %s >= ?", column);
	if (filter->until_ns != 0)
		fprintf(out, " AND %s < ?", column);
}

/* Whether allowed calls can't match: then the index of all others serves. */
static bool only_denied(const struct filter *filter)
{
	bool any = false;
	for (size_t i = 0; i < filter->count; i++) {
		const struct filter_term *term = &filter->term[i];
		if (term->field != FILTER_VERDICT || term->negated)
			continue;
		any = true;
		if (term->low == VERDICT_ALLOW)
			return false;
	}
	return any;
}

char *filter_calls(const struct filter *filter)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fputs(filter->calls ? "1" : "0", out);
	for (enum filter_field field = 0; field < FILTER_FIELDS; field++) {
		write_field(out, filter, field, false, fields[field].condition);
		write_field(out, filter, field, true, fields[field].condition);
	}
	if (only_denied(filter))
		fputs(" AND (c.kind >> 3 & 3) <> 1", out);
	write_times(out, filter, "c.time");
	return fclose(out) == 0 ? text : NULL;
}

/* An event has a time and perhaps a guest; who asks for more wants no events. */
static bool events_possible(const struct filter *filter)
{
	for (size_t i = 0; i < filter->count; i++) {
		if (filter->term[i].field != FILTER_GUEST && !filter->term[i].negated)
			return false;
	}
	return filter->events;
}

char *filter_events(const struct filter *filter)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fputs(events_possible(filter) ? "1" : "0", out);
	write_field(out, filter, FILTER_GUEST, false, "e.guest GLOB ?");
	write_field(out, filter, FILTER_GUEST, true, "e.guest GLOB ?");
	write_times(out, filter, "e.time");
	return fclose(out) == 0 ? text : NULL;
}

static int bind_term(const struct filter_term *term, int count, sqlite3_stmt *statement, int next)
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

static int bind_field(const struct filter *filter, enum filter_field field, int count,
		      sqlite3_stmt *statement, int next)
{
	for (int negated = 0; negated < 2; negated++) {
		for (size_t i = 0; i < filter->count; i++) {
			const struct filter_term *term = &filter->term[i];
			if (term->field == field && term->negated == (negated != 0))
				next = bind_term(term, count, statement, next);
		}
	}
	return next;
}

int filter_bind(const struct filter *filter, bool events, sqlite3_stmt *statement, int first)
{
	int next = first;
	if (events)
		next = bind_field(filter, FILTER_GUEST, 1, statement, next);
	for (enum filter_field field = 0; !events && field < FILTER_FIELDS; field++)
		next = bind_field(filter, field, fields[field].count, statement, next);
	if (filter->since_ns != 0)
		sqlite3_bind_int64(statement, next++, filter->since_ns);
	if (filter->until_ns != 0)
		sqlite3_bind_int64(statement, next++, filter->until_ns);
	return next;
}
