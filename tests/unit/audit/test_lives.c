/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a trail knows of how its daemons ended: the store alone, and a real pvcalls-auditd. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/store/segment.h"
#include "base/clock.h"
#include "trail_harness.h"

#define BEGAN 1767312000ull /* 2026-01-02T00:00:00Z, in seconds */

/* A trail, and the daemon that writes to it. */
struct life {
	struct folder folder;
	struct store_options options;
	struct store *store;
	int64_t link;
	uint64_t number; /* of its last event */
	struct audit_identity identity;
	int64_t queue;
};

static int setup(void **state)
{
	static struct life life;
	life = (struct life){.identity = identity_of("web-1", 7)};
	folder_make(&life.folder);
	life.options = store_in(&life.folder);
	*state = &life;
	return 0;
}

static int teardown(void **state)
{
	struct life *life = *state;
	store_close(life->store);
	folder_remove(&life->folder);
	return 0;
}

/* The next daemon opens the trail, its writer anew. */
static void open_trail(struct life *life)
{
	uint8_t id[16];
	uint64_t place = 0;
	bool finished = false;
	struct fault fault = {0};
	store_close(life->store);
	life->store = NULL;
	assert_int_equal(store_open(&life->store, &life->options, &fault), 0);
	assert_int_equal(getrandom(id, sizeof(id), 0), sizeof(id));
	assert_int_equal(store_link(life->store, id, &life->link, &place, &fault), 0);
	assert_int_equal(
		store_queue(life->store, &life->identity, &life->queue, &place, &finished, &fault),
		0);
	assert_int_equal(store_commit(life->store, &fault), 0);
	life->number = 0;
}

static void tell(struct life *life, uint32_t kind, const char *guest, uint64_t second)
{
	struct fault fault = {0};
	const struct store_event event = {.link = life->link,
					  .number = ++life->number,
					  .wall_ns = (BEGAN + second) * NS_PER_S,
					  .kind = kind,
					  .guest = guest,
					  .text = "text"};
	assert_int_equal(store_event(life->store, &event, &fault), 0);
	assert_int_equal(store_commit(life->store, &fault), 0);
}

static void add_calls(struct life *life, unsigned count, bool known)
{
	struct fault fault = {0};
	struct audit_record record = {0};
	for (unsigned i = 1; i <= count; i++) {
		record_fill(&record, i);
		assert_int_equal(store_call(life->store, life->queue, &record, known, &fault), 0);
	}
	assert_int_equal(store_commit(life->store, &fault), 0);
}

