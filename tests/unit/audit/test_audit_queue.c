/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ends of a queue in one process: the pool, who wakes whom, and memory that lies. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "call/call.h"
#include "call/hook_mark.h"
#include "queue_ends.h"
#include "trail_harness.h"

/* How often an eventfd was written to since the last look. */
static uint64_t wakes(int fd)
{
	eventfd_t count = 0;
	return eventfd_read(fd, &count) == 0 ? count : 0;
}

static void test_memory_is_sealed(void **state)
{
	struct ends *ends = *state;
	assert_int_equal(ftruncate(ends->memfd, 4096), -1);
	struct queue_memory *memory = NULL;
	int loose = memfd_create("loose", MFD_CLOEXEC);
	assert_int_equal(ftruncate(loose, sizeof(struct queue_memory)), 0);
	assert_int_equal(queue_memory_map(&memory, loose), -EINVAL);
	close(loose);
}

static void test_serves_one_engine(void **state)
{
	struct ends *ends = *state;
	struct audit_queue *second = NULL;
	ends_produce(ends, 1);
	assert_int_equal(
		audit_queue_open(&second, ends->memfd, ends->writer_eventfd, ends->engine_eventfd),
		-EPROTO);
}

static void test_passes_records_in_order(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	for (uint64_t i = 1; i <= 100; i++)
		ends_produce(ends, i);
	for (uint64_t i = 1; i <= 100; i++) {
		assert_true(drain_take(ends->drain, &record));
		assert_int_equal(record.serial, i);
		assert_string_equal(record.policy, "web");
	}
	assert_false(drain_take(ends->drain, &record));
	assert_null(drain_damage(ends->drain));
}

static void test_slots_come_back_after_commit_only(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	uint32_t slot = 0;
	for (uint32_t i = 0; i < AUDIT_QUEUE_SLOTS; i++)
		ends_produce(ends, i);
	assert_null(audit_queue_take(ends->queue, &slot));
	while (drain_take(ends->drain, &record))
		;
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), 0);
	assert_null(audit_queue_take(ends->queue, &slot));
	drain_committed(ends->drain);
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), AUDIT_QUEUE_SLOTS);
	assert_int_equal(audit_queue_used(ends->queue), 0);
	assert_non_null(audit_queue_take(ends->queue, &slot));
}

static void count_stored(void *owner, uint32_t slot)
{
	uint32_t *seen = owner;
	assert_true(slot < AUDIT_QUEUE_SLOTS);
	(*seen)++;
}

static void test_reap_names_each_slot(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	uint32_t seen = 0;
	for (uint64_t i = 0; i < 10; i++)
		ends_produce(ends, i);
	for (int i = 0; i < 4; i++)
		assert_true(drain_take(ends->drain, &record));
	drain_committed(ends->drain);
	assert_int_equal(audit_queue_reap(ends->queue, count_stored, &seen), 4);
	assert_int_equal(seen, 4);
}

static void test_untaken_slots_are_free_and_zeroed(void **state)
{
	struct ends *ends = *state;
	uint32_t slot = 0;
	struct audit_record *record = audit_queue_take(ends->queue, &slot);
	record->serial = 99;
	audit_queue_untake(ends->queue, slot);
	assert_int_equal(audit_queue_used(ends->queue), 0);
	record = audit_queue_take(ends->queue, &slot);
	assert_int_equal(record->serial, 0);
	audit_queue_untake(ends->queue, slot);
}

static void test_a_sleeping_writer_is_woken_once(void **state)
{
	struct ends *ends = *state;
	assert_true(drain_sleep(ends->drain, false));
	audit_queue_flush(ends->queue, true);
	assert_int_equal(wakes(ends->writer_eventfd), 0);
	ends_produce(ends, 1);
	audit_queue_flush(ends->queue, false);
	ends_produce(ends, 2);
	audit_queue_flush(ends->queue, false);
	assert_int_equal(wakes(ends->writer_eventfd), 1);
	assert_false(drain_sleep(ends->drain, false));
}

