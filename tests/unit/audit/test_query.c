/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The library that readers of the trail share; what pvcalls-audit makes of it has its own tests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/query/query.h"
#include "audit/query/query_time.h"
#include "audit/store/segment.h"
#include "audit/store/store.h"
#include "base/clock.h"
#include "trail_harness.h"

/* A trail that is being written, and what a reader has seen of it. */
struct trail {
	struct folder folder;
	struct store *store;
	int64_t queue;
	uint64_t serial; /* of the last record stored */
	uint64_t sum;    /* of the serials that were read since the last look */
	unsigned rows;
	int columns; /* of a call's row */
};

static int setup(void **state)
{
	static struct trail trail;
	struct fault fault = {0};
	struct audit_identity identity = identity_of("alpha", 11);
	uint64_t place = 0;
	bool finished = false;
	trail = (struct trail){0};
	folder_make(&trail.folder);
	struct store_options options = store_in(&trail.folder);
	assert_int_equal(store_open(&trail.store, &options, &fault), 0);
	assert_int_equal(
		store_queue(trail.store, &identity, &trail.queue, &place, &finished, &fault), 0);
	*state = &trail;
	return 0;
}

static int teardown(void **state)
{
	struct trail *trail = *state;
	store_close(trail->store);
	folder_remove(&trail->folder);
	return 0;
}

static void store_rows(struct trail *trail, unsigned count)
{
	struct audit_record record = {0};
	struct fault fault = {0};
	while (count-- > 0) {
		record_fill(&record, ++trail->serial);
		assert_int_equal(store_call(trail->store, trail->queue, &record, true, &fault), 0);
	}
	assert_int_equal(store_commit(trail->store, &fault), 0);
}

static void begin_segment(struct trail *trail)
{
	struct fault fault = {0};
	assert_int_equal(store_upkeep(trail->store, UINT64_MAX, &fault), 0);
}

static void take_row(void *owner, sqlite3_stmt *row, bool event)
{
	struct trail *trail = owner;
	assert_false(event);
	assert_string_equal(sqlite3_column_name(row, 1), "seq");
	trail->sum += (uint64_t)sqlite3_column_int64(row, 1);
	trail->rows++;
}

static void take_passed_over(void *owner, const char *text)
{
	(void)owner;
	fail_msg("%s", text);
}

static struct query_scan *ask(struct trail *trail, struct query query)
{
	const struct query_reader reader = {
		.row = take_row, .passed_over = take_passed_over, .owner = trail};
	struct query_scan *scan = NULL;
	struct fault fault = {0};
	query.dir = trail->folder.path;
	query.filter.calls = true;
	assert_int_equal(query_open(&scan, &query, &reader, &fault), 0);
	assert_int_equal(query_read(scan, &fault), 0);
	return scan;
}

/* How many rows were read since the last look; *sum: of their numbers. */
static unsigned seen(struct trail *trail, uint64_t *sum)
{
	unsigned rows = trail->rows;
	*sum = trail->sum;
	trail->rows = 0;
	trail->sum = 0;
	return rows;
}

static void test_the_last_rows_come_from_several_segments(void **state)
{
	struct trail *trail = *state;
	uint64_t sum = 0;
	store_rows(trail, 3);
	begin_segment(trail);
	store_rows(trail, 2);
	query_close(ask(trail, (struct query){.count = 3}));
	assert_int_equal(seen(trail, &sum), 3);
	assert_int_equal(sum, 3 + 4 + 5);
	query_close(ask(trail, (struct query){.count = 4, .first = true}));
	assert_int_equal(seen(trail, &sum), 4);
	assert_int_equal(sum, 1 + 2 + 3 + 4);
	query_close(ask(trail, (struct query){.count = QUERY_ALL}));
	assert_int_equal(seen(trail, &sum), 5);
}

static void test_new_rows_are_read_once(void **state)
{
	struct trail *trail = *state;
	struct fault fault = {0};
	uint64_t sum = 0;
	store_rows(trail, 3);
	struct query_scan *scan = ask(trail, (struct query){.count = 1});
	assert_int_equal(seen(trail, &sum), 1);
	assert_int_equal(sum, 3);
	assert_int_equal(query_read_new(scan, &fault), 0);
	assert_int_equal(seen(trail, &sum), 0);

	store_rows(trail, 2);
	begin_segment(trail);
	store_rows(trail, 1);
	assert_int_equal(query_read_new(scan, &fault), 0);
	assert_int_equal(seen(trail, &sum), 3);
	assert_int_equal(sum, 4 + 5 + 6);
	assert_int_equal(query_read_new(scan, &fault), 0);
	assert_int_equal(seen(trail, &sum), 0);
	query_close(scan);
}

