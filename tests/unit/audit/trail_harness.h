/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the tests of the trail: folders, records, a real pvcalls-auditd, and what it stored. */
#ifndef TESTS_AUDIT_HARNESS_H
#define TESTS_AUDIT_HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit/link/audit_link.h"
#include "audit/queue/audit_queue.h"
#include "audit/store/store.h"

/* A folder for one test, removed with what is in it by folder_remove(). */
struct folder {
	char path[64];
};

void folder_make(struct folder *folder);
void folder_remove(const struct folder *folder);

/* A record as an engine writes it: call number `serial` of some socket, all fields set. */
void record_fill(struct audit_record *record, uint64_t serial);
/* An identity with a random queue id. */
struct audit_identity identity_of(const char *name, uint32_t domid);

/* Options for a store in a folder. */
struct store_options store_in(const struct folder *folder);

/* A pvcalls-auditd and what its supervisor knows of it. */
struct daemon {
	pid_t pid;
	int eventfd;
	struct audit_link *link;
	unsigned ready;
	unsigned troubles;
	unsigned recoveries;
	unsigned finished;
	unsigned damages;
	char text[1024]; /* of the last trouble or damage */
};

/* The supervisor's end, without a writer. */
void daemon_init(struct daemon *daemon);
/* Starts the writer on a folder; arguments end with NULL, NULL: none. */
void daemon_start(struct daemon *daemon, const struct folder *folder, char *const arguments[]);
/* SIGKILL, and waits for its end. */
void daemon_kill(struct daemon *daemon);
/* Closes the socket and returns the writer's exit status. */
int daemon_end(struct daemon *daemon);
/* Serves the link for at most ms milliseconds, or until *counter is at least wanted. */
bool daemon_await(struct daemon *daemon, const unsigned *counter, unsigned wanted, int ms);

/* A queue with its engine's end, known to the daemon's link. */
struct engine {
	struct audit_identity identity;
	struct audit_queue *queue;
	int memfd;
	int eventfd;
	uint64_t serial; /* of the last record produced */
	uint32_t reaped;
};

void engine_start(struct engine *engine, struct daemon *daemon, const char *name, uint32_t domid);
void engine_end(struct engine *engine);
/* Produces one complete record; false if there is no slot. */
bool engine_produce(struct engine *engine);
/* Reaps until every slot has come back, at most ms milliseconds. */
bool engine_settle(struct engine *engine, struct daemon *daemon, int ms);

/* The sum of a query that returns one number, over all segments of a folder. */
int64_t trail_sum(const struct folder *folder, const char *query);
/* The least and the greatest of it. */
int64_t trail_min(const struct folder *folder, const char *query);
int64_t trail_max(const struct folder *folder, const char *query);
/* The first column of the first row of the newest segment as text, into text. */
void trail_text(const struct folder *folder, const char *query, char *text, size_t size);

#define TRAIL_ROWS 60u /* 30 of each guest */
/*
 * Makes the folder, and a trail of three segments in it, the last one sealed too. Row i: guest a
 * (even) or b (odd); connects to 192.0.2.i:443, every sixth one accepts from 198.51.100.i instead;
 * every fifth one is denied by the floor; one minute apart. Two were cancelled: connect 31 under
 * way, accept 41 before anybody had come.
 */
void trail_of_two_guests(struct folder *folder);

/*
 * SQL that makes a segment as version 1 of the schema had it, number 1, with two calls of guest
 * "old": the first was rewritten from 8.8.8.8:53 to 10.0.0.53:53. For store_foreign().
 */
extern const char trail_version_1[];
/* Writes a database that is no trail of ours; sql NULL: a file that is no database at all. */
void store_foreign(const char *path, const char *sql);

/* Says that a test could not be made here; a failure where CI is set. */
void not_run(const char *why);

#endif
