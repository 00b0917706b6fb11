/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real pvcalls-auditd: what engines hand over is in the trail, once, whatever dies when. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/queue/drain.h"
#include "audit/queue/queue_memory.h"
#include "audit/store/segment.h"
#include "base/clock.h"
#include "trail_harness.h"

#define KILLS 30

/* What most tests have: a folder, a writer that is ready, one engine. */
struct scene {
	struct folder folder;
	struct daemon daemon;
	struct engine engine;
};

static void scene_open(struct scene *scene, char *const arguments[])
{
	folder_make(&scene->folder);
	daemon_init(&scene->daemon);
	daemon_start(&scene->daemon, &scene->folder, arguments);
	engine_start(&scene->engine, &scene->daemon, "web-1", 7);
	assert_true(daemon_await(&scene->daemon, &scene->daemon.ready, 1, 10000));
}

static void scene_finish(struct scene *scene)
{
	unsigned finished = scene->daemon.finished;
	audit_link_finish(scene->daemon.link, scene->engine.identity.queue_id);
	assert_true(daemon_await(&scene->daemon, &scene->daemon.finished, finished + 1, 20000));
}

static void scene_close(struct scene *scene)
{
	engine_end(&scene->engine);
	assert_int_equal(daemon_end(&scene->daemon), 0);
	folder_remove(&scene->folder);
}

static void produce(struct engine *engine, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_true(engine_produce(engine));
	audit_queue_flush(engine->queue, false);
}

/* The trail holds the serials 1 to count, each once, under numbers without a gap. */
static void assert_complete(const struct folder *folder, uint64_t count)
{
	int64_t rows = trail_sum(folder, "SELECT count(*) FROM call_log");
	int64_t distinct = trail_sum(folder, "SELECT count(DISTINCT serial) FROM call_log");
	assert_int_equal(rows, count);
	assert_int_equal(distinct, count);
	assert_int_equal(trail_sum(folder, "SELECT sum(serial) FROM call_log"),
			 count * (count + 1) / 2);
	assert_int_equal(trail_min(folder, "SELECT min(seq) FROM call_log"), 1);
	assert_int_equal(trail_max(folder, "SELECT max(seq) FROM call_log"), count);
}

static void nap(uint64_t ns)
{
	struct timespec time = {.tv_nsec = (long)ns};
	nanosleep(&time, NULL);
}

static void test_stores_what_engines_hand_over(void **state)
{
	(void)state;
	struct scene scene;
	scene_open(&scene, NULL);
	produce(&scene.engine, 5000);
	assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	assert_int_equal(scene.engine.reaped, 5000);
	assert_complete(&scene.folder, 5000);
	scene_finish(&scene);
	assert_int_equal(audit_link_pending(scene.daemon.link), 0);
	scene_close(&scene);
}

/* What two engines did side by side while the writer was away. */
static void test_rows_of_several_engines_are_in_order(void **state)
{
	(void)state;
	struct scene scene;
	struct engine other;
	scene_open(&scene, NULL);
	engine_start(&other, &scene.daemon, "web-2", 8);
	daemon_kill(&scene.daemon);
	produce(&scene.engine, 1000);
	produce(&other, 1500);
	daemon_start(&scene.daemon, &scene.folder, NULL);
	assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	assert_true(engine_settle(&other, &scene.daemon, 10000));
	assert_int_equal(trail_sum(&scene.folder, "SELECT count(*) FROM call_log"), 2500);
	assert_int_equal(trail_sum(&scene.folder,
				   "SELECT count(*) FROM call_log AS a JOIN call_log AS b"
				   " ON b.seq = a.seq + 1 WHERE b.time < a.time"),
			 0);
	engine_end(&other);
	scene_close(&scene);
}