static void test_a_lazy_writer_is_woken_for_many_or_now(void **state)
{
	struct ends *ends = *state;
	assert_true(drain_sleep(ends->drain, true));
	for (uint32_t i = 1; i < AUDIT_QUEUE_WAKE_AT; i++) {
		ends_produce(ends, i);
		audit_queue_flush(ends->queue, false);
	}
	assert_int_equal(wakes(ends->writer_eventfd), 0);
	ends_produce(ends, AUDIT_QUEUE_WAKE_AT);
	audit_queue_flush(ends->queue, false);
	assert_int_equal(wakes(ends->writer_eventfd), 1);

	struct audit_record record;
	while (drain_take(ends->drain, &record))
		;
	drain_committed(ends->drain);
	assert_true(drain_sleep(ends->drain, true));
	ends_produce(ends, 1);
	audit_queue_flush(ends->queue, true);
	assert_int_equal(wakes(ends->writer_eventfd), 1);
}

static void test_an_awaiting_engine_is_woken_at_the_commit(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	ends_produce(ends, 1);
	audit_queue_await(ends->queue);
	assert_int_equal(wakes(ends->engine_eventfd), 0);
	assert_true(drain_take(ends->drain, &record));
	drain_committed(ends->drain);
	assert_int_equal(wakes(ends->engine_eventfd), 1);

	/* The commit was faster than the wish to hear of it. */
	audit_queue_await(ends->queue);
	assert_int_equal(wakes(ends->engine_eventfd), 1);
}

static void test_resume_frees_what_was_committed(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	for (uint64_t i = 1; i <= 10; i++)
		ends_produce(ends, i);
	/* A writer committed 6 rows, freed none, and was killed: its successor knows only the
	 * place. */
	drain_resume(ends->drain, 6);
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), 6);
	assert_true(drain_take(ends->drain, &record));
	assert_int_equal(record.serial, 7);
	assert_null(drain_damage(ends->drain));
}

static void test_undo_takes_again(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	ends_produce(ends, 1);
	assert_true(drain_take(ends->drain, &record));
	drain_undo(ends->drain);
	assert_int_equal(drain_place(ends->drain), 0);
	assert_true(drain_take(ends->drain, &record));
	assert_int_equal(record.serial, 1);
}

static void test_leftovers_are_decided_and_done(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	uint32_t slot = 0;
	uint32_t cursor = 0;
	ends_produce(ends, 1); /* taken and committed: no leftover */
	assert_true(drain_take(ends->drain, &record));
	drain_committed(ends->drain);
	audit_queue_reap(ends->queue, NULL, NULL);

	audit_queue_take(ends->queue, &slot); /* never decided: nothing was executed */
	audit_queue_take(ends->queue, &slot)->serial = 20;
	audit_queue_decided(ends->queue, slot);
	audit_queue_take(ends->queue, &slot)->serial =
		30; /* done, but died before handing it over */
	ends->memory->record[slot].state = AUDIT_SLOT_DONE;

	uint64_t decided = 0;
	uint64_t done = 0;
	while (drain_leftover(ends->drain, &cursor, &record)) {
		if (record.state == AUDIT_SLOT_DECIDED)
			decided += record.serial;
		else
			done += record.serial;
	}
	assert_int_equal(decided, 20);
	assert_int_equal(done, 30);
	assert_true(drain_busy(ends->drain));
}

static void test_a_decision_can_be_taken_back(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	uint32_t slot = 0;
	uint32_t cursor = 0;
	struct audit_record *written = audit_queue_take(ends->queue, &slot);
	record_fill(written, 40);
	audit_queue_decided(ends->queue, slot);
	assert_int_equal(ends->memory->record[slot].state, AUDIT_SLOT_DECIDED);

	/* An engine that dies here, half way through the new decision, leaves none. */
	audit_queue_undecided(ends->queue, slot);
	written->serial = 41;
	assert_int_equal(ends->memory->record[slot].state, AUDIT_SLOT_ASKED);
	assert_true(drain_leftover(ends->drain, &cursor, &record));
	assert_int_equal(record.verdict, VERDICT_NONE);
	assert_string_equal(record.decider, "protocol");
	assert_string_equal(record.rule, "");
	assert_true(drain_busy(ends->drain));
	assert_int_equal(audit_queue_used(ends->queue), 1);

	audit_queue_decided(ends->queue, slot);
	cursor = 0;
	assert_true(drain_leftover(ends->drain, &cursor, &record));
	assert_int_equal(record.state, AUDIT_SLOT_DECIDED);
	assert_int_equal(record.serial, 41);
	audit_queue_done(ends->queue, slot);
	assert_true(drain_take(ends->drain, &record));
	assert_int_equal(record.serial, 41);
	assert_null(drain_damage(ends->drain));
}

