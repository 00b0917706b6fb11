/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A trail whose every row is known. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "audit/store/segment.h"
#include "base/clock.h"
#include "call/call.h"
#include "trail_harness.h"

static struct pvcalls_endpoint trail_endpoint(uint8_t a, uint8_t b, uint8_t c, uint8_t d,
					      uint16_t port)
{
	return (struct pvcalls_endpoint){.family = 2, .port = port, .addr = {a, b, c, d}};
}

/* As trail_of_two_guests() says. */
static void trail_row(struct store *store, const int64_t queues[2], uint32_t i)
{
	struct fault fault = {0};
	struct audit_record record = {.op = PVCALLS_OP_CONNECT,
				      .serial = i,
				      .wall_ns = 1767312000ull * NS_PER_S + i * 60 * NS_PER_S,
				      .socket = i / 10 + 1,
				      .verdict = VERDICT_ALLOW,
				      .decider = "filter",
				      .rule = "web-out",
				      .policy = "web"};
	record.requested = trail_endpoint(192, 0, 2, (uint8_t)i, 443);
	record.effective = record.requested;
	if (i % 6 == 5) {
		record.op = PVCALLS_OP_ACCEPT;
		record.requested = trail_endpoint(198, 51, 100, (uint8_t)i, 5000);
		record.effective = (struct pvcalls_endpoint){0};
		record.peer = record.requested;
		record.local = trail_endpoint(10, 0, 0, 1, 8080);
	}
	if (i % 5 == 4) {
		record.verdict = VERDICT_DENY;
		record.result = -EACCES;
		snprintf(record.decider, sizeof(record.decider), "floor");
		snprintf(record.rule, sizeof(record.rule), "host-address");
		snprintf(record.reason, sizeof(record.reason),
			 "=cmd|' \033[31m\x01\xff\"evil\"\x7f");
	}
	record.cancelled = i == 31 || i == 41;
	if (record.cancelled)
		record.result = -ECANCELED;
	if (i == 41) {
		record.verdict = VERDICT_NONE;
		record.requested = record.peer = (struct pvcalls_endpoint){0};
	}
	assert_int_equal(store_call(store, queues[i % 2], &record, i != 33, &fault), 0);
}

void trail_of_two_guests(struct folder *folder)
{
	struct store *store = NULL;
	struct fault fault = {0};
	struct audit_identity identities[2] = {identity_of("alpha", 11), identity_of("beta", 12)};
	int64_t queues[2] = {0};
	int64_t link = 0;
	uint64_t place = 0;
	bool finished = false;
	folder_make(folder);
	struct store_options options = store_in(folder);
	assert_int_equal(store_open(&store, &options, &fault), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			store_queue(store, &identities[i], &queues[i], &place, &finished, &fault),
			0);
	assert_int_equal(store_link(store, identities[0].queue_id, &link, &place, &fault), 0);
	for (uint32_t i = 1; i <= TRAIL_ROWS; i++) {
		trail_row(store, queues, i);
		struct store_event event = {.link = link,
					    .number = i,
					    .wall_ns = 1767312000ull * NS_PER_S +
						       i * 60 * NS_PER_S + 1,
					    .kind = AUDIT_EVENT_GUEST_ATTACHED,
					    .guest = i == 10 ? "alpha" : NULL,
					    .text = "event\nwith a line"};
		if (i % 10 == 0)
			assert_int_equal(store_event(store, &event, &fault), 0);
		assert_int_equal(store_commit(store, &fault), 0);
		if (i % 20 == 0 && i < TRAIL_ROWS)
			assert_int_equal(store_upkeep(store, UINT64_MAX, &fault), 0);
	}
	store_close(store);
	assert_int_equal(segment_seal(folder->path, 1, 1, &fault), 0);
}
