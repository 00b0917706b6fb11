/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's end of the Xen transport: mapping, binding, and events with few system calls. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_engine_xen.h"
#include "ring/layout.h"
#include "transport/xen_backend.h"

#define GUEST    7u
#define GRANTED  1000u
#define AT_ONCE  256u /* ports of one write */
#define PORT_MAX (TRANSPORT_PORTS - 1)

static int open_guest(void **state)
{
	struct transport *transport = NULL;
	int error;

	fake_xen = (struct fake_engine_xen){.granted = GRANTED, .next_port = 20};
	error = xen_backend_open(&transport, GUEST, NULL);
	*state = transport;
	return error;
}

static int close_guest(void **state)
{
	struct transport *transport = *state;

	transport->ops->close(transport);
	return fake_xen.handles == 0 ? 0 : -1;
}

/* --- opening --- */

static void test_the_event_handle_is_restricted_to_the_guest(void **state)
{
	(void)state;
	assert_int_equal(fake_xen.restricted, GUEST);
}

/* Opening fails with this error, says this, and leaves nothing open. */
static void assert_no_transport(int error, const char *text)
{
	struct transport *transport = NULL;
	struct fault fault = {.text = ""};

	assert_int_equal(xen_backend_open(&transport, GUEST, &fault), error);
	assert_null(transport);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(fake_xen.handles, 0);
}

static void test_without_a_driver_the_message_names_its_module(void **state)
{
	(void)state;
	fake_xen = (struct fake_engine_xen){.no_grants = ENOENT};
	assert_no_transport(-ENOENT, "xen-gntdev");
	fake_xen = (struct fake_engine_xen){.no_events = EACCES};
	assert_no_transport(-EACCES, "xen-evtchn");
}

static void test_a_handle_that_is_not_restricted_is_not_used(void **state)
{
	struct transport *transport = NULL;

	(void)state;
	fake_xen = (struct fake_engine_xen){.restricting = EPERM};
	assert_no_transport(-EPERM, "restrict");
	fake_xen = (struct fake_engine_xen){.restricting = ENOTTY}; /* an old kernel */
	assert_int_equal(xen_backend_open(&transport, GUEST, NULL), 0);
	transport->ops->close(transport);
}

/* --- mapping --- */

static int map(void **state, const uint32_t *refs, uint32_t count, void **span)
{
	struct transport *transport = *state;

	*span = NULL;
	return transport->ops->map(transport, refs, count, span);
}

static void test_grants_are_mapped_as_one_span(void **state)
{
	struct transport *transport = *state;
	const uint32_t refs[] = {5, 900, 6};
	void *span;

	assert_int_equal(map(state, refs, 3, &span), 0);
	memset(span, 1, 3 * (size_t)RING_PAGE_SIZE);
	assert_int_equal(fake_xen.domid, GUEST);
	assert_memory_equal(fake_xen.refs, refs, sizeof(refs));
	transport->ops->unmap(transport, span, 3);
	assert_int_equal(fake_xen.pages, 0);
}

static void test_one_bad_reference_maps_nothing(void **state)
{
	const uint32_t refs[] = {5, GRANTED, 6};
	void *span;

	assert_int_equal(map(state, refs, 3, &span), -EINVAL);
	assert_null(span);
	assert_int_equal(fake_xen.pages, 0);
}

static void test_the_error_of_a_map_is_passed_on(void **state)
{
	static const int errors[] = {ENOMEM, EAGAIN, EPERM, ENOSPC};
	const uint32_t ref = 5;
	void *span;
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake_xen.mapping = errors[i];
		assert_int_equal(map(state, &ref, 1, &span), -errors[i]);
	}
}

static void test_maps_of_impossible_sizes_never_reach_the_driver(void **state)
{
	uint32_t refs[DATA_REFS_MAX] = {0};
	struct transport *transport = *state;
	void *span;

	assert_int_equal(map(state, refs, 0, &span), -EINVAL);
	assert_int_equal(map(state, refs, DATA_REFS_MAX + 1, &span), -EINVAL);
	assert_int_equal(map(state, refs, UINT32_MAX, &span), -EINVAL);
	assert_int_equal(fake_xen.maps, 0);
	assert_int_equal(map(state, refs, DATA_REFS_MAX, &span), 0);
	transport->ops->unmap(transport, span, DATA_REFS_MAX);
}

/* --- binding --- */

static uint32_t bind_port(struct transport *transport, uint32_t local)
{
	uint32_t port = UINT32_MAX;

	fake_xen.next_port = local;
	assert_int_equal(transport->ops->bind(transport, 3, &port), 0);
	assert_int_equal(port, local);
	return port;
}

