/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the Xen transport on their own, and what the pool does when pages are short. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <pvcalls/frontend.h>

#include "fake_xen.h"
#include "library/ring_pool.h"
#include "transports/node_text.h"
#include "transports/xen_events.h"
#include "transports/xen_pages.h"

static void test_lines_are_taken_apart(void **state)
{
	const char *lines = "version=1\nring-ref=8\nempty=\nlast=x=y";
	char key[NODE_KEY_MAX];
	char value[FRONT_VALUE_MAX];

	(void)state;
	assert_true(node_text_next(&lines, key, value));
	assert_string_equal(key, "version");
	assert_string_equal(value, "1");
	assert_true(node_text_next(&lines, key, value));
	assert_true(node_text_next(&lines, key, value));
	assert_string_equal(key, "empty");
	assert_string_equal(value, "");
	assert_true(node_text_next(&lines, key, value));
	assert_string_equal(key, "last");
	assert_string_equal(value, "x=y");
	assert_string_equal(lines, "");
	assert_false(node_text_next(&lines, key, value));
}

static void test_bad_lines_are_refused(void **state)
{
	static const char *const bad[] = {"",
					  "\n",
					  "=1\n",
					  "name\n",
					  "name\nother=1\n",
					  "a-name-of-more-than-thirty-one-characters=1\n",
					  "value=of-more-than-thirty-one-characters-here\n"};
	char key[NODE_KEY_MAX];
	char value[FRONT_VALUE_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *lines = bad[i];

		assert_false(node_text_next(&lines, key, value));
	}
}

