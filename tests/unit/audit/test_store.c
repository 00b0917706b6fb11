/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store without a writer process: rows, places, segments, and files it must not touch. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/store/decisions.h"
#include "audit/store/segment.h"
#include "base/clock.h"
#include "call/call.h"
#include "trail_harness.h"

struct scene {
	struct folder folder;
	struct store_options options;
	struct store *store;
	struct audit_identity identity;
	int64_t queue;
	uint64_t place;
};

static void reopen(struct scene *scene)
{
	struct fault fault = {0};
	bool finished = false;
	store_close(scene->store);
	scene->store = NULL;
	if (store_open(&scene->store, &scene->options, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(store_queue(scene->store, &scene->identity, &scene->queue, &scene->place,
				     &finished, &fault),
			 0);
}

static int setup(void **state)
{
	static struct scene scene;
	memset(&scene, 0, sizeof(scene));
	folder_make(&scene.folder);
	scene.options = store_in(&scene.folder);
	scene.identity = identity_of("web-1", 7);
	reopen(&scene);
	*state = &scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	store_close(scene->store);
	scene->store = NULL;
	folder_remove(&scene->folder);
	return 0;
}

static void add(struct scene *scene, const struct audit_record *record, bool known)
{
	struct fault fault = {0};
	if (store_call(scene->store, scene->queue, record, known, &fault) < 0)
		fail_msg("%s", fault.text);
}

static void add_many(struct scene *scene, uint64_t first, uint64_t count)
{
	struct fault fault = {0};
	for (uint64_t i = 0; i < count; i++) {
		struct audit_record record = {0};
		record_fill(&record, first + i);
		add(scene, &record, true);
	}
	assert_int_equal(store_place(scene->store, scene->queue, first + count - 1, false, &fault),
			 0);
}

static void commit(struct scene *scene)
{
	struct fault fault = {0};
	assert_int_equal(store_commit(scene->store, &fault), 0);
}

static void test_place_and_rows_are_one(void **state)
{
	struct scene *scene = *state;
	add_many(scene, 1, 10);
	commit(scene);
	add_many(scene, 11, 5);
	reopen(scene); /* without a commit */
	assert_int_equal(scene->place, 10);
	assert_int_equal(trail_sum(&scene->folder, "SELECT count(*) FROM call_log"), 10);
	add_many(scene, 11, 5);
	commit(scene);
	reopen(scene);
	assert_int_equal(scene->place, 15);
	assert_int_equal(trail_sum(&scene->folder, "SELECT count(*) FROM call_log"), 15);
	assert_int_equal(trail_sum(&scene->folder, "SELECT max(seq) FROM call_log"), 15);
}

static void test_every_column_comes_back(void **state)
{
	struct scene *scene = *state;
	char text[1024];
	struct audit_record record = {0};
	record_fill(&record, 7); /* a release */
	record.parent = 3;
	record.rewritten = 1;
	snprintf(record.rewriter, sizeof(record.rewriter), "rewrite");
	snprintf(record.rewrite_rule, sizeof(record.rewrite_rule), "dns");
	record.requested.port = 80;
	record.result = -ECONNREFUSED;
	record.verdict = VERDICT_WOULD_DENY;
	snprintf(record.reason, sizeof(record.reason), "nearest: port");
	add(scene, &record, true);
	commit(scene);
	trail_text(
		&scene->folder,
		"SELECT printf('%s %s %d %s %d %s %d %d %s:%d %s:%d %s:%d %s:%d %s %d %s %s %s %s %d"
		" %s %d %d %s %s %d %d %d %s %s/%s', time, boot_id, domid, guest, serial, operation,"
		" socket, parent, requested_address, requested_port, effective_address,"
		" effective_port, local_address, local_port, peer_address, peer_port, verdict,"
		" rewritten, decider, rule, reason, outcome, errno, errno_name, decision_ns,"
		" total_ns, policy, substr(policy_digest, 1, 4), bytes_in, bytes_out, duration_ns,"
		" close_reason, rewriter, rewrite_rule) FROM calls",
		text, sizeof(text));
	assert_string_equal(
		text,
		"2023-11-14T22:13:20.000007000Z test-boot 7 web-1 7 release 1 3 10.0.0.7:80 "
		"10.0.0.7:443 192.168.0.1:40000 10.0.0.7:443 would_deny 1 filter rule-3 nearest: port "
		"error 111 ECONNREFUSED 900 41007 web abab 21 7 5000000 released rewrite/dns");
}

static void test_no_address_is_not_address_zero(void **state)
{
	struct scene *scene = *state;
	char text[256];
	struct audit_record none = {.op = PVCALLS_OP_SOCKET, .wall_ns = 1};
	struct audit_record any = {.op = PVCALLS_OP_BIND, .wall_ns = 1, .effective.family = 2};
	add(scene, &none, true);
	add(scene, &any, true);
	commit(scene);
	trail_text(&scene->folder,
		   "SELECT group_concat(printf('%s/%s %s/%s', ifnull(requested_address, '-'),"
		   " ifnull(requested_port, '-'), ifnull(effective_address, '-'),"
		   " ifnull(effective_port, '-')), ', ') FROM calls",
		   text, sizeof(text));
	assert_string_equal(text, "-/- -/-, -/- 0.0.0.0/0");
}

static void test_an_unknown_outcome_has_no_result(void **state)
{
	struct scene *scene = *state;
	char text[64];
	struct audit_record record = {0};
	record_fill(&record, 1);
	add(scene, &record, false);
	commit(scene);
	trail_text(&scene->folder, "SELECT outcome || ifnull(errno, ' null') FROM calls", text,
		   sizeof(text));
	assert_string_equal(text, "unknown null");
}

/* Each verdict with each outcome, as the view says it. */
static void test_verdicts_and_outcomes_have_names(void **state)
{
	struct scene *scene = *state;
	char text[512];
	for (uint32_t i = 0; i < 2 * VERDICTS; i++) {
		struct audit_record record = {0};
		record_fill(&record, 1 + i);
		record.verdict = i / 2;
		record.cancelled = i % 2;
		record.result = i == 2 ? 0 : -ECANCELED;
		add(scene, &record, true);
	}
	commit(scene);
	trail_text(
		&scene->folder,
		"SELECT group_concat(verdict || ' ' || outcome || ' ' || ifnull(errno_name, '-') || ' '"
		" || operation || rewritten || ifnull(close_reason, '-')) FROM calls"
		" WHERE seq IN (1, 3, 4, 5, 7, 9, 10)",
		text, sizeof(text));
	assert_string_equal(text, "deny error ECANCELED connect0-,allow ok - connect0-,"
				  "allow cancelled ECANCELED connect0-,"
				  "would_deny error ECANCELED connect0-,"
				  "fault error ECANCELED release0released,"
				  "none error ECANCELED connect0-,"
				  "none cancelled ECANCELED connect0-");
}

static void test_segments_are_chained_without_a_gap(void **state)
{
	struct scene *scene = *state;
	struct fault fault = {0};
	char text[128];
	scene->options.segment_bytes = 200000;
	reopen(scene);
	uint64_t serial = 1;
	while (store_segment(scene->store) < 4) {
		add_many(scene, serial, 200);
		serial += 200;
		commit(scene);
		assert_int_equal(store_upkeep(scene->store, clock_wall_ns(), &fault), 0);
	}
	assert_int_equal(trail_sum(&scene->folder, "SELECT count(*) FROM call_log"), serial - 1);
	assert_int_equal(trail_max(&scene->folder, "SELECT max(seq) FROM call_log"), serial - 1);
	trail_text(&scene->folder, "SELECT previous || ' ' || number FROM segment", text,
		   sizeof(text));
	assert_string_equal(text, "audit-00000003.db 4");
	/* The queue's place went along, under the same id. */
	int64_t id = scene->queue;
	reopen(scene);
	assert_int_equal(scene->place, serial - 1);
	assert_int_equal(scene->queue, id);
}

static void test_an_old_segment_ends_by_age_if_it_has_rows(void **state)
{
	struct scene *scene = *state;
	struct fault fault = {0};
	uint64_t later = clock_wall_ns() + 2 * STORE_SEGMENT_AGE_S * NS_PER_S;
	commit(scene);
	assert_true(store_due_ns(scene->store) == UINT64_MAX);
	assert_int_equal(store_upkeep(scene->store, later, &fault), 0);
	assert_int_equal(store_segment(scene->store), 1);
	add_many(scene, 1, 1);
	commit(scene);
	assert_true(store_due_ns(scene->store) <= later);
	assert_int_equal(store_upkeep(scene->store, later, &fault), 0);
	assert_int_equal(store_segment(scene->store), 2);
}

static void test_a_sealed_segment_is_one_read_only_file(void **state)
{
	struct scene *scene = *state;
	struct fault fault = {0};
	struct segment *list = NULL;
	struct stat status;
	size_t count = 0;
	char path[SEGMENT_PATH_MAX];
	add_many(scene, 1, 1000);
	commit(scene);
	assert_int_equal(store_upkeep(scene->store,
				      clock_wall_ns() + 2 * STORE_SEGMENT_AGE_S * NS_PER_S, &fault),
			 0);
	assert_int_equal(segment_seal(scene->folder.path, 1, 123, &fault), 0);
	assert_int_equal(segment_list(scene->folder.path, &list, &count), 0);
	assert_int_equal(count, 2);
	assert_true(list[0].sealed);
	assert_false(list[1].sealed);
	free(list);
	segment_path(path, scene->folder.path, 1);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, SEGMENT_MODE_DONE);
	char journal[SEGMENT_PATH_MAX + 8];
	snprintf(journal, sizeof(journal), "%s-wal", path);
	assert_int_equal(access(journal, F_OK), -1);
	assert_int_equal(trail_sum(&scene->folder, "SELECT count(*) FROM sqlite_master"
						   " WHERE type = 'index' AND name LIKE 'call%'"),
			 6);
	assert_int_equal(trail_sum(&scene->folder, "SELECT sealed FROM segment"), 123);
	/* Cut short and repeated: nothing changes. */
	assert_int_equal(chmod(path, SEGMENT_MODE_LIVE), 0);
	assert_int_equal(segment_seal(scene->folder.path, 1, 456, &fault), 0);
	assert_int_equal(trail_sum(&scene->folder, "SELECT sealed FROM segment"), 123);
}

/* Rows of the version before stay, and what is new is stored beside them. */
static void test_a_segment_of_the_version_before_is_upgraded(void **state)
{
	(void)state;
	struct scene old = {.identity = identity_of("web-1", 7)};
	struct audit_record record = {0};
	char path[128];
	char text[256];
	folder_make(&old.folder);
	old.options = store_in(&old.folder);
	snprintf(path, sizeof(path), "%s/audit-00000001.db", old.folder.path);
	store_foreign(path, trail_version_1);
	for (int round = 0; round < 2; round++)
		reopen(&old);
	record_fill(&record, 5);
	record.rewritten = 1;
	record.requested.port = 80;
	snprintf(record.rewriter, sizeof(record.rewriter), "rewrite");
	add(&old, &record, true);
	commit(&old);
	trail_text(&old.folder,
		   "SELECT group_concat(printf('%d %s %d %s %s', seq, guest, rewritten,"
		   " ifnull(rewriter, '-'), rule), ', ') || (SELECT ', ' || user_version FROM"
		   " pragma_user_version) FROM calls",
		   text, sizeof(text));
	assert_string_equal(text, "1 old 1 - r1, 2 old 0 - r1, 3 web-1 1 rewrite rule-1, 2");
	trail_text(&old.folder, "SELECT name FROM names WHERE kind = 'errno' AND id = 111", text,
		   sizeof(text));
	assert_string_equal(text, "ECONNREFUSED");
	store_close(old.store);
	folder_remove(&old.folder);
}

static void test_a_half_made_segment_is_swept(void **state)
{
	struct scene *scene = *state;
	char path[128];
	commit(scene);
	snprintf(path, sizeof(path), "%s/audit-00000002.new", scene->folder.path);
	store_foreign(path, NULL);
	reopen(scene);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(store_segment(scene->store), 1);
}

static void test_ranges_use_the_index_of_a_sealed_segment(void **state)
{
	struct scene *scene = *state;
	struct fault fault = {0};
	char plan[512];
	add_many(scene, 1, 20000);
	commit(scene);
	store_close(scene->store);
	scene->store = NULL;
	assert_int_equal(segment_seal(scene->folder.path, 1, 1, &fault), 0);
	trail_text(&scene->folder,
		   "SELECT detail FROM (SELECT 1) JOIN (SELECT group_concat(name) AS detail FROM"
		   " sqlite_master WHERE type = 'index')",
		   plan, sizeof(plan));
	assert_non_null(strstr(plan, "call_by_effective"));
	/* 10.0.0.16/28 */
	assert_int_equal(
		trail_sum(&scene->folder,
			  "SELECT count(*) FROM call_log INDEXED BY call_by_effective WHERE"
			  " effective BETWEEN 0x0a000010 << 16 AND (0x0a00001f << 16 | 65535)"),
		16);
}

static void test_foreign_files_are_refused(void **state)
{
	struct scene *scene = *state;
	struct fault fault = {0};
	struct store *store = NULL;
	struct folder folder;
	struct store_options options;
	char path[128];
	(void)scene;
	folder_make(&folder);
	options = store_in(&folder);
	snprintf(path, sizeof(path), "%s/audit-00000001.db", folder.path);
	store_foreign(path, "PRAGMA application_id = 0x70766361; PRAGMA user_version = 3;"
			    "CREATE TABLE t (a);");
	assert_int_equal(store_open(&store, &options, &fault), -EPROTO);
	unlink(path);
	store_foreign(path, "CREATE TABLE t (a);");
	assert_int_equal(store_open(&store, &options, &fault), -EBADMSG);
	unlink(path);
	store_foreign(path, NULL);
	assert_int_equal(store_open(&store, &options, &fault), -EBADMSG);
	assert_null(store);
	folder_remove(&folder);
}

static void test_a_folder_has_one_writer(void **state)
{
	struct scene *scene = *state;
	struct fault fault = {0};
	struct store *second = NULL;
	assert_int_equal(store_open(&second, &scene->options, &fault), -EBUSY);
	assert_non_null(strstr(fault.text, "lock"));
}

static void test_a_missing_folder_is_told(void **state)
{
	(void)state;
	struct fault fault = {0};
	struct store *store = NULL;
	struct store_options options = {.dir = "/nonexistent/audit"};
	assert_int_equal(store_open(&store, &options, &fault), -ENOENT);
	assert_non_null(strstr(fault.text, "/nonexistent/audit"));
}

static void test_decisions_are_entered_once(void **state)
{
	struct scene *scene = *state;
	for (int round = 0; round < 20; round++) {
		for (uint64_t i = 0; i < 100; i++) {
			struct audit_record record = {0};
			record_fill(&record, i);
			snprintf(record.rule, sizeof(record.rule), "rule-%u", (unsigned)i);
			add(scene, &record, true);
		}
	}
	commit(scene);
	int64_t entered = trail_sum(&scene->folder, "SELECT count(*) FROM decisions");
	/* 120 differ; a set of the cache that is too small for its share enters some again. */
	assert_true(entered >= 100 && entered < 200);
	assert_int_equal(
		trail_sum(&scene->folder, "SELECT count(*) FROM calls WHERE rule = 'rule-42'"), 20);
}

static void test_decisions_of_a_hostile_guest_are_bounded(void **state)
{
	(void)state;
	struct decisions *decisions = decisions_create();
	assert_non_null(decisions);
	for (uint64_t i = 0; i < 100000; i++) {
		struct audit_record record = {0};
		snprintf(record.reason, sizeof(record.reason), "%u", (unsigned)i);
		int64_t *id = decisions_find(decisions, &record);
		assert_int_equal(*id, 0);
		*id = (int64_t)i + 1;
		assert_int_equal(*decisions_find(decisions, &record), i + 1);
	}
	decisions_destroy(decisions);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_place_and_rows_are_one),
		TEST(test_every_column_comes_back),
		TEST(test_no_address_is_not_address_zero),
		TEST(test_an_unknown_outcome_has_no_result),
		TEST(test_verdicts_and_outcomes_have_names),
		TEST(test_segments_are_chained_without_a_gap),
		TEST(test_an_old_segment_ends_by_age_if_it_has_rows),
		TEST(test_a_sealed_segment_is_one_read_only_file),
		TEST(test_a_segment_of_the_version_before_is_upgraded),
		TEST(test_a_half_made_segment_is_swept),
		TEST(test_ranges_use_the_index_of_a_sealed_segment),
		TEST(test_foreign_files_are_refused),
		TEST(test_a_folder_has_one_writer),
		TEST(test_a_missing_folder_is_told),
		TEST(test_decisions_are_entered_once),
		TEST(test_decisions_of_a_hostile_guest_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
