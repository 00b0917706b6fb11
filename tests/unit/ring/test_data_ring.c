/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data ring against a model of the other side: random traffic over every order, wraps at every
 * offset of the smallest ring, exactly full, impossible indexes, and who is told.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring/data_ring.h"

#define SEED 20240229u

/* A guest that takes from `in` and puts into `out`, byte by byte, and counts. */
struct peer {
	struct indexes_page *indexes;
	uint8_t *data;
	struct data_ring ring;
	uint64_t in_taken;
	uint64_t out_put;
};

static uint8_t pattern(uint64_t position)
{
	return (uint8_t)(position * 31 + (position >> 8));
}

static void peer_open(struct peer *peer, uint32_t order, uint32_t start)
{
	memset(peer, 0, sizeof(*peer));
	peer->indexes = aligned_alloc(4096, 4096);
	peer->data = malloc((size_t)DATA_RING_BYTES(order) * 2);
	memset(peer->indexes, 0, 4096);
	data_ring_attach(&peer->ring, peer->indexes, peer->data, order);
	/* A ring that has run for a while: indexes anywhere, also just before 2^32. */
	peer->ring.in_prod = peer->ring.out_cons = start;
	peer->indexes->in_cons = peer->indexes->in_prod = start;
	peer->indexes->out_cons = peer->indexes->out_prod = start;
}

static void peer_close(struct peer *peer)
{
	free(peer->indexes);
	free(peer->data);
}

static void peer_put(struct peer *peer, size_t bytes)
{
	uint32_t size = peer->ring.size;
	size_t i;

	for (i = 0; i < bytes; i++)
		peer->data[size + (peer->indexes->out_prod + i) % size] = pattern(peer->out_put++);
	peer->indexes->out_prod += (uint32_t)bytes;
}

static void peer_take(struct peer *peer, size_t bytes)
{
	uint32_t size = peer->ring.size;
	size_t i;

	for (i = 0; i < bytes; i++)
		assert_int_equal(peer->data[(peer->indexes->in_cons + i) % size],
				 pattern(peer->in_taken++));
	peer->indexes->in_cons += (uint32_t)bytes;
}

static void span_fill(const struct ring_span *span, uint64_t *position)
{
	int part;
	size_t i;

	for (part = 0; part < span->parts; part++)
		for (i = 0; i < span->part[part].iov_len; i++)
			((uint8_t *)span->part[part].iov_base)[i] = pattern((*position)++);
}

static void span_check(const struct ring_span *span, uint64_t *position)
{
	int part;
	size_t i;

	for (part = 0; part < span->parts; part++)
		for (i = 0; i < span->part[part].iov_len; i++)
			assert_int_equal(((uint8_t *)span->part[part].iov_base)[i],
					 pattern((*position)++));
}

static size_t span_bytes(const struct ring_span *span)
{
	return span->part[0].iov_len + (span->parts > 1 ? span->part[1].iov_len : 0);
}

/* One exchange each way of given sizes; the sizes are cut to what fits. */
static void exchange(struct peer *peer, size_t in, size_t out, uint64_t *in_put,
		     uint64_t *out_taken)
{
	struct ring_span span;
	ssize_t room = data_ring_in_room(&peer->ring, in, &span);
	ssize_t there;

	assert_true(room >= 0);
	if (room > 0) {
		assert_int_equal(span_bytes(&span), room);
		span_fill(&span, in_put);
		data_ring_in_commit(&peer->ring, (size_t)room);
	}
	peer_take(peer, peer->indexes->in_prod - peer->indexes->in_cons);
	if (out > peer->ring.size - (peer->indexes->out_prod - peer->ring.out_cons))
		out = peer->ring.size - (peer->indexes->out_prod - peer->ring.out_cons);
	peer_put(peer, out);
	there = data_ring_out_bytes(&peer->ring, SIZE_MAX, &span);
	assert_int_equal(there, out);
	if (there > 0) {
		span_check(&span, out_taken);
		data_ring_out_commit(&peer->ring, (size_t)there);
	}
}