static void bind_ports(struct transport *transport, uint32_t *ports, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		ports[i] = bind_port(transport, 100 + i);
}

static void test_a_port_too_large_is_refused_and_unbound(void **state)
{
	struct transport *transport = *state;
	uint32_t port = 1;

	bind_port(transport, PORT_MAX);
	assert_int_equal(fake_xen.domid, GUEST);
	fake_xen.next_port = TRANSPORT_PORTS;
	assert_int_equal(transport->ops->bind(transport, 3, &port), -ENOSPC);
	assert_int_equal(fake_xen.unbound, TRANSPORT_PORTS);
	assert_int_equal(fake_xen.bound, 1);
	assert_int_equal(port, 1);
}

static void test_the_error_of_a_binding_is_passed_on(void **state)
{
	struct transport *transport = *state;
	uint32_t port;

	fake_xen.binding = EINVAL;
	assert_int_equal(transport->ops->bind(transport, 3, &port), -EINVAL);
	fake_xen.binding = EACCES;
	assert_int_equal(transport->ops->bind(transport, 3, &port), -EACCES);
}

static void test_notifying_names_our_own_port(void **state)
{
	struct transport *transport = *state;

	transport->ops->notify(transport, bind_port(transport, 77));
	assert_int_equal(fake_xen.notified, 77);
}

/* --- events --- */

/* The driver reports these ports: what one read takes. */
static void report(const uint32_t *ports, size_t count)
{
	size_t bytes = count * sizeof(*ports);

	assert_int_equal(send(fake_xen.driver, ports, bytes, 0), bytes);
}

/* The ports of the engine's next write; 0: it wrote none. */
static int written(uint32_t *ports, size_t max)
{
	ssize_t bytes = recv(fake_xen.driver, ports, max * sizeof(*ports), MSG_DONTWAIT);

	return bytes < 0 ? 0 : (int)((size_t)bytes / sizeof(*ports));
}

static int pending(struct transport *transport, uint32_t *ports, size_t max)
{
	return transport->ops->pending(transport, ports, max);
}

static void test_only_bound_ports_are_pending(void **state)
{
	struct transport *transport = *state;
	const uint32_t reported[] = {30,         31, 29, TRANSPORT_PORTS, TRANSPORT_PORTS + 30,
				     UINT32_MAX, 33};
	uint32_t ports[16];

	bind_port(transport, 30);
	bind_port(transport, 31);
	bind_port(transport, 33);
	transport->ops->unbind(transport, 31);
	report(reported, 7);
	transport->ops->readable(transport);
	assert_int_equal(pending(transport, ports, 16), 2);
	assert_int_equal(ports[0], 30);
	assert_int_equal(ports[1], 33);
}

static void test_events_are_read_in_one_go(void **state)
{
	struct transport *transport = *state;
	uint32_t reported[64];
	uint32_t ports[64];

	bind_ports(transport, reported, 64);
	report(reported, 64);
	assert_int_equal(pending(transport, ports, 64), 0); /* nobody said it is readable */
	transport->ops->readable(transport);
	assert_int_equal(pending(transport, ports, 64), 64);
	assert_memory_equal(ports, reported, sizeof(ports));
}

static void test_nothing_is_read_after_a_read_that_took_everything(void **state)
{
	struct transport *transport = *state;
	uint32_t reported[8];
	uint32_t ports[8];

	bind_ports(transport, reported, 8);
	transport->ops->readable(transport);
	report(reported, 8);
	report(reported, 3);
	assert_int_equal(pending(transport, ports, 8), 8);
	assert_int_equal(pending(transport, ports, 8), 3); /* the first read was full */
	report(reported, 2);
	assert_int_equal(pending(transport, ports, 8), 0); /* the second was not */
	transport->ops->readable(transport);
	assert_int_equal(pending(transport, ports, 8), 2);
}

static void test_readable_without_events_is_no_error(void **state)
{
	struct transport *transport = *state;
	uint32_t ports[8];

	transport->ops->readable(transport);
	assert_int_equal(pending(transport, ports, 8), 0);
	shutdown(fake_xen.driver, SHUT_RDWR);
	transport->ops->readable(transport);
	assert_int_equal(pending(transport, ports, 8), 0);
}

/* More ports had events, some of them unbound since, than the kernel had kept room for. */
static void test_every_bound_port_is_told_after_events_were_lost(void **state)
{
	struct transport *transport = *state;
	uint32_t bound[20];
	uint32_t ports[16];
	uint32_t i;

	bind_ports(transport, bound, 20);
	transport->ops->unbind(transport, bound[7]);
	fake_xen.overfull = true;
	transport->ops->readable(transport);
	assert_int_equal(pending(transport, ports, 16), 16);
	assert_false(fake_xen.overfull);
	for (i = 0; i < 16; i++)
		assert_int_equal(ports[i], bound[i < 7 ? i : i + 1]);
	assert_false(transport->ops->may_sleep(transport));
	assert_int_equal(pending(transport, ports, 16), 3);
	assert_int_equal(ports[2], bound[19]);
	assert_true(transport->ops->may_sleep(transport));
	report(&bound[3], 1);
	assert_int_equal(pending(transport, ports, 16), 1);
	assert_int_equal(ports[0], bound[3]);
}