/* Produces for a while with the writer at work, then kills it in the middle. */
static void produce_and_kill(struct scene *scene, uint64_t ns)
{
	uint64_t end_ns = clock_monotonic_ns() + ns;
	do {
		for (int i = 0; i < 50 && engine_produce(&scene->engine); i++)
			;
		audit_queue_flush(scene->engine.queue, false);
		scene->engine.reaped += audit_queue_reap(scene->engine.queue, NULL, NULL);
	} while (clock_monotonic_ns() < end_ns);
	daemon_kill(&scene->daemon);
}

static void test_a_killed_writer_loses_and_doubles_nothing(void **state)
{
	(void)state;
	/* Small segments, so that kills hit their change and the sealing too. */
	char *const arguments[] = {"--segment-bytes", "1000000", NULL};
	struct scene scene;
	unsigned seed = (unsigned)clock_monotonic_ns();
	print_message("seed %u\n", seed);
	srandom(seed);
	scene_open(&scene, arguments);
	for (unsigned kill = 0; kill < KILLS; kill++) {
		char text[32];
		snprintf(text, sizeof(text), "kill %u", kill);
		audit_link_event(scene.daemon.link, AUDIT_EVENT_WRITER_CRASHED, NULL, 0, text);
		produce_and_kill(&scene, (uint64_t)random() % (25 * NS_PER_MS));
		unsigned ready = scene.daemon.ready;
		daemon_start(&scene.daemon, &scene.folder, arguments);
		/* Now and then it is killed before it was ready. */
		if (kill % 4 != 3)
			assert_true(
				daemon_await(&scene.daemon, &scene.daemon.ready, ready + 1, 10000));
	}
	assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	scene_finish(&scene);
	assert_int_equal(scene.engine.reaped, scene.engine.serial);
	assert_int_equal(scene.daemon.damages, 0);
	assert_complete(&scene.folder, scene.engine.serial);
	assert_int_equal(trail_sum(&scene.folder, "SELECT count(*) FROM event_log"), KILLS);
	assert_int_equal(trail_max(&scene.folder, "SELECT max(seq) FROM event_log"), KILLS);
	print_message("%llu records, %u kills\n", (unsigned long long)scene.engine.serial, KILLS);
	scene_close(&scene);
}

/* The same with the kill at the worst moment: rows committed, slots not yet free. */
static void test_a_commit_without_its_frees_is_not_repeated(void **state)
{
	(void)state;
	struct scene scene;
	struct store *store = NULL;
	struct drain *drain = NULL;
	struct fault fault = {0};
	struct audit_record record;
	int64_t id = 0;
	uint64_t place = 0;
	bool finished = false;
	folder_make(&scene.folder);
	daemon_init(&scene.daemon);
	engine_start(&scene.engine, &scene.daemon, "web-1", 7);
	produce(&scene.engine, 100);

	struct store_options options = store_in(&scene.folder);
	assert_int_equal(store_open(&store, &options, &fault), 0);
	assert_int_equal(drain_open(&drain, &scene.engine.identity, dup(scene.engine.memfd),
				    dup(scene.engine.eventfd)),
			 0);
	assert_int_equal(store_queue(store, &scene.engine.identity, &id, &place, &finished, &fault),
			 0);
	for (int i = 0; i < 60; i++) {
		assert_true(drain_take(drain, &record));
		assert_int_equal(store_call(store, id, &record, true, &fault), 0);
	}
	assert_int_equal(store_place(store, id, drain_place(drain), false, &fault), 0);
	assert_int_equal(store_commit(store, &fault), 0);
	drain_close(drain);
	store_close(store);

	daemon_start(&scene.daemon, &scene.folder, NULL);
	assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	scene_finish(&scene);
	assert_complete(&scene.folder, 100);
	scene_close(&scene);
}

