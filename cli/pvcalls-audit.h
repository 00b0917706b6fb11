/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of pvcalls-audit. */
#ifndef PVCALLS_AUDIT_H
#define PVCALLS_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "pvcalls-audit_filter.h"
#include "pvcalls-audit_output.h"

#define AUDIT_TRAIL_DIR "/var/lib/pvcalls/audit"

/* The exit status, as all commands share it. */
enum audit_status {
	AUDIT_FOUND = 0,
	AUDIT_NOTHING = 1, /* no record matches */
	AUDIT_USAGE = 2,
	AUDIT_INPUT = 3,  /* an address, a time, a name is none */
	AUDIT_TRAIL = 4,  /* the trail is out of reach, or not one that this program reads */
	AUDIT_DENIED = 5, /* not permitted */
};

/* --- times: pvcalls-audit_time.c --- */

/* Reads RFC 3339, a date, -15m, today, yesterday, boot. Returns 0, or -EINVAL and *fault. */
int time_parse(const char *text, int64_t now_ns, int64_t *time_ns, struct fault *fault);

/* --- the trail: pvcalls-audit_trail.c --- */

#define LIMIT_ALL UINT64_MAX

/* What to print: of all records that match, the first or last `count`. */
struct query {
	const char *dir;
	struct filter filter;
	uint64_t count; /* LIMIT_ALL: all */
	bool first;     /* the first ones instead of the last */
	bool follow;    /* then go on with new ones until killed */
};

/* Runs a query and prints what it finds, oldest first; errors go to standard error. */
enum audit_status trail_query(const struct query *query, struct output *output);

/* --- subcommands --- */

/* pvcalls-audit query; argv[0] is the subcommand's name or the program's. */
enum audit_status query_main(int argc, char **argv);

#endif
