/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows per second into the audit trail, two ways on the same disk in one run: one transaction per
 * row, and from an engine's queue through a real pvcalls-auditd; with the writer's processor time.
 *
 * usage: audit_rows PVCALLS-AUDITD FOLDER [ROWS]
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/link/audit_link.h"
#include "audit/queue/audit_queue.h"
#include "audit/store/store.h"
#include "base/clock.h"
#include "call/call.h"
#include "ipc/auditd_message.h"

#define SINGLE_ROWS 3000u /* rows of the slow way: a second or less */
#define TURN_ROWS   64u   /* records an engine makes between two flushes */
#define PATH_BYTES  4096

struct bench {
	const char *auditd;
	char single[PATH_BYTES];
	char queued[PATH_BYTES];
	uint64_t rows;
	unsigned ready;
	unsigned finished;
};

static void rows_check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "audit_rows: %s: %s\n", what, strerror(result == -1 ? errno : -result));
	exit(1);
}

static void rows_fill(struct audit_record *record, uint64_t serial)
{
	uint32_t address = 0x0a000000u + (uint32_t)(serial * 2654435761u >> 12);
	record->op = serial % 4 == 3 ? PVCALLS_OP_RELEASE : PVCALLS_OP_CONNECT;
	record->serial = serial;
	record->wall_ns = 1700000000000000000ull + serial * 1000;
	record->socket = serial / 4 + 1;
	record->requested = (struct pvcalls_endpoint){.family = 2, .port = 443};
	memcpy(record->requested.addr, &address, sizeof(address));
	record->effective = record->requested;
	record->local = (struct pvcalls_endpoint){2, 40000, {192, 168, 0, 1}};
	record->peer = record->effective;
	record->verdict = VERDICT_ALLOW;
	record->decision_ns = 900;
	record->total_ns = 41000 + serial % 1000;
	record->close_reason = record->op == PVCALLS_OP_RELEASE ? AUDIT_CLOSE_RELEASED : 0;
	record->bytes_in = serial % 100000;
	record->bytes_out = serial % 10000;
	record->duration_ns = 5000000 + serial;
	strcpy(record->policy, "web");
	strcpy(record->decider, "filter");
	snprintf(record->rule, sizeof(record->rule), "rule-%u", (unsigned)(serial % 20));
}

/* Rows per second with a transaction for each. */
static double rows_run_single(const struct bench *bench)
{
	struct store_options options = {.dir = bench->single, .boot_id = "bench"};
	struct audit_identity identity = {.domid = 1, .name = "bench"};
	struct store *store = NULL;
	struct fault fault = {0};
	int64_t id = 0;
	uint64_t place = 0;
	bool finished = false;
	if (store_open(&store, &options, &fault) < 0 ||
	    store_queue(store, &identity, &id, &place, &finished, &fault) < 0) {
		fprintf(stderr, "audit_rows: %s\n", fault.text);
		exit(1);
	}
	uint64_t start_ns = clock_monotonic_ns();
	for (uint64_t i = 1; i <= SINGLE_ROWS; i++) {
		struct audit_record record = {0};
		rows_fill(&record, i);
		rows_check(store_call(store, id, &record, true, &fault), "store_call");
		rows_check(store_place(store, id, i, false, &fault), "store_place");
		rows_check(store_commit(store, &fault), "store_commit");
	}
	double seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
	store_close(store);
	return SINGLE_ROWS / seconds;
}

static void rows_ready(void *owner)
{
	((struct bench *)owner)->ready++;
}

static void rows_trouble(void *owner, const char *text)
{
	(void)owner;
	fprintf(stderr, "audit_rows: %s\n", text);
	exit(1);
}

static void rows_finished(void *owner, const uint8_t queue_id[16])
{
	(void)queue_id;
	((struct bench *)owner)->finished++;
}

static pid_t rows_start_writer(const struct bench *bench, struct audit_link *link,
			       int writer_eventfd)
{
	int pair[2];
	rows_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
		   "socketpair");
	pid_t pid = fork();
	rows_check(pid, "fork");
	if (pid == 0) {
		int folder = open(bench->queued, O_RDONLY | O_DIRECTORY);
		int fds[] = {fcntl(pair[1], F_DUPFD, 10), fcntl(writer_eventfd, F_DUPFD, 10),
			     fcntl(folder, F_DUPFD, 10)};
		for (int i = 0; i < 3; i++)
			dup2(fds[i], AUDITD_SOCKET_FD + i);
		execl(bench->auditd, bench->auditd, NULL);
		_exit(127);
	}
	close(pair[1]);
	rows_check(audit_link_connect(link, pair[0]), "audit_link_connect");
	return pid;
}