/* Whether a step on a slot ends the process, as it does where our own code is wrong. */
static void assert_aborts(struct ends *ends, void (*step)(struct audit_queue *, uint32_t),
			  uint32_t slot)
{
	int status = 0;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		step(ends->queue, slot);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_states_follow_in_order(void **state)
{
	struct ends *ends = *state;
	uint32_t slot = 0;
	audit_queue_take(ends->queue, &slot);
	assert_aborts(ends, audit_queue_undecided, slot);
	assert_aborts(ends, audit_queue_done, slot);
	assert_aborts(ends, audit_queue_decided, AUDIT_QUEUE_SLOTS);
	audit_queue_asked(ends->queue, slot);
	assert_aborts(ends, audit_queue_asked, slot);
	assert_aborts(ends, audit_queue_untake, slot);
	assert_aborts(ends, audit_queue_done, slot);
	audit_queue_decided(ends->queue, slot);
	assert_aborts(ends, audit_queue_decided, slot);
	assert_aborts(ends, audit_queue_untake, slot);
	audit_queue_done(ends->queue, slot);
	assert_aborts(ends, audit_queue_undecided, slot);
	assert_aborts(ends, audit_queue_done, slot);
}

static void test_a_count_out_of_range_breaks_the_ring(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	static const uint64_t lies[] = {AUDIT_QUEUE_SLOTS + 1, UINT64_MAX, UINT64_MAX / 2};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		ends_close(state);
		ends_open(state);
		ends = *state;
		ends->memory->done = lies[i];
		assert_false(drain_take(ends->drain, &record));
		assert_non_null(drain_damage(ends->drain));
		assert_int_equal(drain_ready(ends->drain), 0);
		assert_true(drain_sleep(ends->drain, false));
	}
	/* Backwards is a lie too. */
	ends_close(state);
	ends_open(state);
	ends = *state;
	ends_produce(ends, 1);
	assert_true(drain_take(ends->drain, &record));
	ends->memory->done = 0;
	assert_false(drain_take(ends->drain, &record));
	assert_non_null(drain_damage(ends->drain));
}

static void test_a_slot_out_of_range_breaks_the_ring(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	ends_produce(ends, 1);
	ends->memory->ring[0] = AUDIT_QUEUE_SLOTS;
	assert_false(drain_take(ends->drain, &record));
	assert_non_null(drain_damage(ends->drain));
	/* What the slots hold is not lost. */
	uint32_t cursor = 0;
	assert_true(drain_leftover(ends->drain, &cursor, &record));
	assert_int_equal(record.serial, 1);
}