static void test_numbers(void **state)
{
	static const char *const bad[] = {"",   " 1",  "1 ",  "-1",
					  "+1", "0x1", "101", "99999999999999999999"};
	uint32_t number;
	size_t i;

	(void)state;
	assert_int_equal(node_text_number("100", 100, &number), 0);
	assert_int_equal(number, 100);
	assert_int_equal(node_text_number("4294967295", UINT32_MAX, &number), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(node_text_number(bad[i], 100, &number), -EINVAL);
	assert_int_equal(node_text_state("4"), FRONT_CONNECTED);
	assert_int_equal(node_text_state("7"), FRONT_UNKNOWN);
	assert_int_equal(node_text_state("four"), FRONT_UNKNOWN);
}

/* --- pages --- */

static char limit_file[] = "/tmp/pvcalls-limit-XXXXXX";

/* The driver's limit as the fake driver and the file know it. */
static void set_limit(uint32_t limit)
{
	FILE *file = fopen(limit_file, "we");

	assert_non_null(file);
	fprintf(file, "%u\n", limit);
	fclose(file);
}

static uint32_t get_limit(void)
{
	unsigned limit = 0;
	FILE *file = fopen(limit_file, "re");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%u", &limit), 1);
	fclose(file);
	return limit;
}

static int make_limit(void **state)
{
	int fd = mkstemp(limit_file);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int remove_limit(void **state)
{
	(void)state;
	return unlink(limit_file);
}

static struct xen_pages pages_here(uint64_t memory)
{
	struct xen_pages pages;

	fake_xen_reset("1", "2");
	assert_int_equal(xen_pages_open(&pages, NULL, 0, memory, NULL), 0);
	pages.limit_path = limit_file;
	return pages;
}

static void test_pages_are_shared(void **state)
{
	struct xen_pages pages = pages_here(1u << 30);
	uint32_t refs[16] = {0};
	void *span;

	(void)state;
	assert_int_equal(xen_pages_share(&pages, 4, &span, refs), 0);
	assert_int_equal(fake_xen.pages, 16);
	memset(span, 1, 16 * 4096);
	assert_int_equal(refs[15], refs[0] + 15);
	xen_pages_unshare(&pages, span, 4);
	assert_int_equal(fake_xen.pages, 0);
	xen_pages_close(&pages);
}

/* The fake driver does not follow the file, so raising ends at the most that is asked for. */
static void test_limit_is_raised_up_to_the_most(void **state)
{
	struct xen_pages pages = pages_here(6000ull * 4096);
	uint32_t refs[16];
	void *span;

	(void)state;
	set_limit(1024);
	fake_xen.limit = 8;
	assert_int_equal(xen_pages_share(&pages, 4, &span, refs), -ENOMEM);
	assert_int_equal(get_limit(), 6000);
	assert_non_null(pages.shortage);
	fake_xen.limit = 16;
	assert_int_equal(xen_pages_share(&pages, 4, &span, refs), 0);
	assert_null(pages.shortage);
	xen_pages_unshare(&pages, span, 4);
}

static void test_limit_that_cannot_be_raised_is_named(void **state)
{
	struct xen_pages pages = pages_here(1u << 30);
	uint32_t refs[16];
	void *span;

	(void)state;
	fake_xen.limit = 8;
	pages.limit_path = "/proc/sys/kernel/cap_last_cap"; /* a number nobody may write */
	assert_int_equal(xen_pages_share(&pages, 4, &span, refs), -ENOMEM);
	assert_non_null(strstr(pages.shortage, "xen_gntalloc/parameters/limit"));
	pages.limit_path = "/nowhere";
	assert_int_equal(xen_pages_share(&pages, 4, &span, refs), -ENOMEM);
	assert_non_null(pages.shortage);
}

/* --- the pool --- */

static struct xen_pages pool_pages;

static int pool_share(struct front_transport *transport, uint32_t order, void **pages,
		      uint32_t *refs)
{
	(void)transport;
	return xen_pages_share(&pool_pages, order, pages, refs);
}

static void pool_unshare(struct front_transport *transport, void *pages, uint32_t order)
{
	(void)transport;
	xen_pages_unshare(&pool_pages, pages, order);
}

static int pool_port_open(struct front_transport *transport, uint32_t *port)
{
	(void)transport;
	*port = ++fake_xen.ports;
	if (!fake_xen.ports_max || fake_xen.ports <= fake_xen.ports_max)
		return 0;
	fake_xen.ports--;
	*port = 0;
	return -ENOSPC;
}

static void pool_port_close(struct front_transport *transport, uint32_t port)
{
	(void)transport;
	(void)port;
	fake_xen.ports--;
}

static const struct front_transport_ops pool_ops = {
	.share = pool_share,
	.unshare = pool_unshare,
	.port_open = pool_port_open,
	.port_close = pool_port_close,
};

static struct front_transport pool_transport = {.ops = &pool_ops};

static struct ring_pool pool_of(uint32_t pages, uint32_t ports)
{
	pool_pages = pages_here(1u << 30);
	pool_pages.limit_path = "/nowhere";
	fake_xen.limit = pages;
	fake_xen.ports_max = ports;
	return (struct ring_pool){.transport = &pool_transport, .max_order = 9};
}

static void test_rings_get_smaller_when_pages_are_short(void **state)
{
	struct ring_pool pool = pool_of(17 + 9 + 3 + 1, 0);
	struct front_ring *ring[3];
	struct front_ring *none = NULL;
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(ring_pool_take(&pool, 4, &ring[i]), 0);
	assert_int_equal(ring[0]->order, 4);
	assert_int_equal(ring[1]->order, 3);
	assert_int_equal(ring[2]->order, 1);
	assert_int_equal(ring[2]->indexes->ring_order, 1);
	assert_int_equal(ring_pool_take(&pool, 4, &none), -ENOMEM);
	/* Nothing is kept of what failed, and an idle ring serves whatever its order.
	 */
	assert_int_equal(fake_xen.pages, 17 + 9 + 3);
	ring_pool_give(&pool, ring[0]);
	assert_int_equal(ring_pool_take(&pool, 2, &ring[0]), 0);
	assert_int_equal(ring[0]->order, 4);
	for (i = 0; i < 3; i++)
		ring_pool_give(&pool, ring[i]);
	ring_pool_drain(&pool);
	assert_int_equal(fake_xen.pages, 0);
	assert_int_equal(fake_xen.ports, 0);
}

static void test_idle_rings_serve_when_ports_are_short(void **state)
{
	struct ring_pool pool = pool_of(0, 1);
	struct front_ring *ring;
	struct front_ring *none = NULL;

	(void)state;
	assert_int_equal(ring_pool_take(&pool, 4, &ring), 0);
	assert_true(ring_pool_take(&pool, 4, &none) < 0);
	ring_pool_give(&pool, ring);
	assert_int_equal(ring_pool_take(&pool, 2, &ring), 0);
	assert_int_equal(ring->order, 4);
	ring_pool_give(&pool, ring);
	ring_pool_drain(&pool);
	assert_int_equal(fake_xen.pages, 0);
}

/* --- events --- */

static struct xen_events events;

static void open_events(void)
{
	fake_xen_reset("1", "2");
	assert_int_equal(xen_events_open(&events, NULL, 0, NULL), 0);
}

static void send_ports(const evtchn_port_t *ports, size_t count)
{
	ssize_t size = (ssize_t)(count * sizeof(*ports));

	assert_int_equal(write(fake_xen.driver, ports, (size_t)size), size);
}

/* How many ports the driver was told to open again. */
static size_t unmasked_ports(evtchn_port_t *ports, size_t max)
{
	ssize_t size = recv(fake_xen.driver, ports, max * sizeof(*ports), MSG_DONTWAIT);

	return size < 0 ? 0 : (size_t)size / sizeof(*ports);
}

static void test_ports_are_taken_and_opened_late(void **state)
{
	const evtchn_port_t sent[] = {21, 40000, 22};
	evtchn_port_t again[8];
	uint32_t ports[64];

	(void)state;
	open_events();
	assert_int_equal(xen_events_take(&events, ports, 64), 0);
	assert_true(xen_events_may_sleep(&events));
	send_ports(sent, 3);
	assert_int_equal(xen_events_take(&events, ports, 64), 2);
	assert_int_equal(ports[0], 21);
	assert_int_equal(ports[1], 22);
	assert_int_equal(unmasked_ports(again, 8), 0);
	assert_true(xen_events_pending(&events));
	assert_true(xen_events_may_sleep(&events));
	assert_false(xen_events_pending(&events));
	assert_int_equal(unmasked_ports(again, 8), 3);
	assert_memory_equal(again, sent, sizeof(sent));
	assert_true(xen_events_may_sleep(&events));
	assert_int_equal(unmasked_ports(again, 8), 0);
	xen_events_close(&events);
}

static void test_more_ports_than_fit_keep_us_awake(void **state)
{
	evtchn_port_t sent[70];
	uint32_t ports[64];
	uint32_t i;

	(void)state;
	open_events();
	for (i = 0; i < 70; i++)
		sent[i] = 100 + i;
	send_ports(sent, 70);
	assert_int_equal(xen_events_take(&events, ports, 64), 64);
	assert_false(xen_events_may_sleep(&events));
	assert_int_equal(xen_events_take(&events, ports, 64), 6);
	assert_int_equal(ports[5], 169);
	assert_true(xen_events_may_sleep(&events));
	xen_events_close(&events);
}

static void test_marked_ports_are_notified_once(void **state)
{
	uint32_t i;

	(void)state;
	open_events();
	xen_events_mark(&events, 21);
	xen_events_mark(&events, 21);
	xen_events_mark(&events, 22);
	assert_int_equal(fake_xen.notified, 0);
	xen_events_notify(&events, 22);
	xen_events_notify_marked(&events);
	xen_events_notify_marked(&events);
	assert_int_equal(fake_xen.notified, 2);
	for (i = 0; i < XEN_MARKS_MAX + 3; i++)
		xen_events_mark(&events, 100 + i);
	assert_int_equal(fake_xen.notified, 2 + 3);
	xen_events_notify_marked(&events);
	assert_int_equal(fake_xen.notified, 2 + 3 + XEN_MARKS_MAX);
	xen_events_close(&events);
}

static void test_port_numbers_have_a_limit(void **state)
{
	uint32_t port = 0;

	(void)state;
	open_events();
	assert_int_equal(xen_events_port_open(&events, &port), 0);
	assert_int_equal(port, 21);
	fake_xen.port_beyond = true;
	assert_int_equal(xen_events_port_open(&events, &port), -ENOSPC);
	assert_int_equal(fake_xen.ports, 1);
	fake_xen.ports_max = 1;
	assert_int_equal(xen_events_port_open(&events, &port), -ENOSPC);
	assert_non_null(strstr(events.shortage, "max_event_channels"));
	xen_events_close(&events);
}

static void test_one_frontend_at_a_time(void **state)
{
	char why[PVCALLS_FRONT_WHY_MAX];
	int other = open(limit_file, O_RDWR | O_CLOEXEC);

	(void)state;
	fake_xen_reset("1", "2");
	fake_xen.evtchn = limit_file;
	assert_int_equal(flock(other, LOCK_EX), 0);
	assert_int_equal(xen_events_open(&events, NULL, 0, why), -EBUSY);
	assert_non_null(strstr(why, "another pvcalls-run"));
	xen_events_close(&events);
	close(other);
	assert_int_equal(xen_events_open(&events, NULL, 0, why), 0);
	xen_events_close(&events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_are_taken_apart),
		cmocka_unit_test(test_bad_lines_are_refused),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_pages_are_shared),
		cmocka_unit_test(test_limit_is_raised_up_to_the_most),
		cmocka_unit_test(test_limit_that_cannot_be_raised_is_named),
		cmocka_unit_test(test_rings_get_smaller_when_pages_are_short),
		cmocka_unit_test(test_idle_rings_serve_when_ports_are_short),
		cmocka_unit_test(test_ports_are_taken_and_opened_late),
		cmocka_unit_test(test_more_ports_than_fit_keep_us_awake),
		cmocka_unit_test(test_marked_ports_are_notified_once),
		cmocka_unit_test(test_port_numbers_have_a_limit),
		cmocka_unit_test(test_one_frontend_at_a_time),
	};

	return cmocka_run_group_tests_name("xen parts", tests, make_limit, remove_limit);
}