static void rows_serve(struct audit_link *link, int engine_eventfd)
{
	struct pollfd watch[] = {{.fd = audit_link_fd(link), .events = POLLIN},
				 {.fd = engine_eventfd, .events = POLLIN}};
	eventfd_t count = 0;
	poll(watch, 2, 100);
	if (engine_eventfd >= 0)
		(void)eventfd_read(engine_eventfd, &count);
	rows_check(audit_link_dispatch(link), "the writer ended");
}

/* Makes all records as fast as slots come back; returns when the last is on disk. */
static void rows_produce(const struct bench *bench, struct audit_queue *queue,
			 struct audit_link *link, int engine_eventfd)
{
	uint64_t serial = 0;
	uint32_t slot = 0;
	while (serial < bench->rows || audit_queue_used(queue) > 0) {
		struct audit_record *record = NULL;
		for (uint32_t i = 0; i < TURN_ROWS && serial < bench->rows &&
				     (record = audit_queue_take(queue, &slot));
		     i++) {
			rows_fill(record, ++serial);
			audit_queue_decided(queue, slot);
			audit_queue_done(queue, slot);
		}
		audit_queue_flush(queue, false);
		if (audit_queue_reap(queue, NULL, NULL) == 0 &&
		    (!record || serial == bench->rows)) {
			audit_queue_await(queue);
			rows_serve(link, engine_eventfd);
		}
	}
}

/* Rows per second through the queue; *cpu_us: the writer's processor time per row. */
static double rows_run_queued(struct bench *bench, double *cpu_us)
{
	const struct audit_link_calls calls = {.ready = rows_ready,
					       .trouble = rows_trouble,
					       .finished = rows_finished,
					       .owner = bench};
	struct audit_identity identity = {.domid = 1, .name = "bench", .queue_id = "bench"};
	int writer_eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int engine_eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct audit_link *link = NULL;
	struct audit_queue *queue = NULL;
	rows_check(audit_link_create(&link, &calls), "audit_link_create");
	pid_t pid = rows_start_writer(bench, link, writer_eventfd);
	int memfd = audit_queue_create(&identity);
	rows_check(memfd, "audit_queue_create");
	rows_check(audit_link_add(link, identity.queue_id, memfd, engine_eventfd),
		   "audit_link_add");
	rows_check(audit_queue_open(&queue, memfd, writer_eventfd, engine_eventfd),
		   "audit_queue_open");
	while (bench->ready == 0)
		rows_serve(link, -1);

	uint64_t start_ns = clock_monotonic_ns();
	rows_produce(bench, queue, link, engine_eventfd);
	double seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;

	audit_link_finish(link, identity.queue_id);
	while (bench->finished == 0)
		rows_serve(link, -1);
	audit_queue_close(queue);
	audit_link_destroy(link);
	struct rusage usage;
	rows_check(wait4(pid, NULL, 0, &usage), "wait4");
	*cpu_us = ((double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
		   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)) /
		  (double)bench->rows;
	return (double)bench->rows / seconds;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs("usage: audit_rows PVCALLS-AUDITD FOLDER [ROWS]\n", stderr);
		return 2;
	}
	struct bench bench = {.auditd = argv[1],
			      .rows = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000};
	snprintf(bench.single, sizeof(bench.single), "%s/single-XXXXXX", argv[2]);
	snprintf(bench.queued, sizeof(bench.queued), "%s/queued-XXXXXX", argv[2]);
	if (!mkdtemp(bench.single) || !mkdtemp(bench.queued)) {
		perror(argv[2]);
		return 1;
	}
	double cpu_us = 0;
	double queued = rows_run_queued(&bench, &cpu_us);
	double single = rows_run_single(&bench);
	printf("one transaction per row: %.0f rows/s\n", single);
	printf("from the queue:          %.0f rows/s, %.2f us of processor time per row\n", queued,
	       cpu_us);
	printf("ratio:                   %.1f\n", queued / single);
	return 0;
}