/* An engine dies while a plugin decides: the call is recorded with the plugin, and nothing else. */
static void test_a_call_that_ended_its_engine(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	struct hook_mark mark;
	uint32_t slot = 0;
	uint32_t cursor = 0;
	struct audit_record *written = audit_queue_take(ends->queue, &slot);

	assert_false(drain_leftover(ends->drain, &cursor, &record));
	record_fill(written, 40);
	written->rewritten = 1;
	assert_false(audit_queue_ended_in_hook(ends->memfd, &mark));
	audit_queue_asked(ends->queue, slot);
	hook_mark_begin(audit_queue_hook(ends->queue), HOOK_KIND_DECIDE, "first-plugin");
	hook_mark_end(audit_queue_hook(ends->queue));
	hook_mark_begin(audit_queue_hook(ends->queue), HOOK_KIND_CHECK, "second");
	cursor = 0;
	assert_true(drain_busy(ends->drain));
	assert_true(drain_leftover(ends->drain, &cursor, &record));
	assert_int_equal(record.serial, 40);
	assert_int_equal(record.verdict, VERDICT_FAULT);
	assert_string_equal(record.decider, "second");
	assert_string_equal(record.rule, "");
	assert_string_equal(record.reason, "the engine ended in its hook check");
	assert_int_equal(record.rewritten, 0);
	assert_memory_equal(&record.effective, &record.requested, sizeof(record.effective));
	assert_true(audit_queue_ended_in_hook(ends->memfd, &mark));
	assert_int_equal(mark.kind, HOOK_KIND_CHECK);
	assert_string_equal(mark.plugin, "second");
	hook_mark_end(audit_queue_hook(ends->queue));
	assert_false(audit_queue_ended_in_hook(ends->memfd, &mark));
	cursor = 0;
	assert_true(drain_leftover(ends->drain, &cursor, &record));
	assert_int_equal(record.verdict, VERDICT_NONE);
	assert_null(drain_damage(ends->drain));
}

/* What a captured engine writes there is brought into range. */
static void test_a_wild_mark(void **state)
{
	struct ends *ends = *state;
	struct hook_mark mark;

	memset(&ends->memory->hook, 0xff, sizeof(ends->memory->hook));
	assert_false(audit_queue_ended_in_hook(ends->memfd, &mark));
	ends->memory->hook.kind = HOOK_KIND_DECIDE;
	ends->memory->hook.plugin[0] = '\033';
	assert_true(audit_queue_ended_in_hook(ends->memfd, &mark));
	assert_int_equal(strlen(mark.plugin), sizeof(mark.plugin) - 1);
	assert_int_equal(mark.plugin[0], '?');
	assert_int_equal(mark.plugin[1], '?');
}

static void test_a_place_the_memory_denies_breaks_the_ring(void **state)
{
	struct ends *ends = *state;
	ends_produce(ends, 1);
	ends->memory->stored = 5;
	drain_resume(ends->drain, 3);
	assert_non_null(drain_damage(ends->drain));
}

static void test_wild_records_are_brought_into_range(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	ends_produce(ends, 1);
	memset(&ends->memory->record[ends->memory->ring[0]], 0xff, sizeof(struct audit_record));
	assert_true(drain_take(ends->drain, &record));
	assert_non_null(drain_damage(ends->drain));
	assert_int_equal(record.op, PVCALLS_OP_COUNT);
	assert_int_equal(record.verdict, VERDICT_FAULT);
	assert_int_equal(record.close_reason, AUDIT_CLOSE_NONE);
	assert_int_equal(record.rewritten, 1);
	assert_int_equal(record.cancelled, 1);
	assert_int_equal(record.result, -1);
	assert_int_equal(record.requested.family, 0);
	assert_true(record.wall_ns <= INT64_MAX);
	assert_true(record.bytes_in <= INT64_MAX);
	assert_int_equal(strlen(record.policy), sizeof(record.policy) - 1);
	assert_int_equal(strlen(record.decider), sizeof(record.decider) - 1);
	assert_int_equal(strlen(record.rule), sizeof(record.rule) - 1);
	assert_int_equal(strlen(record.reason), sizeof(record.reason) - 1);
}

static void test_results_out_of_range_are_errors(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	static const int32_t lies[] = {1, INT32_MAX, INT32_MIN, -4096};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		ends_produce(ends, i);
		ends->memory->record[ends->memory->ring[i]].result = lies[i];
		assert_true(drain_take(ends->drain, &record));
		assert_int_equal(record.result, -EIO);
	}
}

static void test_a_slot_not_done_is_damage(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	ends_produce(ends, 1);
	ends->memory->record[ends->memory->ring[0]].state = AUDIT_SLOT_TAKEN;
	assert_true(drain_take(ends->drain, &record));
	assert_non_null(drain_damage(ends->drain));
}

