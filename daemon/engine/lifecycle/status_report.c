/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/status_report.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/lifecycle/engine.h"
#include "engine/lifecycle/supervisor_link.h"
#include "policy/policy.h"

#define LINE_MAX_BYTES 256   /* the longest line of a report */
#define METRICS_MAX    65536 /* bytes of all metrics of a policy */

static const char *const state_names[] = {
	[SOCKET_NEW] = "new",
	[SOCKET_RESERVED] = "reserved",
	[SOCKET_BOUND] = "bound",
	[SOCKET_REFUSED] = "refused",
	[SOCKET_CONNECTING] = "connecting",
	[SOCKET_STREAM] = "stream",
	[SOCKET_LISTENING] = "listening",
	[SOCKET_KILLED] = "killed",
};

/* A report that is cut into messages as it grows. */
struct report {
	struct engine *engine;
	uint64_t number; /* of the question */
	size_t used;
	char text[ENGINE_MESSAGE_TEXT_MAX];
};

static void status_report_flush(struct report *report, uint32_t more)
{
	report->text[report->used] = '\0';
	supervisor_link_send(report->engine, ENGINE_MESSAGE_REPORT, more, report->number,
			     report->text);
	report->used = 0;
}

__attribute__((format(printf, 2, 3))) static void status_report_add(struct report *report,
								    const char *format, ...)
{
	va_list arguments;
	int length;

	if (sizeof(report->text) - report->used < LINE_MAX_BYTES)
		status_report_flush(report, 1);
	va_start(arguments, format);
	length = vsnprintf(report->text + report->used, LINE_MAX_BYTES, format, arguments);
	va_end(arguments);
	report->used += length < LINE_MAX_BYTES ? (size_t)length : LINE_MAX_BYTES - 1u;
}

static void status_report_endpoint(const struct pvcalls_endpoint *endpoint, char *text, size_t size)
{
	char address[INET_ADDRSTRLEN] = "";

	if (!endpoint->family) {
		snprintf(text, size, "-");
		return;
	}
	inet_ntop(AF_INET, endpoint->addr, address, sizeof(address));
	snprintf(text, size, "%s:%u", address, endpoint->port);
}

/* A name that an ACCEPT in flight has promised is no socket yet, and a killed one's none any more.
 */
static bool status_report_is_name(const struct guest_socket *socket)
{
	return socket->state == SOCKET_RESERVED || socket->state == SOCKET_KILLED;
}

static void status_report_socket(void *owner, struct guest_socket *socket)
{
	struct report *report = owner;
	bool stream = socket->state == SOCKET_STREAM;
	char local[32];
	char peer[32];

	if (status_report_is_name(socket))
		return;
	if (stream && !socket->local.family)
		socket_read_local(socket);
	status_report_endpoint(&socket->local, local, sizeof(local));
	status_report_endpoint(&socket->peer, peer, sizeof(peer));
	status_report_add(
		report,
		"socket %llu parent %llu state %s local %s peer %s in %llu out %llu age_ns %llu\n",
		(unsigned long long)socket->number, (unsigned long long)socket->parent,
		state_names[socket->state], local, peer,
		stream ? (unsigned long long)socket->stream.bytes_in : 0ull,
		stream ? (unsigned long long)socket->stream.bytes_out : 0ull,
		(unsigned long long)(loop_now_ns(report->engine->loop) - socket->created_ns));
}

/* What is counted by looking at every socket; closed ones are in the counters already. */
struct open_sockets {
	uint32_t count;
	uint64_t bytes_in;
	uint64_t bytes_out;
};

static void status_report_count(void *owner, struct guest_socket *socket)
{
	struct open_sockets *open = owner;

	open->count += !status_report_is_name(socket);
	if (socket->state != SOCKET_STREAM)
		return;
	open->bytes_in += socket->stream.bytes_in;
	open->bytes_out += socket->stream.bytes_out;
}

static void status_report_sums(struct report *report)
{
	struct engine *engine = report->engine;
	const struct calls_counters *sums = &engine->calls.counters;
	struct open_sockets open = {0};
	unsigned long long bytes_in;
	unsigned long long bytes_out;
	char waiting[SLOTS_WATCH_TEXT];

	socket_table_each(engine->calls.sockets, status_report_count, &open);
	status_report_add(report, "attached %d\n", engine->calls.attached);
	status_report_add(report, "policy %s\n", policy_name(engine->calls.policy));
	status_report_add(report, "sockets %u\n", open.count);
	status_report_add(report, "calls %llu\n", (unsigned long long)sums->taken);
	status_report_add(report, "denied %llu\n", (unsigned long long)sums->denied);
	status_report_add(report, "faults %llu\n", (unsigned long long)sums->faults);
	status_report_add(report, "malformed %llu\n", (unsigned long long)sums->malformed);
	status_report_add(report, "cancelled %llu\n", (unsigned long long)sums->cancelled);
	bytes_in = sums->bytes_in + open.bytes_in;
	bytes_out = sums->bytes_out + open.bytes_out;
	status_report_add(report, "bytes_in %llu\n", bytes_in);
	status_report_add(report, "bytes_out %llu\n", bytes_out);
	status_report_add(report, "stalls %llu\n", (unsigned long long)sums->stalls);
	status_report_add(report, "lost_slots %u\n", sums->lost_slots);
	status_report_add(report, "slots %u\n",
			  engine->calls.ring.req_cons - engine->calls.ring.rsp_prod);
	status_report_add(report, "parked %u\n", engine->calls.table.parked);
	slots_watch_describe(&engine->calls, waiting, sizeof(waiting));
	status_report_add(report, "waiting %s\n", waiting);
	status_report_add(report, "audit_waiting %u\n",
			  audit_queue_used(engine->calls.queue) +
				  audit_queue_kept(engine->calls.queue));
	status_report_add(report, "linger_bytes %zu\n", lingering_bytes(engine->calls.lingering));
}

/* What the policy's plugins count. */
static void status_report_metrics(struct report *report)
{
	char *text = malloc(METRICS_MAX);
	size_t length;
	char *line;

	if (!text)
		return;
	text[policy_metrics(report->engine->calls.policy, text, METRICS_MAX - 1)] = '\0';
	for (line = text; *line; line += length + (line[length] == '\n')) {
		length = strcspn(line, "\n");
		status_report_add(report, "%.*s\n", (int)length, line);
	}
	free(text);
}

void status_report_send(struct engine *engine, uint32_t detail, uint64_t number)
{
	struct report report = {.engine = engine, .number = number};

	if (detail == ENGINE_STATUS_METRICS)
		status_report_metrics(&report);
	else if (detail == ENGINE_STATUS_SOCKETS)
		socket_table_each(engine->calls.sockets, status_report_socket, &report);
	else
		status_report_sums(&report);
	status_report_flush(&report, 0);
}