static void test_an_engine_that_dies_leaves_what_it_decided(void **state)
{
	(void)state;
	struct scene scene;
	uint32_t slot = 0;
	scene_open(&scene, NULL);
	produce(&scene.engine, 10);
	struct audit_queue *queue = scene.engine.queue;
	record_fill(audit_queue_take(queue, &slot), 11); /* not decided, so not executed */
	record_fill(audit_queue_take(queue, &slot), 12);
	audit_queue_decided(queue, slot);
	scene_finish(&scene);
	assert_int_equal(trail_sum(&scene.folder, "SELECT count(*) FROM call_log"), 11);
	assert_int_equal(trail_sum(&scene.folder,
				   "SELECT serial FROM calls WHERE outcome = 'unknown'"
				   " AND errno IS NULL"),
			 12);
	scene_close(&scene);
}

static void test_the_supervisors_death_drains_everything(void **state)
{
	(void)state;
	struct scene scene;
	uint32_t slot = 0;
	scene_open(&scene, NULL);
	produce(&scene.engine, 3000);
	record_fill(audit_queue_take(scene.engine.queue, &slot), 3001);
	audit_queue_decided(scene.engine.queue, slot);
	assert_int_equal(daemon_end(&scene.daemon), 0);
	/* Folded in: no journal is left (until a reader opens the file). */
	char path[128];
	snprintf(path, sizeof(path), "%s/audit-00000001.db-wal", scene.folder.path);
	assert_int_equal(access(path, F_OK), -1);
	assert_complete(&scene.folder, 3001);
	engine_end(&scene.engine);
	folder_remove(&scene.folder);
}

static void test_engines_that_outlive_the_supervisor_are_waited_for(void **state)
{
	(void)state;
	struct scene scene;
	uint32_t slot = 0;
	scene_open(&scene, NULL);
	record_fill(audit_queue_take(scene.engine.queue, &slot), 1);
	audit_queue_decided(scene.engine.queue, slot);
	scene.engine.serial = 1;
	pid_t engine = fork();
	if (engine == 0) {
		/* The engine notices half a second later and writes its release records. */
		nap(500 * NS_PER_MS);
		audit_queue_done(scene.engine.queue, slot);
		produce(&scene.engine, 20);
		_exit(0);
	}
	assert_int_equal(daemon_end(&scene.daemon), 0);
	assert_complete(&scene.folder, 21);
	assert_int_equal(
		trail_sum(&scene.folder, "SELECT count(*) FROM calls WHERE outcome = 'unknown'"),
		0);
	engine_end(&scene.engine);
	folder_remove(&scene.folder);
}

static void test_events_are_stored_with_their_text(void **state)
{
	(void)state;
	struct scene scene;
	char text[64];
	scene_open(&scene, NULL);
	audit_link_event(scene.daemon.link, AUDIT_EVENT_OPERATOR, "web-1", 1000, "kill 12");
	for (int i = 0; i < 500; i++)
		audit_link_event(scene.daemon.link, AUDIT_EVENT_RELOAD, NULL, 0, "reload");
	scene_finish(&scene);
	unsigned never = 0;
	for (int i = 0; i < 100 && audit_link_pending(scene.daemon.link) > 0; i++)
		daemon_await(&scene.daemon, &never, 1, 50);
	assert_int_equal(audit_link_pending(scene.daemon.link), 0);
	assert_int_equal(trail_sum(&scene.folder, "SELECT count(*) FROM events"), 501);
	trail_text(
		&scene.folder,
		"SELECT event || ' ' || guest || ' ' || uid || ' ' || text FROM events WHERE seq = 1",
		text, sizeof(text));
	assert_string_equal(text, "operator web-1 1000 kill 12");
	scene_close(&scene);
}

/* The first number of a line of /proc/PID/status; -1 if there is no such line. */
static int64_t status_of(pid_t pid, const char *key, int base)
{
	char path[64];
	char line[256];
	int64_t value = -1;
	size_t length = strlen(key);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, length) == 0)
			value = strtoll(line + length, NULL, base);
	}
	fclose(file);
	return value;
}

static int64_t voluntary_switches(pid_t pid)
{
	return status_of(pid, "voluntary_ctxt_switches:", 10);
}

