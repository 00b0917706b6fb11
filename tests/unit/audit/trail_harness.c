/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trail_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* cmocka.h wants the four headers above it. */
#include <cmocka.h>

#include "audit/store/segment.h"
#include "base/clock.h"
#include "base/fd.h"
#include "call/call.h"
#include "ipc/auditd_message.h"

void folder_make(struct folder *folder)
{
	snprintf(folder->path, sizeof(folder->path), "/tmp/pvcalls-test-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void folder_remove(const struct folder *folder)
{
	nftw(folder->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct pvcalls_endpoint endpoint(uint32_t address, uint16_t port)
{
	return (struct pvcalls_endpoint){
		.family = 2,
		.port = port,
		.addr = {(uint8_t)(address >> 24), (uint8_t)(address >> 16),
			 (uint8_t)(address >> 8), (uint8_t)address},
	};
}

void record_fill(struct audit_record *record, uint64_t serial)
{
	record->op = serial % 8 == 7 ? PVCALLS_OP_RELEASE : PVCALLS_OP_CONNECT;
	record->serial = serial;
	record->wall_ns = 1700000000000000000ull + serial * 1000;
	record->socket = serial / 8 + 1;
	record->requested = endpoint(0x0a000000u + (uint32_t)serial, 443);
	record->effective = record->requested;
	record->local = endpoint(0xc0a80001u, 40000);
	record->peer = record->effective;
	record->verdict = serial % 5 == 4 ? VERDICT_DENY : VERDICT_ALLOW;
	record->result = record->verdict == VERDICT_DENY ? -EACCES : 0;
	record->decision_ns = 900;
	record->total_ns = 41000 + serial % 1000;
	if (record->op == PVCALLS_OP_RELEASE) {
		record->close_reason = AUDIT_CLOSE_RELEASED;
		record->bytes_in = serial * 3;
		record->bytes_out = serial;
		record->duration_ns = 5 * NS_PER_MS;
	}
	memset(record->policy_digest, 0xab, sizeof(record->policy_digest));
	snprintf(record->policy, sizeof(record->policy), "web");
	snprintf(record->decider, sizeof(record->decider), "filter");
	snprintf(record->rule, sizeof(record->rule), "rule-%u", (unsigned)(serial % 4));
	snprintf(record->reason, sizeof(record->reason), "%s",
		 record->verdict == VERDICT_DENY ? "not on the list" : "");
}

struct audit_identity identity_of(const char *name, uint32_t domid)
{
	struct audit_identity identity = {.domid = domid};
	snprintf(identity.name, sizeof(identity.name), "%s", name);
	snprintf(identity.uuid, sizeof(identity.uuid), "00000000-0000-4000-8000-%012u", domid);
	assert_int_equal(getrandom(identity.queue_id, sizeof(identity.queue_id), 0),
			 sizeof(identity.queue_id));
	return identity;
}

struct store_options store_in(const struct folder *folder)
{
	return (struct store_options){.dir = folder->path, .boot_id = "test-boot"};
}

static void on_ready(void *owner)
{
	((struct daemon *)owner)->ready++;
}

static void on_trouble(void *owner, const char *text)
{
	struct daemon *daemon = owner;
	daemon->troubles++;
	snprintf(daemon->text, sizeof(daemon->text), "%s", text);
}

static void on_recovered(void *owner)
{
	((struct daemon *)owner)->recoveries++;
}

static void on_finished(void *owner, const uint8_t queue_id[16])
{
	(void)queue_id;
	((struct daemon *)owner)->finished++;
}

static void on_damaged(void *owner, const uint8_t queue_id[16], const char *text)
{
	(void)queue_id;
	struct daemon *daemon = owner;
	daemon->damages++;
	snprintf(daemon->text, sizeof(daemon->text), "%s", text);
}

void daemon_init(struct daemon *daemon)
{
	memset(daemon, 0, sizeof(*daemon));
	const struct audit_link_calls calls = {
		.ready = on_ready,
		.trouble = on_trouble,
		.recovered = on_recovered,
		.finished = on_finished,
		.damaged = on_damaged,
		.owner = daemon,
	};
	assert_int_equal(audit_link_create(&daemon->link, &calls), 0);
	daemon->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(daemon->eventfd >= 0);
}

/* In the child: the descriptors where the writer expects them. */
static void become_writer(int control, int writer_eventfd, const char *path,
			  char *const arguments[])
{
	int folder = open(path, O_RDONLY | O_DIRECTORY);
	int fds[] = {fcntl(control, F_DUPFD, 10), fcntl(writer_eventfd, F_DUPFD, 10),
		     fcntl(folder, F_DUPFD, 10)};
	char *argv[16] = {PVCALLS_AUDITD, "--log-level", getenv("PVCALLS_TEST_LOG") ? "3" : "0"};
	for (int i = 0; arguments && arguments[i] && i < 12; i++)
		argv[3 + i] = arguments[i];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < 3; i++)
		dup2(fds[i], AUDITD_SOCKET_FD + i);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	execv(PVCALLS_AUDITD, argv);
	_exit(127);
}

void daemon_start(struct daemon *daemon, const struct folder *folder, char *const arguments[])
{
	int pair[2];
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	daemon->pid = fork();
	assert_true(daemon->pid >= 0);
	if (daemon->pid == 0)
		become_writer(pair[1], daemon->eventfd, folder->path, arguments);
	close(pair[1]);
	assert_int_equal(audit_link_connect(daemon->link, pair[0]), 0);
}

void daemon_kill(struct daemon *daemon)
{
	kill(daemon->pid, SIGKILL);
	waitpid(daemon->pid, NULL, 0);
}

int daemon_end(struct daemon *daemon)
{
	int status = 0;
	audit_link_destroy(daemon->link);
	daemon->link = NULL;
	fd_close(&daemon->eventfd);
	assert_int_equal(waitpid(daemon->pid, &status, 0), daemon->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool daemon_await(struct daemon *daemon, const unsigned *counter, unsigned wanted, int ms)
{
	uint64_t end_ns = clock_monotonic_ns() + (uint64_t)ms * NS_PER_MS;
	while (*counter < wanted) {
		uint64_t now_ns = clock_monotonic_ns();
		if (now_ns >= end_ns)
			return false;
		struct pollfd watch = {.fd = audit_link_fd(daemon->link), .events = POLLIN};
		poll(&watch, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1);
		if (audit_link_dispatch(daemon->link) < 0)
			return *counter >= wanted;
	}
	return true;
}

void engine_start(struct engine *engine, struct daemon *daemon, const char *name, uint32_t domid)
{
	memset(engine, 0, sizeof(*engine));
	engine->identity = identity_of(name, domid);
	engine->memfd = audit_queue_create(&engine->identity);
	assert_true(engine->memfd >= 0);
	engine->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(engine->eventfd >= 0);
	assert_int_equal(audit_link_add(daemon->link, engine->identity.queue_id, engine->memfd,
					engine->eventfd),
			 0);
	assert_int_equal(
		audit_queue_open(&engine->queue, engine->memfd, daemon->eventfd, engine->eventfd),
		0);
}

void engine_end(struct engine *engine)
{
	audit_queue_close(engine->queue);
	fd_close(&engine->memfd);
	fd_close(&engine->eventfd);
}

bool engine_produce(struct engine *engine)
{
	uint32_t slot = 0;
	struct audit_record *record = audit_queue_take(engine->queue, &slot);
	if (!record)
		return false;
	record_fill(record, ++engine->serial);
	audit_queue_decided(engine->queue, slot);
	audit_queue_done(engine->queue, slot);
	return true;
}

bool engine_settle(struct engine *engine, struct daemon *daemon, int ms)
{
	uint64_t end_ns = clock_monotonic_ns() + (uint64_t)ms * NS_PER_MS;
	for (;;) {
		engine->reaped += audit_queue_reap(engine->queue, NULL, NULL);
		if (audit_queue_used(engine->queue) == 0)
			return true;
		if (clock_monotonic_ns() >= end_ns)
			return false;
		audit_queue_await(engine->queue);
		struct pollfd watch[] = {
			{.fd = engine->eventfd, .events = POLLIN},
			{.fd = audit_link_fd(daemon->link), .events = POLLIN},
		};
		eventfd_t count = 0;
		poll(watch, 2, 100);
		eventfd_read(engine->eventfd, &count);
		audit_link_dispatch(daemon->link);
	}
}

/* Whether a query on one segment finds something. While it is being sealed it can't be read. */
static bool ask(const char *dir, uint64_t number, const char *query, sqlite3 **db,
		sqlite3_stmt **statement)
{
	char path[SEGMENT_PATH_MAX];
	assert_int_equal(segment_path(path, dir, number), 0);
	for (int attempt = 0; attempt < 50; attempt++) {
		assert_int_equal(sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
		sqlite3_busy_timeout(*db, 1000);
		int code = sqlite3_prepare_v2(*db, query, -1, statement, NULL);
		if (code == SQLITE_OK)
			code = sqlite3_step(*statement);
		if (code == SQLITE_ROW)
			return sqlite3_column_type(*statement, 0) != SQLITE_NULL;
		if (code == SQLITE_DONE)
			return false;
		if (code != SQLITE_BUSY && code != SQLITE_READONLY)
			fail_msg("%s: %s", query, sqlite3_errmsg(*db));
		sqlite3_finalize(*statement);
		sqlite3_close(*db);
		*statement = NULL;
		usleep(100000);
	}
	fail_msg("%s: can't be read", path);
	return false;
}

enum fold {
	FOLD_SUM,
	FOLD_MIN,
	FOLD_MAX,
};

static int64_t fold_trail(const struct folder *folder, const char *query, enum fold fold)
{
	struct segment *list = NULL;
	size_t count = 0;
	int64_t result = fold == FOLD_MIN ? INT64_MAX : 0;
	assert_int_equal(segment_list(folder->path, &list, &count), 0);
	for (size_t i = 0; i < count; i++) {
		sqlite3 *db = NULL;
		sqlite3_stmt *statement = NULL;
		if (ask(folder->path, list[i].number, query, &db, &statement)) {
			int64_t value = sqlite3_column_int64(statement, 0);
			if (fold == FOLD_SUM)
				result += value;
			else if (fold == FOLD_MIN ? value < result : value > result)
				result = value;
		}
		sqlite3_finalize(statement);
		sqlite3_close(db);
	}
	free(list);
	return result;
}

int64_t trail_sum(const struct folder *folder, const char *query)
{
	return fold_trail(folder, query, FOLD_SUM);
}

int64_t trail_min(const struct folder *folder, const char *query)
{
	return fold_trail(folder, query, FOLD_MIN);
}

int64_t trail_max(const struct folder *folder, const char *query)
{
	return fold_trail(folder, query, FOLD_MAX);
}

void trail_text(const struct folder *folder, const char *query, char *text, size_t size)
{
	struct segment *list = NULL;
	size_t count = 0;
	sqlite3 *db = NULL;
	sqlite3_stmt *statement = NULL;
	assert_int_equal(segment_list(folder->path, &list, &count), 0);
	assert_true(count > 0);
	bool found = ask(folder->path, list[count - 1].number, query, &db, &statement);
	snprintf(text, size, "%s", found ? (const char *)sqlite3_column_text(statement, 0) : "");
	sqlite3_finalize(statement);
	sqlite3_close(db);
	free(list);
}

void store_foreign(const char *path, const char *sql)
{
	if (!sql) {
		FILE *file = fopen(path, "we");
		assert_non_null(file);
		for (int i = 0; i < 1000; i++)
			fputs("this is no database\n", file);
		fclose(file);
		return;
	}
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

void not_run(const char *why)
{
	printf("not run: %s\n", why);
	if (getenv("CI"))
		fail_msg("not run where it must be: %s", why);
	skip();
}
