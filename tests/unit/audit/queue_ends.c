/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "queue_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "trail_harness.h"

int ends_open(void **state)
{
	static struct ends ends;
	struct audit_identity identity = identity_of("web-1", 7);
	ends.writer_eventfd = eventfd(0, EFD_NONBLOCK);
	ends.engine_eventfd = eventfd(0, EFD_NONBLOCK);
	ends.memfd = audit_queue_create(&identity);
	assert_true(ends.memfd >= 0);
	assert_int_equal(
		audit_queue_open(&ends.queue, ends.memfd, ends.writer_eventfd, ends.engine_eventfd),
		0);
	assert_int_equal(
		drain_open(&ends.drain, &identity, dup(ends.memfd), dup(ends.engine_eventfd)), 0);
	assert_int_equal(queue_memory_map(&ends.memory, ends.memfd), 0);
	*state = &ends;
	return 0;
}

int ends_close(void **state)
{
	struct ends *ends = *state;
	drain_close(ends->drain);
	audit_queue_close(ends->queue);
	queue_memory_unmap(ends->memory);
	close(ends->memfd);
	close(ends->writer_eventfd);
	close(ends->engine_eventfd);
	return 0;
}

void ends_produce(struct ends *ends, uint64_t serial)
{
	uint32_t slot = 0;
	struct audit_record *record = audit_queue_take(ends->queue, &slot);
	assert_non_null(record);
	record_fill(record, serial);
	audit_queue_decided(ends->queue, slot);
	audit_queue_done(ends->queue, slot);
}