/* Dates what is written in the trail, as if nobody had done so since. */
static void age(struct life *life, const char *name, uint64_t second)
{
	char path[128];
	struct timespec times[2] = {{.tv_sec = (time_t)(BEGAN + second)},
				    {.tv_sec = (time_t)(BEGAN + second)}};
	snprintf(path, sizeof(path), "%s/%s", life->folder.path, name);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void expect_events(const struct life *life, const char *wanted)
{
	char text[1024];
	trail_text(&life->folder, "SELECT group_concat(event, ' ') FROM events", text,
		   sizeof(text));
	assert_string_equal(text, wanted);
}

static void expect_end(const struct life *life, const char *wanted)
{
	char text[1024];
	trail_text(&life->folder,
		   "SELECT text FROM events WHERE event = 'unclean_end' ORDER BY seq DESC", text,
		   sizeof(text));
	if (!strstr(text, wanted))
		fail_msg("not in: %s", text);
}

static void test_an_orderly_stop_is_seen(void **state)
{
	struct life *life = *state;
	for (int round = 0; round < 3; round++) {
		open_trail(life);
		tell(life, AUDIT_EVENT_START, NULL, 0);
		add_calls(life, 3, true);
		tell(life, AUDIT_EVENT_STOP, NULL, 60);
		/* What comes after its stop, and the end of its socket, say nothing. */
		tell(life, AUDIT_EVENT_DISK, NULL, 61);
		struct fault fault = {0};
		assert_int_equal(
			store_lost(life->store, life->link, (BEGAN + 62) * NS_PER_S, 0, &fault), 0);
		assert_int_equal(store_commit(life->store, &fault), 0);
		assert_string_equal(store_unclean_end(life->store), "");
	}
	expect_events(life, "start stop disk start stop disk start stop disk");
}

static void test_an_end_without_a_stop_is_told_once(void **state)
{
	struct life *life = *state;
	open_trail(life);
	tell(life, AUDIT_EVENT_START, NULL, 0);
	tell(life, AUDIT_EVENT_GUEST_ATTACHED, "web-1", 1);
	tell(life, AUDIT_EVENT_GUEST_ATTACHED, "db", 2);
	tell(life, AUDIT_EVENT_GUEST_DETACHED, "db", 3);
	tell(life, AUDIT_EVENT_GUEST_ATTACHED, "shop", 4);
	add_calls(life, 5, true);
	store_close(life->store);
	life->store = NULL;
	age(life, "audit-00000001.db", 50);
	age(life, "lock", 70);

	/* One that ends before it serves has no say, and takes nothing away. */
	open_trail(life);
	open_trail(life);
	tell(life, AUDIT_EVENT_START, NULL, 100);
	expect_events(life, "start guest_attached guest_attached guest_detached guest_attached "
			    "unclean_end start");
	expect_end(life,
		   "pvcallsd, started at 2026-01-02T00:00:00Z, ended without an orderly stop; "
		   "last sign of life 2026-01-02T00:01:10Z, 30 s ago; its audit writer ended "
		   "too, and what that had not stored is lost; guests attached then: 2 "
		   "(shop, web-1)");
	assert_non_null(strstr(store_unclean_end(life->store), "without an orderly stop"));
	tell(life, AUDIT_EVENT_STOP, NULL, 110);
	open_trail(life);
	tell(life, AUDIT_EVENT_START, NULL, 120);
	assert_int_equal(
		trail_sum(&life->folder, "SELECT count(*) FROM events WHERE event = 'unclean_end'"),
		1);
}

static void test_what_the_writer_saved_is_told(void **state)
{
	struct life *life = *state;
	struct fault fault = {0};
	open_trail(life);
	tell(life, AUDIT_EVENT_START, NULL, 0);
	add_calls(life, 5, true);
	int64_t stored = store_last_call(life->store);
	assert_int_equal(stored, 5);
	add_calls(life, 4, true);
	add_calls(life, 2, false);
	assert_int_equal(
		store_lost(life->store, life->link, (BEGAN + 30) * NS_PER_S, stored, &fault), 0);
	assert_int_equal(store_commit(life->store, &fault), 0);
	open_trail(life);
	tell(life, AUDIT_EVENT_START, NULL, 100);
	expect_end(life,
		   "last sign of life 2026-01-02T00:00:30Z, 70 s ago; after that 6 calls were "
		   "stored from its queues, 2 of them with an unknown outcome");
}

/* The host is started again, and the next segment begins before the next daemon serves. */
static void test_the_end_is_told_in_the_next_segment(void **state)
{
	struct life *life = *state;
	struct fault fault = {0};
	open_trail(life);
	tell(life, AUDIT_EVENT_START, NULL, 0);
	add_calls(life, 1, true);
	snprintf(life->options.boot_id, sizeof(life->options.boot_id), "next-boot");
	open_trail(life);
	assert_int_equal(store_upkeep(life->store, UINT64_MAX, &fault), 0);
	assert_int_equal(store_segment(life->store), 2);
	tell(life, AUDIT_EVENT_START, NULL, 100);
	expect_events(life, "unclean_end start");
	/* Nor does an orderly one become another by that. */
	tell(life, AUDIT_EVENT_STOP, NULL, 110);
	assert_int_equal(store_upkeep(life->store, UINT64_MAX, &fault), 0);
	open_trail(life);
	tell(life, AUDIT_EVENT_START, NULL, 120);
	expect_events(life, "start");
}

static void test_a_trail_of_the_version_before(void **state)
{
	struct life *life = *state;
	char path[128];
	snprintf(path, sizeof(path), "%s/audit-00000001.db", life->folder.path);
	store_foreign(path, trail_version_1);
	open_trail(life);
	tell(life, AUDIT_EVENT_START, NULL, 0);
	expect_events(life, "start unclean_end start");
	expect_end(life, "started at 2023-11-14T22:13:20Z");
}

static void test_a_writer_leaves_signs_of_life(void **state)
{
	struct life *life = *state;
	struct stat before;
	struct stat after;
	char path[128];
	open_trail(life);
	age(life, "lock", 0);
	snprintf(path, sizeof(path), "%s/lock", life->folder.path);
	assert_int_equal(stat(path, &before), 0);
	store_touch(life->store);
	assert_int_equal(stat(path, &after), 0);
	assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec);
}