static void test_wrap_at_every_offset(void **state)
{
	uint32_t size = DATA_RING_BYTES(DATA_ORDER_MIN);
	uint32_t start;

	(void)state;
	for (start = 0; start < size; start++) {
		struct peer peer;
		uint64_t in_put = 0;
		uint64_t out_taken = 0;

		peer_open(&peer, DATA_ORDER_MIN, start);
		exchange(&peer, size, size, &in_put, &out_taken); /* exactly full, both ways */
		exchange(&peer, 1, 1, &in_put, &out_taken);
		exchange(&peer, 0, 0, &in_put, &out_taken);
		assert_int_equal(peer.in_taken, size + 1);
		assert_int_equal(out_taken, size + 1);
		peer_close(&peer);
	}
}

static void test_random_traffic_of_every_order(void **state)
{
	uint32_t order;

	(void)state;
	srandom(SEED);
	for (order = DATA_ORDER_MIN; order <= DATA_ORDER_MAX; order++) {
		uint32_t size = DATA_RING_BYTES(order);
		struct peer peer;
		uint64_t in_put = 0;
		uint64_t out_taken = 0;
		int round;

		peer_open(&peer, order, UINT32_MAX - size); /* crosses 2^32 */
		for (round = 0; round < 50; round++)
			exchange(&peer, (size_t)random() % (size + 1),
				 (size_t)random() % (size + 1), &in_put, &out_taken);
		assert_int_equal(peer.in_taken, in_put);
		assert_int_equal(peer.out_put, out_taken);
		peer_close(&peer);
	}
}

/* Every value of the guest's index that leaves more than size bytes must be refused, no other. */
static void test_impossible_indexes(void **state)
{
	uint32_t size = DATA_RING_BYTES(DATA_ORDER_MIN);
	struct ring_span span;
	struct peer peer;
	uint32_t distance;

	(void)state;
	peer_open(&peer, DATA_ORDER_MIN, 77);
	for (distance = 0; distance < 4 * size; distance++) {
		peer.indexes->out_prod = peer.ring.out_cons + distance;
		peer.indexes->in_cons = peer.ring.in_prod - distance;
		assert_int_equal(data_ring_out_bytes(&peer.ring, SIZE_MAX, &span),
				 distance <= size ? (ssize_t)distance : -EPROTO);
		assert_int_equal(data_ring_in_room(&peer.ring, SIZE_MAX, &span),
				 distance <= size ? (ssize_t)(size - distance) : -EPROTO);
	}
	peer.indexes->out_prod = peer.ring.out_cons - 1;
	assert_int_equal(data_ring_out_bytes(&peer.ring, SIZE_MAX, &span), -EPROTO);
	peer.indexes->in_cons = peer.ring.in_prod + 1;
	assert_int_equal(data_ring_in_room(&peer.ring, SIZE_MAX, &span), -EPROTO);
	peer_close(&peer);
}

static void test_own_indexes_are_never_read_back(void **state)
{
	struct ring_span span;
	struct peer peer;

	(void)state;
	peer_open(&peer, DATA_ORDER_MIN, 0);
	peer.indexes->in_prod = 999;
	peer.indexes->out_cons = 999;
	assert_int_equal(data_ring_in_room(&peer.ring, 10, &span), 10);
	assert_int_equal(data_ring_out_bytes(&peer.ring, 10, &span), 0);
	data_ring_in_commit(&peer.ring, 10);
	assert_int_equal(peer.indexes->in_prod, 10);
	peer_close(&peer);
}

static void test_only_waiting_guests_are_told(void **state)
{
	uint32_t size = DATA_RING_BYTES(DATA_ORDER_MIN);
	struct peer peer;

	(void)state;
	peer_open(&peer, DATA_ORDER_MIN, 0);
	assert_true(data_ring_in_commit(&peer.ring, 5));  /* it had taken everything */
	assert_false(data_ring_in_commit(&peer.ring, 5)); /* it has bytes to take */
	peer.indexes->in_cons = 10;
	assert_true(data_ring_in_commit(&peer.ring, 1));
	peer.indexes->out_prod = size;
	assert_true(data_ring_out_commit(&peer.ring, 1)); /* it had filled the ring */
	assert_false(data_ring_out_commit(&peer.ring, 1));
	peer_close(&peer);
}

