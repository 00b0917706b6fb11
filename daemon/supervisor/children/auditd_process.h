/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one pvcalls-auditd: started, watched, and started again when it dies. */
#ifndef SUPERVISOR_CHILDREN_AUDITD_PROCESS_H
#define SUPERVISOR_CHILDREN_AUDITD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit/link/audit_link.h"
#include "base/log.h"
#include "base/loop.h"

#define AUDITD_STAY UINT32_MAX /* uid: keep the daemon's */

/* How to start it. Borrowed for its life. */
struct auditd_process_options {
	const char *program; /* its path */
	int directory_fd;    /* O_DIRECTORY of STATE_DIR/audit */
	int log_fd;
	uint32_t uid;
	bool sync;
	uint64_t segment_bytes; /* 0: its own choice */
	uint32_t segment_age_s; /* 0: its own choice */
};

/* What the owner is told; each may be called again after a restart. */
struct auditd_process_calls {
	void (*ready)(void *owner);
	void (*trouble)(void *owner, const char *text);
	/* This queue's engine is broken or captured: end it. */
	void (*damaged)(void *owner, const uint8_t queue_id[16], const char *text);
	void *owner;
};

/* What pvcallsctl shows. */
struct auditd_process_status {
	bool ready;
	pid_t pid; /* 0: none */
	uint32_t restarts;
	uint32_t pending;    /* queues and events not yet confirmed */
	const char *trouble; /* empty: none */
};

struct auditd_process;

/*
 * Makes it and starts the process; ready or trouble follow. loop, log and what options point to
 * are borrowed for its life. Returns 0 or -errno with *fault.
 */
int auditd_process_create(struct auditd_process **made, struct loop *loop, const struct log *log,
			  const struct auditd_process_options *options,
			  const struct auditd_process_calls *calls, struct fault *fault);
/* Frees; the process, if it is still there, stores what it has and ends by itself. */
void auditd_process_destroy(struct auditd_process *auditd);
/* Closes its socket, which ends the process in order. Nothing can be stored from here on. */
void auditd_process_retire(struct auditd_process *auditd);

/* The eventfd by which engines wake it; borrowed. */
int auditd_process_eventfd(const struct auditd_process *auditd);
/*
 * A queue that is to be drained, and that one whose engine has ended: see audit_link_add() and
 * audit_link_finish().
 */
int auditd_process_add(struct auditd_process *auditd, const uint8_t queue_id[16], int memfd,
		       int engine_eventfd);
void auditd_process_finish(struct auditd_process *auditd, const uint8_t queue_id[16]);
/* See audit_link_ended_in_hook(). */
bool auditd_process_ended_in_hook(const struct auditd_process *auditd, const uint8_t queue_id[16],
				  struct hook_mark *mark);
/* Queues that were added and are not yet stored wholly. */
uint32_t auditd_process_queues(const struct auditd_process *auditd);
/* Stores an event; guest may be NULL, the text is cut at AUDIT_EVENT_TEXT_MAX. */
void auditd_process_event(struct auditd_process *auditd, enum audit_event kind, const char *guest,
			  uint32_t uid, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void auditd_process_status(const struct auditd_process *auditd,
			   struct auditd_process_status *status);

#endif