static void test_unmasking_is_one_write_for_many_ports(void **state)
{
	struct transport *transport = *state;
	uint32_t ports[AT_ONCE + 1];

	transport->ops->unmask(transport, bind_port(transport, 30));
	transport->ops->unmask(transport, bind_port(transport, 31));
	transport->ops->unmask(transport, bind_port(transport, 32));
	assert_int_equal(written(ports, AT_ONCE + 1), 0);
	assert_true(transport->ops->may_sleep(transport));
	assert_int_equal(written(ports, AT_ONCE + 1), 3);
	assert_int_equal(ports[0], 30);
	assert_int_equal(ports[2], 32);
	assert_true(transport->ops->may_sleep(transport));
	assert_int_equal(written(ports, AT_ONCE + 1), 0);
}

static void test_the_next_look_at_events_unmasks_too(void **state)
{
	struct transport *transport = *state;
	uint32_t ports[8];

	transport->ops->unmask(transport, bind_port(transport, 30));
	assert_int_equal(pending(transport, ports, 8), 0);
	assert_int_equal(written(ports, 8), 1);
	assert_int_equal(ports[0], 30);
}

static void test_more_ports_than_one_write_takes_are_all_unmasked(void **state)
{
	struct transport *transport = *state;
	uint32_t ports[2 * AT_ONCE];
	uint32_t i;

	for (i = 0; i < AT_ONCE + 1; i++)
		transport->ops->unmask(transport, bind_port(transport, 1000 + i));
	assert_int_equal(written(ports, 2 * AT_ONCE), AT_ONCE);
	assert_int_equal(ports[AT_ONCE - 1], 1000 + AT_ONCE - 1);
	assert_true(transport->ops->may_sleep(transport));
	assert_int_equal(written(ports, 2 * AT_ONCE), 1);
	assert_int_equal(ports[0], 1000 + AT_ONCE);
}

/* The kernel takes all ports of a write or none: one that is not bound would keep all masked. */
static void test_an_unbound_port_is_not_unmasked(void **state)
{
	struct transport *transport = *state;
	uint32_t ports[8];
	uint32_t i;

	for (i = 0; i < 4; i++)
		transport->ops->unmask(transport, bind_port(transport, 30 + i));
	transport->ops->unmask(transport, 30);
	transport->ops->unmask(transport, 33);
	transport->ops->unbind(transport, 30);
	transport->ops->unbind(transport, 33);
	assert_int_equal(fake_xen.bound, 2);
	assert_true(transport->ops->may_sleep(transport));
	assert_int_equal(written(ports, 8), 2);
	assert_int_equal(ports[0] + ports[1], 31 + 32);
}

#define GUEST_TEST(name) cmocka_unit_test_setup_teardown(name, open_guest, close_guest)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GUEST_TEST(test_the_event_handle_is_restricted_to_the_guest),
		cmocka_unit_test(test_without_a_driver_the_message_names_its_module),
		cmocka_unit_test(test_a_handle_that_is_not_restricted_is_not_used),
		GUEST_TEST(test_grants_are_mapped_as_one_span),
		GUEST_TEST(test_one_bad_reference_maps_nothing),
		GUEST_TEST(test_the_error_of_a_map_is_passed_on),
		GUEST_TEST(test_maps_of_impossible_sizes_never_reach_the_driver),
		GUEST_TEST(test_a_port_too_large_is_refused_and_unbound),
		GUEST_TEST(test_the_error_of_a_binding_is_passed_on),
		GUEST_TEST(test_notifying_names_our_own_port),
		GUEST_TEST(test_only_bound_ports_are_pending),
		GUEST_TEST(test_events_are_read_in_one_go),
		GUEST_TEST(test_nothing_is_read_after_a_read_that_took_everything),
		GUEST_TEST(test_readable_without_events_is_no_error),
		GUEST_TEST(test_every_bound_port_is_told_after_events_were_lost),
		GUEST_TEST(test_unmasking_is_one_write_for_many_ports),
		GUEST_TEST(test_the_next_look_at_events_unmasks_too),
		GUEST_TEST(test_more_ports_than_one_write_takes_are_all_unmasked),
		GUEST_TEST(test_an_unbound_port_is_not_unmasked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