static void test_an_engine_survives_wild_counts(void **state)
{
	struct ends *ends = *state;
	ends_produce(ends, 1);
	ends->memory->stored = 77;
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), 0);
	/* Nor does it keep waking itself for nothing. */
	audit_queue_await(ends->queue);
	assert_int_equal(wakes(ends->engine_eventfd), 0);
	ends->memory->stored = 1;
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), 1);
	ends->memory->stored = 0;
	assert_int_equal(audit_queue_reap(ends->queue, NULL, NULL), 0);
}

static void note_stored(void *owner, uint32_t slot)
{
	*(uint32_t *)owner = slot;
}

/*
 * Another process may write what it likes: what was stored is known by the order in which the
 * engine handed it over, so that no answer goes out, and no slot is used again, for another.
 */
static void test_an_engine_believes_no_slot_number(void **state)
{
	struct ends *ends = *state;
	uint32_t seen = 0;
	uint32_t first = 0;
	uint32_t second = 0;
	ends_produce(ends, 1);
	ends_produce(ends, 2);
	first = ends->memory->ring[0];
	second = ends->memory->ring[1];
	ends->memory->ring[0] = second;
	ends->memory->ring[1] = UINT32_MAX;
	memset(&ends->memory->record[first].state, 0xff, sizeof(uint32_t));
	ends->memory->stored = 1;
	assert_int_equal(audit_queue_reap(ends->queue, note_stored, &seen), 1);
	assert_int_equal(seen, first);
	assert_int_equal(audit_queue_used(ends->queue), 1);
	ends->memory->stored = 2;
	assert_int_equal(audit_queue_reap(ends->queue, note_stored, &seen), 1);
	assert_int_equal(seen, second);
	assert_int_equal(audit_queue_used(ends->queue), 0);
}

/* A number that is none frees no slot: above all not that of its low bits. */
static void test_a_wild_number_frees_nothing_at_a_resume(void **state)
{
	struct ends *ends = *state;
	struct audit_record record;
	uint32_t slot = 0;
	uint32_t cursor = 0;
	ends_produce(ends, 1);
	audit_queue_take(ends->queue, &slot)->serial = 2;
	audit_queue_decided(ends->queue, slot);
	ends->memory->ring[0] = slot + AUDIT_QUEUE_SLOTS;
	drain_resume(ends->drain, 1);
	assert_non_null(drain_damage(ends->drain));
	assert_int_equal(ends->memory->record[slot].state, AUDIT_SLOT_DECIDED);
	while (drain_leftover(ends->drain, &cursor, &record) && record.serial != 2)
		;
	assert_int_equal(record.serial, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, ends_open, ends_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_memory_is_sealed),
		TEST(test_serves_one_engine),
		TEST(test_passes_records_in_order),
		TEST(test_slots_come_back_after_commit_only),
		TEST(test_reap_names_each_slot),
		TEST(test_untaken_slots_are_free_and_zeroed),
		TEST(test_a_sleeping_writer_is_woken_once),
		TEST(test_a_lazy_writer_is_woken_for_many_or_now),
		TEST(test_an_awaiting_engine_is_woken_at_the_commit),
		TEST(test_resume_frees_what_was_committed),
		TEST(test_undo_takes_again),
		TEST(test_leftovers_are_decided_and_done),
		TEST(test_a_decision_can_be_taken_back),
		TEST(test_states_follow_in_order),
		TEST(test_a_count_out_of_range_breaks_the_ring),
		TEST(test_a_slot_out_of_range_breaks_the_ring),
		TEST(test_a_call_that_ended_its_engine),
		TEST(test_a_wild_mark),
		TEST(test_a_place_the_memory_denies_breaks_the_ring),
		TEST(test_wild_records_are_brought_into_range),
		TEST(test_results_out_of_range_are_errors),
		TEST(test_a_slot_not_done_is_damage),
		TEST(test_an_engine_survives_wild_counts),
		TEST(test_an_engine_believes_no_slot_number),
		TEST(test_a_wild_number_frees_nothing_at_a_resume),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
