/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ends of an audit queue in one process. */
#ifndef TESTS_AUDIT_QUEUE_ENDS_H
#define TESTS_AUDIT_QUEUE_ENDS_H

#include <stdint.h>

#include "audit/queue/audit_queue.h"
#include "audit/queue/drain.h"
#include "audit/queue/queue_memory.h"

/* And the memory between them, as a captured engine sees it. */
struct ends {
	struct audit_queue *queue;
	struct drain *drain;
	struct queue_memory *memory;
	int writer_eventfd;
	int engine_eventfd;
	int memfd;
};

/* A test's setup and teardown: *state is struct ends. */
int ends_open(void **state);
int ends_close(void **state);
/* One complete record, for which there is a slot. */
void ends_produce(struct ends *ends, uint64_t serial);

#endif