static void test_an_idle_writer_does_not_wake(void **state)
{
	(void)state;
	struct scene scene;
	scene_open(&scene, NULL);
	produce(&scene.engine, 1);
	assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	nap(200 * NS_PER_MS);
	int64_t before = voluntary_switches(scene.daemon.pid);
	nap(500 * NS_PER_MS);
	assert_int_equal(voluntary_switches(scene.daemon.pid), before);
	scene_finish(&scene);
	scene_close(&scene);
}

/* Nothing comes after it that would wake the writer: it is stored because it woke it itself. */
static void test_a_lone_record_wakes_the_writer(void **state)
{
	(void)state;
	struct scene scene;
	scene_open(&scene, NULL);
	for (int i = 0; i < 20; i++) {
		produce(&scene.engine, 1);
		assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
		/* Asleep, about to be, or looking again by itself. */
		nap((uint64_t)(i % 4) * 7 * NS_PER_MS);
	}
	scene_finish(&scene);
	scene_close(&scene);
}

static void test_a_captured_engine_hurts_nobody_else(void **state)
{
	(void)state;
	struct scene scene;
	struct engine captured;
	struct queue_memory *memory = NULL;
	scene_open(&scene, NULL);
	engine_start(&captured, &scene.daemon, "evil", 8);
	assert_int_equal(queue_memory_map(&memory, captured.memfd), 0);
	produce(&captured, 5);
	assert_true(engine_settle(&captured, &scene.daemon, 10000));
	snprintf(memory->identity.name, sizeof(memory->identity.name), "web-1");
	memory->done = UINT64_MAX / 3;
	memset(memory->ring, 0xff, sizeof(memory->ring));
	memset(memory->record, 0xff, sizeof(memory->record[0]) * 100);
	produce(&scene.engine, 1000);
	assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	assert_true(daemon_await(&scene.daemon, &scene.daemon.damages, 1, 10000));
	audit_link_finish(scene.daemon.link, captured.identity.queue_id);
	scene_finish(&scene);
	assert_int_equal(
		trail_sum(&scene.folder, "SELECT count(*) FROM calls WHERE guest = 'web-1'"), 1000);
	assert_int_equal(
		trail_sum(&scene.folder, "SELECT count(*) FROM calls WHERE guest = 'evil'"), 5);
	queue_memory_unmap(memory);
	engine_end(&captured);
	scene_close(&scene);
}

static void test_segments_follow_each_other(void **state)
{
	(void)state;
	char *const arguments[] = {"--segment-bytes", "400000", NULL};
	struct scene scene;
	struct segment *list = NULL;
	size_t count = 0;
	size_t sealed = 0;
	scene_open(&scene, arguments);
	for (int i = 0; i < 20; i++) {
		produce(&scene.engine, 2000);
		assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	}
	for (int i = 0; i < 200 && (count < 3 || sealed + 1 < count); i++) {
		nap(50 * NS_PER_MS);
		free(list);
		assert_int_equal(segment_list(scene.folder.path, &list, &count), 0);
		sealed = 0;
		for (size_t j = 0; j < count; j++)
			sealed += list[j].sealed;
	}
	free(list);
	assert_true(count >= 3);
	assert_int_equal(sealed, count - 1);
	assert_complete(&scene.folder, 40000);
	/* The chain: each names the one before and where it ended. */
	assert_int_equal(trail_sum(&scene.folder,
				   "SELECT (SELECT min(seq) FROM call_log) <> previous_call + 1"
				   " FROM segment"),
			 0);
	assert_int_equal(
		trail_sum(&scene.folder,
			  "SELECT sealed IS NOT NULL FROM segment WHERE EXISTS (SELECT 1 FROM"
			  " sqlite_master WHERE name = 'call_by_effective')"),
		sealed);
	scene_finish(&scene);
	scene_close(&scene);
}