static void test_what_was_not_read_is_counted(void **state)
{
	struct trail *trail = *state;
	uint64_t sum = 0;
	uint64_t count = 0;
	store_rows(trail, 3);
	begin_segment(trail);
	store_rows(trail, 2);
	struct query_scan *last = ask(trail, (struct query){.count = 1});
	struct query_scan *first = ask(trail, (struct query){.count = 1, .first = true});
	seen(trail, &sum);
	/* What comes after the reading belongs to query_read_new(). */
	store_rows(trail, 4);
	assert_true(query_count(last, 60 * NS_PER_S, &count));
	assert_int_equal(count, 5);
	assert_true(query_count(first, 60 * NS_PER_S, &count));
	assert_int_equal(count, 9);
	assert_false(query_count(last, 0, &count));
	assert_true(count < 5);
	assert_int_equal(seen(trail, &sum), 0);
	query_close(first);
	query_close(last);
}

static void take_columns(void *owner, sqlite3_stmt *row, bool event)
{
	struct trail *trail = owner;
	int columns = sqlite3_column_count(row);
	if (event)
		return;
	assert_true(trail->columns == 0 || trail->columns == columns);
	trail->columns = columns;
	take_row(owner, row, event);
	for (int i = 0; i < columns; i++) {
		const char *name = sqlite3_column_name(row, i);
		if (strcmp(name, "rewriter") == 0 || strcmp(name, "rewrite_rule") == 0)
			assert_int_equal(sqlite3_column_type(row, i), SQLITE_NULL);
		if (strcmp(name, "operation") == 0)
			assert_non_null(sqlite3_column_text(row, i));
	}
}

/* A trail that began with an older program: all rows have the same columns. */
static void test_a_segment_of_the_version_before_is_read(void **state)
{
	struct trail *trail = *state;
	const struct query_reader reader = {
		.row = take_columns, .passed_over = take_passed_over, .owner = trail};
	struct query_scan *scan = NULL;
	struct fault fault = {0};
	char path[128];
	uint64_t sum = 0;
	store_rows(trail, 2);
	begin_segment(trail);
	store_rows(trail, 1);
	snprintf(path, sizeof(path), "%s/audit-00000001.db", trail->folder.path);
	for (int sealed = 0; sealed < 2; sealed++) {
		unlink(path);
		store_foreign(path, trail_version_1);
		if (sealed)
			assert_int_equal(segment_seal(trail->folder.path, 1, 1, &fault), 0);
		struct query query = {.dir = trail->folder.path, .count = QUERY_ALL};
		query.filter.calls = true;
		query.filter.events = true;
		assert_int_equal(query_open(&scan, &query, &reader, &fault), 0);
		if (query_read(scan, &fault) < 0)
			fail_msg("%s", fault.text);
		query_close(scan);
		assert_int_equal(seen(trail, &sum), 3);
		assert_int_equal(
			query_filter_add(&query.filter, QUERY_FIELD_REWRITER, false, "*r*", &fault),
			0);
		assert_int_equal(query_open(&scan, &query, &reader, &fault), 0);
		assert_int_equal(query_read(scan, &fault), 0);
		query_close(scan);
		assert_int_equal(seen(trail, &sum), 0);
	}
}

static void test_a_folder_that_is_none_is_told(void **state)
{
	struct trail *trail = *state;
	const struct query_reader reader = {
		.row = take_row, .passed_over = take_passed_over, .owner = trail};
	struct query query = {.dir = "/nonexistent", .count = 1};
	struct query_scan *scan = NULL;
	struct fault fault = {0};
	assert_int_equal(query_open(&scan, &query, &reader, &fault), -ENOENT);
	assert_null(scan);
	assert_non_null(strstr(fault.text, "/nonexistent"));
	query_close(scan);
}

static void test_times_as_people_write_them(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t seconds;
	} times[] = {{"1970-01-02", 86400},
		     {"1970-01-02T00:00:01Z", 86401},
		     {"1970-01-02 01:00:00+01:00", 86400},
		     {"-15m", 200000 - 900},
		     {"now", 200000},
		     {"today", 172800},
		     {"yesterday", 86400}};
	static const char *const wrong[] = {"", "-", "-15", "-15y", "1970-13-01", "tomorrow"};
	const int64_t now = 200000 * (int64_t)NS_PER_S;
	struct fault fault = {0};
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		int64_t time = 0;
		assert_int_equal(query_time_parse(times[i].text, now, &time, &fault), 0);
		assert_int_equal(time, times[i].seconds * (int64_t)NS_PER_S);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int64_t time = 0;
		assert_int_equal(query_time_parse(wrong[i], now, &time, &fault), -EINVAL);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_last_rows_come_from_several_segments),
		TEST(test_new_rows_are_read_once),
		TEST(test_what_was_not_read_is_counted),
		TEST(test_a_segment_of_the_version_before_is_read),
		TEST(test_a_folder_that_is_none_is_told),
		cmocka_unit_test(test_times_as_people_write_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