/* Starts a daemon's writer and has it serve; the engine is its guest's. */
static void start_daemon(struct daemon *daemon, struct engine *engine, const struct folder *folder)
{
	unsigned never = 0;
	daemon_init(daemon);
	daemon_start(daemon, folder, NULL);
	engine_start(engine, daemon, "web-1", 7);
	assert_true(daemon_await(daemon, &daemon->ready, 1, 10000));
	audit_link_event(daemon->link, AUDIT_EVENT_START, NULL, 0, "start");
	/* What is pending but the engine's queue is the event. */
	for (int i = 0; i < 200 && audit_link_pending(daemon->link) > 1; i++)
		daemon_await(daemon, &never, 1, 50);
	assert_int_equal(audit_link_pending(daemon->link), 1);
}

/* The supervisor dies and its writer lives on: it knows when, and what it has stored since. */
static void test_a_writer_outlives_its_daemon(void **state)
{
	struct life *life = *state;
	struct daemon daemon;
	struct engine engine;
	uint32_t slot = 0;
	char text[512];
	start_daemon(&daemon, &engine, &life->folder);
	record_fill(audit_queue_take(engine.queue, &slot), 1);
	audit_queue_decided(engine.queue, slot);
	assert_int_equal(daemon_end(&daemon), 0);
	engine_end(&engine);
	assert_int_equal(trail_sum(&life->folder,
				   "SELECT late * 10 + unknown FROM links WHERE lost > started"),
			 11);
	start_daemon(&daemon, &engine, &life->folder);
	trail_text(&life->folder,
		   "SELECT group_concat(event, ' ') || ': ' || max(text) FROM events", text,
		   sizeof(text));
	assert_true(strncmp(text, "start unclean_end start: ", 25) == 0);
	expect_end(life, "1 calls were stored from its queues, 1 of them with an unknown outcome");
	/* Both are killed: then nobody says so but the next one. */
	daemon_kill(&daemon);
	audit_link_destroy(daemon.link);
	close(daemon.eventfd);
	engine_end(&engine);
	start_daemon(&daemon, &engine, &life->folder);
	expect_end(life, "what that had not stored is lost");
	audit_link_event(daemon.link, AUDIT_EVENT_STOP, NULL, 0, "stop");
	assert_int_equal(daemon_end(&daemon), 0);
	engine_end(&engine);
	start_daemon(&daemon, &engine, &life->folder);
	assert_int_equal(daemon_end(&daemon), 0);
	engine_end(&engine);
	assert_int_equal(
		trail_sum(&life->folder, "SELECT count(*) FROM events WHERE event = 'unclean_end'"),
		2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_orderly_stop_is_seen),
		TEST(test_an_end_without_a_stop_is_told_once),
		TEST(test_what_the_writer_saved_is_told),
		TEST(test_the_end_is_told_in_the_next_segment),
		TEST(test_a_trail_of_the_version_before),
		TEST(test_a_writer_leaves_signs_of_life),
		TEST(test_a_writer_outlives_its_daemon),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
