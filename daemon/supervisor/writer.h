/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one pvcalls-auditd: started, watched, and started again when it dies. */
#ifndef SUPERVISOR_WRITER_H
#define SUPERVISOR_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit/link/audit_link.h"
#include "base/log.h"
#include "base/loop.h"

#define WRITER_SOCKET_FD    3
#define WRITER_DOORBELL_FD  4
#define WRITER_DIRECTORY_FD 5

#define WRITER_STAY UINT32_MAX /* uid: keep the daemon's */

/* How to start it. Borrowed for the writer's life. */
struct writer_options {
	const char *program; /* its path */
	int directory_fd;    /* O_DIRECTORY of STATE_DIR/audit */
	int log_fd;
	uint32_t uid;
	bool sync;
	uint64_t segment_bytes; /* 0: its own choice */
	uint32_t segment_age_s; /* 0: its own choice */
};

/* What the owner is told; each may be called again after a restart. */
struct writer_calls {
	void (*ready)(void *owner);
	void (*trouble)(void *owner, const char *text);
	/* This queue's engine is broken or captured: end it. */
	void (*damaged)(void *owner, const uint8_t queue_id[16], const char *text);
	void *owner;
};

/* What pvcallsctl shows. */
struct writer_status {
	bool ready;
	pid_t pid; /* 0: none */
	uint32_t restarts;
	uint32_t pending;    /* queues and events not yet confirmed */
	const char *trouble; /* empty: none */
};

struct writer;

/* Makes it and starts the process; ready or trouble follow. Returns 0 or -errno with *fault. */
int writer_create(struct writer **made, struct loop *loop, const struct log *log,
		  const struct writer_options *options, const struct writer_calls *calls,
		  struct fault *fault);
/* Frees; the process, if it is still there, stores what it has and ends by itself. */
void writer_destroy(struct writer *writer);
/* Closes its socket, which ends the process in order. Nothing can be stored from here on. */
void writer_retire(struct writer *writer);

/* The eventfd that engines ring; borrowed. */
int writer_doorbell(const struct writer *writer);
/* See audit_link_add() and audit_link_finish(). */
int writer_add(struct writer *writer, const uint8_t queue_id[16], int memfd, int engine_doorbell);
void writer_finish(struct writer *writer, const uint8_t queue_id[16]);
/* Queues that were added and are not yet stored wholly. */
uint32_t writer_queues(const struct writer *writer);
/* Stores an event; guest may be NULL. */
void writer_event(struct writer *writer, enum audit_event kind, const char *guest, uint32_t uid,
		  const char *format, ...) __attribute__((format(printf, 5, 6)));
void writer_status(const struct writer *writer, struct writer_status *status);

#endif