static void test_ends_are_written_once(void **state)
{
	struct peer peer;

	(void)state;
	peer_open(&peer, DATA_ORDER_MIN, 0);
	data_ring_in_end(&peer.ring, -107);
	data_ring_in_end(&peer.ring, -104);
	assert_int_equal(peer.indexes->in_error, -107);
	data_ring_out_end(&peer.ring, -32);
	assert_int_equal(peer.indexes->out_error, -32);
	peer_close(&peer);
}

static void test_guest_ends_its_own_direction(void **state)
{
	struct ring_span span;
	struct peer peer;

	(void)state;
	peer_open(&peer, DATA_ORDER_MIN, UINT32_MAX - 5);
	peer_put(&peer, 10);
	peer.indexes->out_end = 7; /* any number but 0 */
	assert_false(data_ring_out_closing(&peer.ring));
	peer.ring.half_close = true;
	assert_true(data_ring_out_closing(&peer.ring));
	data_ring_out_close(&peer.ring);
	assert_false(data_ring_out_closing(&peer.ring));
	/* Whatever it writes now, bytes or a denial, is too late. */
	peer.indexes->out_end = 0;
	peer.indexes->out_prod += peer.ring.size;
	assert_int_equal(data_ring_out_bytes(&peer.ring, SIZE_MAX, &span), 10);
	assert_false(data_ring_out_drained(&peer.ring));
	data_ring_out_commit(&peer.ring, 10);
	assert_int_equal(data_ring_out_bytes(&peer.ring, SIZE_MAX, &span), 0);
	assert_true(data_ring_out_drained(&peer.ring));
	peer_close(&peer);
}

static void test_end_at_an_impossible_index(void **state)
{
	struct ring_span span;
	struct peer peer;

	(void)state;
	peer_open(&peer, DATA_ORDER_MIN, 0);
	peer.ring.half_close = true;
	peer.indexes->out_prod = peer.ring.size + 1;
	peer.indexes->out_end = 1;
	data_ring_out_close(&peer.ring);
	assert_int_equal(data_ring_out_bytes(&peer.ring, SIZE_MAX, &span), -EPROTO);
	assert_false(data_ring_out_drained(&peer.ring));
	peer_close(&peer);
}

static void test_references(void **state)
{
	struct indexes_page *page = aligned_alloc(4096, 4096);
	uint32_t refs[DATA_REFS_MAX];
	uint32_t order;
	uint32_t i;

	(void)state;
	memset(page, 0, 4096);
	for (i = 0; i < DATA_REFS_MAX; i++)
		page->ref[i] = 1000 - i;
	for (i = 0; i < 40; i++) {
		int expected = i >= 1 && i <= 9 ? 1 << i : -EINVAL;

		page->ring_order = i;
		assert_int_equal(data_ring_read_refs(page, DATA_ORDER_MAX, 5000, refs, &order),
				 expected);
	}
	page->ring_order = UINT32_MAX;
	assert_int_equal(data_ring_read_refs(page, DATA_ORDER_MAX, 5000, refs, &order), -EINVAL);
	page->ring_order = 5;
	assert_int_equal(data_ring_read_refs(page, 4, 5000, refs, &order), -EINVAL);
	page->ring_order = 4;
	assert_int_equal(data_ring_read_refs(page, 4, 999, refs, &order), -EINVAL);
	assert_int_equal(data_ring_read_refs(page, 4, 5000, refs, &order), 16);
	assert_true(data_ring_has_refs(page, 4, refs));
	assert_false(data_ring_has_refs(page, 5, refs));
	page->ref[15] = page->ref[3];
	assert_false(data_ring_has_refs(page, 4, refs));
	assert_int_equal(data_ring_read_refs(page, 4, 5000, refs, &order), -EINVAL);
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrap_at_every_offset),
		cmocka_unit_test(test_random_traffic_of_every_order),
		cmocka_unit_test(test_impossible_indexes),
		cmocka_unit_test(test_own_indexes_are_never_read_back),
		cmocka_unit_test(test_only_waiting_guests_are_told),
		cmocka_unit_test(test_ends_are_written_once),
		cmocka_unit_test(test_guest_ends_its_own_direction),
		cmocka_unit_test(test_end_at_an_impossible_index),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