static size_t sealed_segments(const struct folder *folder)
{
	struct segment *list = NULL;
	size_t count = 0;
	size_t sealed = 0;
	assert_int_equal(segment_list(folder->path, &list, &count), 0);
	for (size_t i = 0; i < count; i++)
		sealed += list[i].sealed;
	free(list);
	return sealed;
}

static void test_it_works_without_rights(void **state)
{
	(void)state;
	char *const arguments[] = {"--uid", "65534", "--segment-bytes", "400000", NULL};
	struct scene scene;
	if (geteuid() != 0)
		not_run("only root can start the writer as another user");
	folder_make(&scene.folder);
	assert_int_equal(chown(scene.folder.path, 65534, 65534), 0);
	daemon_init(&scene.daemon);
	daemon_start(&scene.daemon, &scene.folder, arguments);
	engine_start(&scene.engine, &scene.daemon, "web-1", 7);
	assert_true(daemon_await(&scene.daemon, &scene.daemon.ready, 1, 10000));
	pid_t pid = scene.daemon.pid;
	assert_int_equal(status_of(pid, "Uid:", 10), 65534);
	assert_int_equal(status_of(pid, "Gid:", 10), 65534);
	assert_int_equal(status_of(pid, "CapPrm:", 16), 0);
	assert_int_equal(status_of(pid, "CapBnd:", 16), 0);
	assert_int_equal(status_of(pid, "NoNewPrivs:", 10), 1);
#ifndef PVCALLS_SANITIZED
	assert_int_equal(status_of(pid, "Seccomp:", 10), 2);
#endif
	/* Its file system is the trail, and it can still begin and seal segments there. */
	char root[64];
	char target[128] = "";
	snprintf(root, sizeof(root), "/proc/%d/root", (int)pid);
	assert_true(readlink(root, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, scene.folder.path);
	for (int i = 0; i < 6; i++) {
		produce(&scene.engine, 2000);
		assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	}
	for (int i = 0; i < 200 && sealed_segments(&scene.folder) == 0; i++)
		nap(50 * NS_PER_MS);
	assert_true(sealed_segments(&scene.folder) > 0);
	scene_finish(&scene);
	assert_complete(&scene.folder, 12000);
	scene_close(&scene);
}

static void assert_refused(const char *sql, const char *word)
{
	struct folder folder;
	struct daemon daemon;
	struct stat before;
	struct stat after;
	char path[128];
	folder_make(&folder);
	snprintf(path, sizeof(path), "%s/audit-00000001.db", folder.path);
	store_foreign(path, sql);
	assert_int_equal(stat(path, &before), 0);
	daemon_init(&daemon);
	daemon_start(&daemon, &folder, NULL);
	assert_true(daemon_await(&daemon, &daemon.troubles, 1, 10000));
	assert_int_equal(daemon.ready, 0);
	print_message("%s\n", daemon.text);
	assert_non_null(strstr(daemon.text, word));
	daemon_end(&daemon);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	assert_int_equal(after.st_size, before.st_size);
	folder_remove(&folder);
}

static void test_other_files_are_refused(void **state)
{
	(void)state;
	assert_refused("PRAGMA user_version = 1; CREATE TABLE t (a);", "no segment");
	assert_refused("PRAGMA application_id = 0x70766361; PRAGMA user_version = 99;"
		       "CREATE TABLE t (a);",
		       "another version");
	assert_refused(NULL, "not a database");
}

static void test_a_second_writer_waits_for_the_first(void **state)
{
	(void)state;
	struct scene scene;
	struct daemon second;
	scene_open(&scene, NULL);
	daemon_init(&second);
	daemon_start(&second, &scene.folder, NULL);
	assert_true(daemon_await(&second, &second.troubles, 1, 10000));
	assert_non_null(strstr(second.text, "another audit writer"));
	scene_finish(&scene);
	engine_end(&scene.engine);
	assert_int_equal(daemon_end(&scene.daemon), 0);
	assert_true(daemon_await(&second, &second.ready, 1, 10000));
	assert_int_equal(daemon_end(&second), 0);
	folder_remove(&scene.folder);
}

static void test_a_full_disk_holds_rows_back(void **state)
{
	(void)state;
	struct scene scene;
	folder_make(&scene.folder);
	daemon_init(&scene.daemon);
	/* In a mount namespace of our own: it ends with this program, however that ends. */
	bool mounted = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		       mount("tmpfs", scene.folder.path, "tmpfs", 0, "size=1m") == 0;
	daemon_start(&scene.daemon, &scene.folder, NULL);
	engine_start(&scene.engine, &scene.daemon, "web-1", 7);
	assert_true(daemon_await(&scene.daemon, &scene.daemon.ready, 1, 10000));
	struct rlimit limit = {.rlim_cur = 1, .rlim_max = RLIM_INFINITY};
	if (!mounted && prlimit(scene.daemon.pid, RLIMIT_FSIZE, &limit, NULL) < 0) {
		daemon_end(&scene.daemon);
		engine_end(&scene.engine);
		folder_remove(&scene.folder);
		not_run("neither a small tmpfs nor a file size limit can be set here");
	}

	for (int turn = 0; turn < 10000 && scene.daemon.troubles == 0; turn++) {
		for (int i = 0; i < 100 && engine_produce(&scene.engine); i++)
			;
		audit_queue_flush(scene.engine.queue, false);
		daemon_await(&scene.daemon, &scene.daemon.troubles, 1, 1);
		scene.engine.reaped += audit_queue_reap(scene.engine.queue, NULL, NULL);
	}
	print_message("%s\n", scene.daemon.text);
	assert_int_equal(scene.daemon.troubles, 1);
	/* Told once, however often it tries again. */
	assert_false(daemon_await(&scene.daemon, &scene.daemon.recoveries, 1, 2500));
	assert_int_equal(scene.daemon.troubles, 1);
	assert_true(audit_queue_used(scene.engine.queue) > 0);

	limit.rlim_cur = RLIM_INFINITY;
	if (mounted)
		assert_int_equal(mount("tmpfs", scene.folder.path, "tmpfs", MS_REMOUNT, "size=64m"),
				 0);
	else
		assert_int_equal(prlimit(scene.daemon.pid, RLIMIT_FSIZE, &limit, NULL), 0);
	assert_true(daemon_await(&scene.daemon, &scene.daemon.recoveries, 1, 10000));
	assert_true(engine_settle(&scene.engine, &scene.daemon, 10000));
	scene_finish(&scene);
	assert_complete(&scene.folder, scene.engine.serial);
	engine_end(&scene.engine);
	assert_int_equal(daemon_end(&scene.daemon), 0);
	if (mounted)
		assert_int_equal(umount(scene.folder.path), 0);
	folder_remove(&scene.folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stores_what_engines_hand_over),
		cmocka_unit_test(test_rows_of_several_engines_are_in_order),
		cmocka_unit_test(test_a_killed_writer_loses_and_doubles_nothing),
		cmocka_unit_test(test_a_commit_without_its_frees_is_not_repeated),
		cmocka_unit_test(test_an_engine_that_dies_leaves_what_it_decided),
		cmocka_unit_test(test_the_supervisors_death_drains_everything),
		cmocka_unit_test(test_engines_that_outlive_the_supervisor_are_waited_for),
		cmocka_unit_test(test_events_are_stored_with_their_text),
		cmocka_unit_test(test_an_idle_writer_does_not_wake),
		cmocka_unit_test(test_a_lone_record_wakes_the_writer),
		cmocka_unit_test(test_a_captured_engine_hurts_nobody_else),
		cmocka_unit_test(test_segments_follow_each_other),
		cmocka_unit_test(test_it_works_without_rights),
		cmocka_unit_test(test_other_files_are_refused),
		cmocka_unit_test(test_a_second_writer_waits_for_the_first),
		cmocka_unit_test(test_a_full_disk_holds_rows_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
