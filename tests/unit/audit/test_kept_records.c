/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records that find the queue full and can't wait: none is lost, and the order stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_ends.h"
#include "trail_harness.h"

/* A record that finds no slot, as ends_produce() otherwise. */
static void produce_kept(struct ends *ends, uint64_t serial)
{
	uint32_t slot = 0;
	struct audit_record *record = audit_queue_take_kept(ends->queue, &slot);
	assert_non_null(record);
	assert_ptr_equal(audit_queue_record(ends->queue, slot), record);
	record_fill(record, serial);
	audit_queue_asked(ends->queue, slot);
	audit_queue_decided(ends->queue, slot);
	audit_queue_done(ends->queue, slot);
}

/* Takes and commits what there is, whose serial numbers are these and the following. */
static void store_from(struct ends *ends, uint64_t serial, uint32_t count)
{
	struct audit_record record;
	for (uint32_t i = 0; i < count; i++) {
		assert_true(drain_take(ends->drain, &record));
		assert_int_equal(record.serial, serial + i);
		assert_int_equal(record.state, AUDIT_SLOT_DONE);
	}
	assert_false(drain_take(ends->drain, &record));
	assert_null(drain_damage(ends->drain));
	drain_committed(ends->drain);
}

/* Nothing is lost for want of a slot, and nothing overtakes what waits for one. */
static void test_what_has_no_slot_is_kept(void **state)
{
	struct ends *ends = *state;
	uint32_t calls[3];
	uint32_t slot = 0;
	for (uint32_t i = 0; i < 3; i++)
		assert_non_null(audit_queue_take(ends->queue, &calls[i]));
	for (uint32_t i = 3; i < AUDIT_QUEUE_SLOTS; i++)
		ends_produce(ends, i - 2);
	const uint32_t full = AUDIT_QUEUE_SLOTS - 3;
	produce_kept(ends, full + 1);
	produce_kept(ends, full + 2);
	for (uint32_t i = 0; i < 2; i++) {
		audit_queue_record(ends->queue, calls[i])->serial = full + 3 + 2 * i;
		audit_queue_decided(ends->queue, calls[i]);
		audit_queue_done(ends->queue, calls[i]);
		if (i == 0)
			produce_kept(ends, full + 4);
	}
	assert_int_equal(audit_queue_kept(ends->queue), 3);
	assert_false(audit_queue_has_room(ends->queue));
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), 0);
	store_from(ends, 1, full);
	assert_null(audit_queue_take(ends->queue, &slot));
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), full);
	assert_int_equal(audit_queue_kept(ends->queue), 0);
	assert_int_equal(audit_queue_used(ends->queue), 6);
	/* In its turn, now that there is room. */
	produce_kept(ends, full + 6);
	store_from(ends, full + 1, 6);
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), 6);
	audit_queue_untake(ends->queue, calls[2]);
	assert_int_equal(audit_queue_used(ends->queue), 0);
}

/* A slot that a call gives back serves as well as one that was stored. */
static void test_what_is_kept_takes_a_slot_that_is_given_back(void **state)
{
	struct ends *ends = *state;
	uint32_t call = 0;
	assert_non_null(audit_queue_take(ends->queue, &call));
	for (uint32_t i = 1; i < AUDIT_QUEUE_SLOTS; i++)
		ends_produce(ends, i);
	produce_kept(ends, AUDIT_QUEUE_SLOTS);
	audit_queue_untake(ends->queue, call);
	assert_int_equal(audit_queue_kept(ends->queue), 0);
	store_from(ends, 1, AUDIT_QUEUE_SLOTS);
}

/* Of an engine that ends, what waits behind a kept record is stored whole. */
static void test_what_is_held_back_outlives_the_engine(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	uint32_t call = 0;
	uint32_t cursor = 0;
	assert_non_null(audit_queue_take(ends->queue, &call));
	for (uint32_t i = 1; i < AUDIT_QUEUE_SLOTS; i++)
		ends_produce(ends, i);
	produce_kept(ends, AUDIT_QUEUE_SLOTS);
	audit_queue_record(ends->queue, call)->serial = AUDIT_QUEUE_SLOTS + 1;
	audit_queue_decided(ends->queue, call);
	audit_queue_done(ends->queue, call);
	store_from(ends, 1, AUDIT_QUEUE_SLOTS - 1);
	assert_true(drain_leftover(ends->drain, &cursor, &record));
	assert_int_equal(record.serial, AUDIT_QUEUE_SLOTS + 1);
	assert_int_equal(record.state, AUDIT_SLOT_DONE);
	assert_false(drain_leftover(ends->drain, &cursor, &record));
}

/* What is left when the engine ends goes with it. */
static void test_what_is_kept_is_freed(void **state)
{
	struct ends *ends = *state;
	uint32_t slot = 0;
	for (uint32_t i = 1; i <= AUDIT_QUEUE_SLOTS; i++)
		ends_produce(ends, i);
	produce_kept(ends, 1);
	produce_kept(ends, 2);
	assert_non_null(audit_queue_take_kept(ends->queue, &slot));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, ends_open, ends_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_has_no_slot_is_kept),
		TEST(test_what_is_kept_takes_a_slot_that_is_given_back),
		TEST(test_what_is_held_back_outlives_the_engine),
		TEST(test_what_is_kept_is_freed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
