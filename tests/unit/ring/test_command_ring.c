/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ring/command_ring.h"

/* A frontend as xen/io/ring.h would be: it keeps its own indexes too. */
struct guest {
	_Alignas(4096) struct command_page page;
	uint32_t req_prod;
	uint32_t rsp_cons;
};

static struct guest guest;
static struct command_ring ring;

static int setup(void **state)
{
	(void)state;
	memset(&guest, 0, sizeof(guest));
	guest.page.req_event = 1;
	guest.page.rsp_event = 1;
	command_ring_attach(&ring, &guest.page);
	return 0;
}

static void ask(uint32_t req_id)
{
	struct wire_request *request = &guest.page.slot[guest.req_prod++ % COMMAND_SLOTS].request;

	memset(request, 0, sizeof(*request));
	request->req_id = req_id;
	request->id = 0x1122334455667788ull + req_id;
	guest.page.req_prod = guest.req_prod;
}

static void reply(uint32_t req_id)
{
	struct wire_response response = {.req_id = req_id, .ret = -1};

	command_ring_push(&ring, &response);
}

static uint32_t collect(void)
{
	return guest.page.slot[guest.rsp_cons++ % COMMAND_SLOTS].response.req_id;
}

static void test_empty_ring_has_no_request(void **state)
{
	struct wire_request request;

	(void)state;
	assert_int_equal(command_ring_take(&ring, &request), 0);
}

static void test_requests_keep_order_over_many_wraps(void **state)
{
	struct wire_request request;
	uint32_t i;

	(void)state;
	/* 2^32 is crossed too: start just before it. */
	ring.req_cons = ring.rsp_prod = ring.rsp_published = UINT32_MAX - 100;
	guest.req_prod = guest.rsp_cons = UINT32_MAX - 100;
	guest.page.req_prod = guest.req_prod;
	for (i = 0; i < 1000; i++) {
		ask(i);
		assert_int_equal(command_ring_take(&ring, &request), 1);
		assert_int_equal(request.req_id, i);
		assert_true(request.id == 0x1122334455667788ull + i);
		reply(i);
		command_ring_publish(&ring);
		assert_int_equal(guest.page.rsp_prod, guest.rsp_cons + 1);
		assert_int_equal(collect(), i);
	}
}

static void test_full_ring_is_served(void **state)
{
	struct wire_request request;
	uint32_t i;

	(void)state;
	for (i = 0; i < COMMAND_SLOTS; i++)
		ask(i);
	for (i = 0; i < COMMAND_SLOTS; i++)
		assert_int_equal(command_ring_take(&ring, &request), 1);
	assert_int_equal(command_ring_take(&ring, &request), 0);
	/* Out of order answers fill the slots in the order of the answers. */
	for (i = COMMAND_SLOTS; i-- > 0;)
		reply(i);
	assert_true(command_ring_publish(&ring));
	for (i = COMMAND_SLOTS; i-- > 0;)
		assert_int_equal(collect(), i);
}

static void test_impossible_producers_are_refused(void **state)
{
	static const uint32_t wrong[] = {COMMAND_SLOTS + 1, 1000, 0x7fffffff, 0x80000000,
					 UINT32_MAX};
	struct wire_request request;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		guest.page.req_prod = wrong[i];
		assert_int_equal(command_ring_take(&ring, &request), -EPROTO);
	}
	guest.page.req_prod = COMMAND_SLOTS;
	assert_int_equal(command_ring_take(&ring, &request), 1);
}

static void test_unanswered_requests_count(void **state)
{
	struct wire_request request;
	uint32_t i;

	(void)state;
	for (i = 0; i < COMMAND_SLOTS; i++)
		ask(i);
	for (i = 0; i < COMMAND_SLOTS; i++)
		command_ring_take(&ring, &request);
	/* Nothing was answered: one more would overwrite a slot that we still owe an answer. */
	ask(COMMAND_SLOTS);
	assert_int_equal(command_ring_take(&ring, &request), -EPROTO);
}

static void test_request_is_copied_once(void **state)
{
	struct wire_request request;

	(void)state;
	ask(7);
	assert_int_equal(command_ring_take(&ring, &request), 1);
	memset(&guest.page.slot[0], 0xff, sizeof(guest.page.slot[0]));
	assert_int_equal(request.req_id, 7);
}

static void test_final_check_asks_for_the_next_event(void **state)
{
	struct wire_request request;

	(void)state;
	ask(1);
	assert_true(command_ring_final_check(&ring));
	command_ring_take(&ring, &request);
	assert_false(command_ring_final_check(&ring));
	assert_int_equal(guest.page.req_event, 2);
}

static void test_events_only_when_asked_for(void **state)
{
	struct wire_request request;
	uint32_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		ask(i);
	for (i = 0; i < 4; i++)
		command_ring_take(&ring, &request);
	assert_false(command_ring_publish(&ring));
	guest.page.rsp_event = 3;
	reply(0);
	reply(1);
	assert_false(command_ring_publish(&ring));
	reply(2);
	assert_true(command_ring_publish(&ring));
	reply(3);
	assert_false(command_ring_publish(&ring));
}

static void test_published_indexes_are_never_read_back(void **state)
{
	struct wire_request request;

	(void)state;
	ask(1);
	command_ring_take(&ring, &request);
	reply(1);
	command_ring_publish(&ring);
	guest.page.rsp_prod = 12345;
	ask(2);
	assert_int_equal(command_ring_take(&ring, &request), 1);
	reply(2);
	command_ring_publish(&ring);
	assert_int_equal(guest.page.rsp_prod, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_empty_ring_has_no_request, setup),
		cmocka_unit_test_setup(test_requests_keep_order_over_many_wraps, setup),
		cmocka_unit_test_setup(test_full_ring_is_served, setup),
		cmocka_unit_test_setup(test_impossible_producers_are_refused, setup),
		cmocka_unit_test_setup(test_unanswered_requests_count, setup),
		cmocka_unit_test_setup(test_request_is_copied_once, setup),
		cmocka_unit_test_setup(test_final_check_asks_for_the_next_event, setup),
		cmocka_unit_test_setup(test_events_only_when_asked_for, setup),
		cmocka_unit_test_setup(test_published_indexes_are_never_read_back, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
